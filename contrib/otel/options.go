package redlockotel

import (
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Options configures Telemetry. The zero value means the defaults.
type Options struct {
	// MeterProvider provides the metrics' Meter.
	// Default: the global one.
	MeterProvider metric.MeterProvider

	// TracerProvider provides the spans' Tracer.
	// Default: the global one.
	TracerProvider trace.TracerProvider

	// Label returns the value of the attribute redlock.lock.name for a lock's name, or "" for no
	// attribute. It must have few different results, and is called for every event. Concurrent
	// calls must be safe if several Managers share the function.
	// Default: "" for every name.
	Label func(name string) string
}

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() Options {
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Label == nil {
		o.Label = func(string) string { return "" }
	}
	return o
}

// label returns the label of a lock's name. Names are bytes, attributes are text.
func (o Options) label(name string) string { return text(o.Label(name)) }

// text makes s a valid value of an attribute.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// The keys of all attributes.
const (
	lockKey     = attribute.Key("redlock.lock.name")
	outcomeKey  = attribute.Key("redlock.outcome")
	reasonKey   = attribute.Key("redlock.reason")
	masterKey   = attribute.Key("redlock.master")
	tokenKey    = attribute.Key("redlock.token")
	ownerKey    = attribute.Key("redlock.owner")
	fenceKey    = attribute.Key("redlock.fence")
	handedOnKey = attribute.Key("redlock.handed_on")
	releaseKey  = attribute.Key("redlock.release.duration")
	quorumKey   = attribute.Key("redlock.quorum")
	answersKey  = attribute.Key("redlock.masters")
)

// attributes returns the attribute of a lock's label, if it has one, and others.
func attributes(label string, others ...attribute.KeyValue) []attribute.KeyValue {
	if label == "" {
		return others
	}
	return append([]attribute.KeyValue{lockKey.String(label)}, others...)
}
