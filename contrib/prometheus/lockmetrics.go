package redlockprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// lockMetrics are the metrics with the label lock.
type lockMetrics struct {
	wait, hold, release             *prometheus.HistogramVec
	attemptsFailed, losses          *prometheus.CounterVec // by reason
	terms                           *prometheus.CounterVec // by outcome
	renewals, renewalsFailed        *prometheus.CounterVec
	releasesUnconfirmed, breaks     *prometheus.CounterVec
	handOffsGiven, handOffsReceived *prometheus.CounterVec

	started sync.Map // labels whose counters are exported
}

func newLockMetrics(set *metricSet, opts Options) *lockMetrics {
	return &lockMetrics{
		wait: set.histogram("redlock_acquire_wait_seconds",
			"How long calls that acquire a lock took, by outcome.", opts.WaitBuckets, "lock", "outcome"),
		hold: set.histogram("redlock_hold_seconds",
			"How long locks were held, by the way in which that ended.", opts.HoldBuckets, "lock", "outcome"),
		release: set.histogram("redlock_release_seconds",
			"How long releases took, after the hold.", opts.WaitBuckets, "lock"),
		attemptsFailed: set.counter("redlock_attempts_failed_total",
			"Attempts to acquire a lock that failed. A waiting call makes several.", "lock", "reason"),
		losses: set.counter("redlock_losses_total",
			"Locks that were lost before they were released.", "lock", "reason"),
		terms: set.counter("redlock_terms_total",
			"Terms of Lead that ended here, by the way in which they did.", "lock", "outcome"),
		renewals: set.counter("redlock_renewals_total",
			"Automatic renewals that a quorum confirmed.", "lock"),
		renewalsFailed: set.counter("redlock_renewals_failed_total",
			"Tries to renew a lock that failed. Others follow while the window is open.", "lock"),
		releasesUnconfirmed: set.counter("redlock_releases_unconfirmed_total",
			"Releases that no quorum confirmed. They are repeated in the background.", "lock"),
		breaks: set.counter("redlock_breaks_total",
			"Locks that this process took from their holders with Break.", "lock"),
		handOffsGiven: set.counter("redlock_hand_offs_given_total",
			"Locks released here that masters handed on to a waiter.", "lock"),
		handOffsReceived: set.counter("redlock_hand_offs_received_total",
			"Locks acquired here because masters handed them on.", "lock"),
	}
}

// start exports the counters of a label with the value 0, once.
func (m *lockMetrics) start(label string) {
	if _, started := m.started.LoadOrStore(label, true); started {
		return
	}
	for _, c := range failures {
		m.attemptsFailed.WithLabelValues(label, c.name)
	}
	for _, c := range losses {
		m.losses.WithLabelValues(label, c.name)
	}
	for _, outcome := range termOutcomes {
		m.terms.WithLabelValues(label, outcome)
	}
	for _, counter := range []*prometheus.CounterVec{
		m.renewals, m.renewalsFailed, m.releasesUnconfirmed, m.breaks, m.handOffsGiven, m.handOffsReceived,
	} {
		counter.WithLabelValues(label)
	}
}
