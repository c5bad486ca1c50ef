package redlockotel

import (
	"fmt"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/quorumlock/redlock/quorum"
)

// scope is the name of the Meter and of the Tracer.
const scope = "github.com/quorumlock/redlock/contrib/otel"

// Telemetry turns a Manager's events and statistics into metrics and spans. Its methods and the
// handlers of its Events are safe for concurrent use.
type Telemetry struct {
	opts    Options
	meter   metric.Meter
	tracer  trace.Tracer
	locks   *lockMetrics
	masters *masterMetrics
	stats   *statsMetrics
}

// New returns Telemetry. Its error is that of a MeterProvider that refuses an instrument.
func New(opts Options) (*Telemetry, error) {
	opts = opts.withDefaults()
	t := &Telemetry{
		opts:   opts,
		meter:  opts.MeterProvider.Meter(scope),
		tracer: opts.TracerProvider.Tracer(scope),
	}
	i := &instruments{meter: t.meter}
	t.locks, t.masters, t.stats = newLockMetrics(i), newMasterMetrics(i), newStatsMetrics(i)
	if err := i.err(); err != nil {
		return nil, fmt.Errorf("redlockotel: %w", err)
	}
	return t, nil
}

// ObserveStats makes every collection of metrics read the statistics of a Manager. stats is the
// Manager's Stats method. It may be called after Close. Unregister ends that. ObserveStats returns
// an error if the MeterProvider refuses the callback.
func (t *Telemetry) ObserveStats(stats func() quorum.Stats) (metric.Registration, error) {
	for _, m := range stats().Masters {
		t.masters.start(m.Master)
	}
	registration, err := t.stats.register(t.meter, stats)
	if err != nil {
		return nil, fmt.Errorf("redlockotel: %w", err)
	}
	return registration, nil
}
