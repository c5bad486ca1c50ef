package redlockprom

import "github.com/prometheus/client_golang/prometheus"

// masterMetrics are the counters with the label master.
type masterMetrics struct {
	stops, resumes, silentSeconds *prometheus.CounterVec
	quarantines                   *prometheus.CounterVec
	queueFailures, queueRestores  *prometheus.CounterVec
	releasesOwed, releasesGivenUp *prometheus.CounterVec
	repairs                       *prometheus.CounterVec
}

func newMasterMetrics(set *metricSet) *masterMetrics {
	return &masterMetrics{
		stops: set.counter("redlock_master_stops_total",
			"How often the master stopped answering.", "master"),
		resumes: set.counter("redlock_master_resumes_total",
			"How often the master answered again.", "master"),
		silentSeconds: set.counter("redlock_master_silent_seconds_total",
			"How long the master did not answer, counted when it answers again.", "master"),
		quarantines: set.counter("redlock_master_quarantines_total",
			"How often the restart guard began to keep the master from voting.", "master"),
		queueFailures: set.counter("redlock_master_queue_failures_total",
			"How often the master's queue became unusable, so that waiters poll.", "master"),
		queueRestores: set.counter("redlock_master_queue_restores_total",
			"How often the master's queue became usable again.", "master"),
		releasesOwed: set.counter("redlock_master_releases_owed_total",
			"Releases that did not reach the master at first.", "master"),
		releasesGivenUp: set.counter("redlock_master_releases_given_up_total",
			"Releases that the master was never told of. The key is left to expire.", "master"),
		repairs: set.counter("redlock_master_repairs_total",
			"Locks that the master had forgotten and stores again.", "master"),
	}
}

// start exports the counters of a master with the value 0.
func (m *masterMetrics) start(master string) {
	for _, counter := range []*prometheus.CounterVec{
		m.stops, m.resumes, m.silentSeconds, m.quarantines, m.queueFailures, m.queueRestores,
		m.releasesOwed, m.releasesGivenUp, m.repairs,
	} {
		counter.WithLabelValues(text(master))
	}
}
