package redlockprom

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorumlock/redlock/quorum"
)

// statsMetrics are the metrics that are read from a Manager's statistics at each scrape.
type statsMetrics struct {
	stats atomic.Pointer[func() quorum.Stats] // nil before CollectStats

	held, eventsDropped, handlerPanics          *prometheus.Desc
	answering, votes, queue, roundTrip, errorAt *prometheus.Desc
	pendingReleases, leftToExpire               *prometheus.Desc
}

func newStatsMetrics() *statsMetrics {
	manager := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	master := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"master"}, nil)
	}
	return &statsMetrics{
		held:          manager("redlock_locks_held", "Locks that this process holds."),
		eventsDropped: manager("redlock_events_dropped_total", "Events that were dropped because handlers were too slow."),
		handlerPanics: manager("redlock_handler_panics_total", "Calls of event handlers that panicked."),
		answering:     master("redlock_master_answering", "1 if the master answered the last call and keeps none waiting, else 0."),
		votes:         master("redlock_master_votes", "1 if the master votes for new locks, as far as is known, else 0."),
		queue:         master("redlock_master_queue", "1 if waiters can use the master's queue, 0 if they poll."),
		roundTrip:     master("redlock_master_round_trip_seconds", "How long the master's recent answers took."),
		errorAt:       master("redlock_master_last_error_timestamp_seconds", "When the latest error of a call to the master came."),
		pendingReleases: master("redlock_master_pending_releases",
			"Releases that have not yet been delivered to the master."),
		leftToExpire: master("redlock_master_left_to_expire_total",
			"Keys left to expire on the master because too many releases were pending."),
	}
}

// Describe sends the descriptions of all metrics.
func (s *statsMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		s.held, s.eventsDropped, s.handlerPanics, s.answering, s.votes, s.queue, s.roundTrip, s.errorAt,
		s.pendingReleases, s.leftToExpire,
	} {
		ch <- desc
	}
}

// Collect reads the statistics and sends what they say.
func (s *statsMetrics) Collect(ch chan<- prometheus.Metric) {
	read := s.stats.Load()
	if read == nil {
		return
	}
	stats := (*read)()
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	send(s.held, prometheus.GaugeValue, float64(stats.Held))
	send(s.eventsDropped, prometheus.CounterValue, float64(stats.EventsDropped))
	send(s.handlerPanics, prometheus.CounterValue, float64(stats.HandlerPanics))
	labels := masterLabels(stats)
	for i, m := range stats.Masters {
		send(s.answering, prometheus.GaugeValue, oneIf(m.Answering), labels[i])
		send(s.votes, prometheus.GaugeValue, oneIf(m.Votes), labels[i])
		send(s.queue, prometheus.GaugeValue, oneIf(m.Queue), labels[i])
		send(s.pendingReleases, prometheus.GaugeValue, float64(m.PendingReleases), labels[i])
		send(s.leftToExpire, prometheus.CounterValue, float64(m.LeftToExpire), labels[i])
		if m.RoundTrip > 0 {
			send(s.roundTrip, prometheus.GaugeValue, m.RoundTrip.Seconds(), labels[i])
		}
		if !m.LastErrorAt.IsZero() {
			send(s.errorAt, prometheus.GaugeValue, float64(m.LastErrorAt.UnixNano())/1e9, labels[i])
		}
	}
}

// masterLabels returns the value of the label master for each master: its address. Two databases of
// one server have the same address. Equal series would fail the whole scrape, so the second one is
// numbered.
func masterLabels(stats quorum.Stats) []string {
	labels := make([]string, len(stats.Masters))
	seen := map[string]int{}
	for i, m := range stats.Masters {
		labels[i] = text(m.Master)
		if seen[m.Master]++; seen[m.Master] > 1 {
			labels[i] = fmt.Sprintf("%s#%d", labels[i], seen[m.Master])
		}
	}
	return labels
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
