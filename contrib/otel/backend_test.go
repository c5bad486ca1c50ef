package redlockotel_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	redlockotel "github.com/quorumlock/redlock/contrib/otel"
)

// backend receives what Telemetry exports.
type backend struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
	traces *sdktrace.TracerProvider
}

// start returns Telemetry that exports to a backend of its own.
func start(t *testing.T, label func(string) string) (*redlockotel.Telemetry, *backend) {
	t.Helper()
	b := &backend{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))
	b.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(b.spans))
	telemetry, err := redlockotel.New(redlockotel.Options{MeterProvider: meters, TracerProvider: b.traces, Label: label})
	require.NoError(t, err)
	return telemetry, b
}

// collected returns the metrics by name.
func (b *backend) collected(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, b.reader.Collect(t.Context(), &data))
	all := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// point is a value with its attributes. A histogram has the number and the sum of its values.
type point struct {
	set   attribute.Set
	value float64
	sum   float64
}

// points returns what m has, and what the README calls its kind.
func points(t *testing.T, m metricdata.Metrics) (kind string, all []point) {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			all = append(all, point{set: p.Attributes, value: float64(p.Value)})
		}
		return sumKind(data.IsMonotonic), all
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{set: p.Attributes, value: p.Value})
		}
		return sumKind(data.IsMonotonic), all
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{set: p.Attributes, value: p.Value})
		}
		return "gauge", all
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{set: p.Attributes, value: float64(p.Count), sum: p.Sum})
		}
		return "histogram", all
	}
	t.Fatalf("%s is a %T", m.Name, m.Data)
	return "", nil
}

func sumKind(monotonic bool) string {
	if monotonic {
		return "counter"
	}
	return "updowncounter"
}

// series returns the values of all metrics, by name and attributes as in
// `redlock.losses{redlock.reason=expired}`. A histogram has a count and a sum.
func (b *backend) series(t *testing.T) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for name, m := range b.collected(t) {
		kind, found := points(t, m)
		for _, p := range found {
			if kind == "histogram" {
				all[name+" sum"+labels(p.set)] = p.sum
			}
			all[name+labels(p.set)] = p.value
		}
	}
	return all
}

func labels(set attribute.Set) string {
	var pairs []string
	for _, kv := range set.ToSlice() {
		pairs = append(pairs, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
	}
	if pairs == nil {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// counted returns the series that are not zero.
func (b *backend) counted(t *testing.T) map[string]float64 {
	t.Helper()
	all := b.series(t)
	maps.DeleteFunc(all, func(_ string, value float64) bool { return value == 0 })
	return all
}
