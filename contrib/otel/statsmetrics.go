package redlockotel

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/quorumlock/redlock/quorum"
)

// statsMetrics are the metrics that are read from a Manager's statistics at each collection.
type statsMetrics struct {
	held                         metric.Int64ObservableUpDownCounter
	eventsDropped, handlerPanics metric.Int64ObservableCounter
	answering, votes, queue      metric.Float64ObservableGauge
	roundTrip, errorTime         metric.Float64ObservableGauge
	pendingReleases              metric.Int64ObservableUpDownCounter
	leftToExpire                 metric.Int64ObservableCounter
}

func newStatsMetrics(i *instruments) *statsMetrics {
	return &statsMetrics{
		held: i.observedSum("redlock.locks.held", "{lock}",
			"Locks that this process holds."),
		eventsDropped: i.observedCounter("redlock.events.dropped", "{event}",
			"Events that were dropped because handlers were too slow."),
		handlerPanics: i.observedCounter("redlock.handler.panics", "{panic}",
			"Calls of event handlers that panicked."),
		answering: i.observedGauge("redlock.master.answering", "1",
			"1 if the master answered the last call and keeps none waiting, else 0."),
		votes: i.observedGauge("redlock.master.votes", "1",
			"1 if the master votes for new locks, as far as is known, else 0."),
		queue: i.observedGauge("redlock.master.queue.usable", "1",
			"1 if waiters can use the master's queue, 0 if they poll."),
		roundTrip: i.observedGauge("redlock.master.round_trip", "s",
			"How long the master's recent answers took."),
		errorTime: i.observedGauge("redlock.master.last_error.time", "s",
			"When the latest error of a call to the master came, in seconds since 1970."),
		pendingReleases: i.observedSum("redlock.master.releases.pending", "{release}",
			"Releases that have not yet been delivered to the master."),
		leftToExpire: i.observedCounter("redlock.master.keys.left_to_expire", "{key}",
			"Keys left to expire on the master because too many releases were pending."),
	}
}

// all returns the instruments.
func (m *statsMetrics) all() []metric.Observable {
	return []metric.Observable{
		m.held, m.eventsDropped, m.handlerPanics, m.answering, m.votes, m.queue, m.roundTrip, m.errorTime,
		m.pendingReleases, m.leftToExpire,
	}
}

// observe tells what the statistics say.
func (m *statsMetrics) observe(o metric.Observer, stats quorum.Stats) {
	o.ObserveInt64(m.held, int64(stats.Held))
	o.ObserveInt64(m.eventsDropped, int64(stats.EventsDropped))
	o.ObserveInt64(m.handlerPanics, int64(stats.HandlerPanics))
	names := masterNames(stats)
	for i, master := range stats.Masters {
		at := onMaster(names[i])
		o.ObserveFloat64(m.answering, oneIf(master.Answering), at)
		o.ObserveFloat64(m.votes, oneIf(master.Votes), at)
		o.ObserveFloat64(m.queue, oneIf(master.Queue), at)
		o.ObserveInt64(m.pendingReleases, int64(master.PendingReleases), at)
		o.ObserveInt64(m.leftToExpire, int64(master.LeftToExpire), at)
		if master.RoundTrip > 0 {
			o.ObserveFloat64(m.roundTrip, master.RoundTrip.Seconds(), at)
		}
		if !master.LastErrorAt.IsZero() {
			o.ObserveFloat64(m.errorTime, float64(master.LastErrorAt.UnixNano())/1e9, at)
		}
	}
}

// register makes each collection read the statistics.
func (m *statsMetrics) register(meter metric.Meter, stats func() quorum.Stats) (metric.Registration, error) {
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.observe(o, stats())
		return nil
	}, m.all()...)
}

// masterNames returns what to call each master: its address. Two databases of one server have the
// same address, and would overwrite each other's values, so the second one is numbered.
func masterNames(stats quorum.Stats) []string {
	names := make([]string, len(stats.Masters))
	seen := map[string]int{}
	for i, m := range stats.Masters {
		names[i] = m.Master
		if seen[m.Master]++; seen[m.Master] > 1 {
			names[i] = fmt.Sprintf("%s#%d", m.Master, seen[m.Master])
		}
	}
	return names
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
