package redlockprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorumlock/redlock/quorum"
)

// Collector turns a Manager's events and statistics into metrics. It is a prometheus.Collector. Its
// methods and the handlers of its Events are safe for concurrent use.
type Collector struct {
	opts    Options
	events  metricSet
	locks   *lockMetrics
	masters *masterMetrics
	stats   *statsMetrics
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a Collector. It panics if the buckets of a histogram are out of order.
func New(opts Options) *Collector {
	c := &Collector{opts: opts.withDefaults(), stats: newStatsMetrics()}
	c.locks = newLockMetrics(&c.events, c.opts)
	c.masters = newMasterMetrics(&c.events)
	if c.opts.Label == nil {
		c.locks.start("")
	}
	return c
}

// CollectStats makes every scrape read the statistics of a Manager. stats is the Manager's Stats
// method. It may be called after Close. Until CollectStats is called, only the metrics that count
// events are exported. A later call replaces an earlier one's function.
func (c *Collector) CollectStats(stats func() quorum.Stats) {
	for _, m := range stats().Masters {
		c.masters.start(m.Master)
	}
	c.stats.stats.Store(&stats)
}

// Describe sends the descriptions of all metrics. It implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	c.events.Describe(ch)
	c.stats.Describe(ch)
}

// Collect sends all metrics. It implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.events.Collect(ch)
	c.stats.Collect(ch)
}
