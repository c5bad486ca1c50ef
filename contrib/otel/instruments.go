package redlockotel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments makes instruments of a meter. It collects the errors.
type instruments struct {
	meter metric.Meter
	errs  []error
}

func (i *instruments) err() error { return errors.Join(i.errs...) }

// made returns an instrument, and notes what is wrong with it.
func made[T any](i *instruments, instrument T, err error) T {
	if err != nil {
		i.errs = append(i.errs, err)
	}
	return instrument
}

func (i *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := i.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(i, c, err)
}

func (i *instruments) seconds(name, description string) metric.Float64Counter {
	c, err := i.meter.Float64Counter(name, metric.WithUnit("s"), metric.WithDescription(description))
	return made(i, c, err)
}

func (i *instruments) histogram(name, description string, buckets []float64) metric.Float64Histogram {
	h, err := i.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(buckets...))
	return made(i, h, err)
}

func (i *instruments) observedGauge(name, unit, description string) metric.Float64ObservableGauge {
	g, err := i.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(i, g, err)
}

func (i *instruments) observedSum(name, unit, description string) metric.Int64ObservableUpDownCounter {
	s, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(i, s, err)
}

func (i *instruments) observedCounter(name, unit, description string) metric.Int64ObservableCounter {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(i, c, err)
}
