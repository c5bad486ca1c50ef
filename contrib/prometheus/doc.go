// Package redlockprom exports what happens to a Manager's locks and masters as Prometheus metrics.
//
//	metrics := redlockprom.New(redlockprom.Options{})
//	prometheus.MustRegister(metrics)
//
//	locks, err := quorum.Open(urls, &quorum.Options{Events: metrics.Events()})
//	...
//	metrics.CollectStats(locks.Stats)
//
// Most metrics count events. The others are read from the Manager's Stats at each scrape. The
// README lists every metric, what it tells an operator, and alert rules.
//
// A Collector belongs to one Manager. To export the metrics of several Managers of one process,
// give each a Collector of its own, registered with a label that tells them apart:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"manager": "jobs"}, registry).MustRegister(metrics)
//
// # The label lock
//
// Lock names are often many: one per user or order. A label value for each would overwhelm
// Prometheus. So by default, the metrics of all locks share one series, whose label lock is "".
// Options.Label decides otherwise: it maps a lock's name to the value of the label. It must have
// few different results. For names such as "user:4711", the part before the colon is a good label:
//
//	Label: func(name string) string {
//		kind, _, _ := strings.Cut(name, ":")
//		return kind
//	}
//
// # Series start at zero
//
// Prometheus does not see an increase if a counter first appears with the value 1. So the Collector
// exports the counters of a lock label from the label's first event, and the counters of a master
// from CollectStats, with the value 0. Without Options.Label, it exports the counters of the only
// lock label from the beginning.
package redlockprom
