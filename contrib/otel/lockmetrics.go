package redlockotel

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/metric"
)

// Bounds of the histograms' buckets, in seconds. A View can change them.
var (
	waitBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	holdBuckets = []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600}
)

// lockMetrics are the metrics with the attribute redlock.lock.name.
type lockMetrics struct {
	wait, hold, release             metric.Float64Histogram
	attemptsFailed, losses          metric.Int64Counter // by reason
	terms                           metric.Int64Counter // by outcome
	renewals, renewalsFailed        metric.Int64Counter
	releasesUnconfirmed, breaks     metric.Int64Counter
	handOffsGiven, handOffsReceived metric.Int64Counter

	started sync.Map // labels whose counters are exported
}

func newLockMetrics(i *instruments) *lockMetrics {
	return &lockMetrics{
		wait: i.histogram("redlock.acquire.duration",
			"How long calls that acquire a lock took, by outcome.", waitBuckets),
		hold: i.histogram("redlock.hold.duration",
			"How long locks were held, by the way in which that ended.", holdBuckets),
		release: i.histogram("redlock.release.duration",
			"How long releases took, after the hold.", waitBuckets),
		attemptsFailed: i.counter("redlock.attempts.failed", "{attempt}",
			"Attempts to acquire a lock that failed. A waiting call makes several."),
		losses: i.counter("redlock.losses", "{lock}",
			"Locks that were lost before they were released."),
		terms: i.counter("redlock.terms", "{term}",
			"Terms of Lead that ended here, by the way in which they did."),
		renewals: i.counter("redlock.renewals.succeeded", "{renewal}",
			"Automatic renewals that a quorum confirmed."),
		renewalsFailed: i.counter("redlock.renewals.failed", "{renewal}",
			"Tries to renew a lock that failed. Others follow while the window is open."),
		releasesUnconfirmed: i.counter("redlock.releases.unconfirmed", "{release}",
			"Releases that no quorum confirmed. They are repeated in the background."),
		breaks: i.counter("redlock.breaks", "{lock}",
			"Locks that this process took from their holders with Break."),
		handOffsGiven: i.counter("redlock.hand_offs.given", "{lock}",
			"Locks released here that masters handed on to a waiter."),
		handOffsReceived: i.counter("redlock.hand_offs.received", "{lock}",
			"Locks acquired here because masters handed them on."),
	}
}

// start exports the counters of a label with the value 0, once.
func (m *lockMetrics) start(label string) {
	if _, started := m.started.LoadOrStore(label, true); started {
		return
	}
	ctx := context.Background()
	for _, c := range failures {
		m.attemptsFailed.Add(ctx, 0, metric.WithAttributes(attributes(label, reasonKey.String(c.name))...))
	}
	for _, c := range losses {
		m.losses.Add(ctx, 0, metric.WithAttributes(attributes(label, reasonKey.String(c.name))...))
	}
	for _, outcome := range termOutcomes {
		m.terms.Add(ctx, 0, metric.WithAttributes(attributes(label, outcomeKey.String(outcome))...))
	}
	for _, counter := range []metric.Int64Counter{
		m.renewals, m.renewalsFailed, m.releasesUnconfirmed, m.breaks, m.handOffsGiven, m.handOffsReceived,
	} {
		counter.Add(ctx, 0, metric.WithAttributes(attributes(label)...))
	}
}
