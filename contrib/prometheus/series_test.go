package redlockprom_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// families returns what a scrape of c exports. The registry also checks that it is consistent.
func families(t *testing.T, c prometheus.Collector) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	all, err := registry.Gather()
	require.NoError(t, err)
	return all
}

// series returns the values of all series that c exports, by name and labels as in
// `redlock_losses_total{lock="",reason="expired"}`. A histogram has a _count and a _sum.
func series(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, family := range families(t, c) {
		for _, m := range family.GetMetric() {
			switch {
			case m.Histogram != nil:
				all[family.GetName()+"_count"+labels(m)] = float64(m.Histogram.GetSampleCount())
				all[family.GetName()+"_sum"+labels(m)] = m.Histogram.GetSampleSum()
			case m.Counter != nil:
				all[family.GetName()+labels(m)] = m.Counter.GetValue()
			case m.Gauge != nil:
				all[family.GetName()+labels(m)] = m.Gauge.GetValue()
			default:
				t.Fatalf("%s has an unexpected type", family.GetName())
			}
		}
	}
	return all
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if pairs == nil {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// counted returns the series of c that are not zero.
func counted(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	all := series(t, c)
	maps.DeleteFunc(all, func(_ string, value float64) bool { return value == 0 })
	return all
}
