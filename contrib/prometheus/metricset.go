package redlockprom

import "github.com/prometheus/client_golang/prometheus"

// metricSet makes metrics and collects all of them.
type metricSet struct{ all []prometheus.Collector }

func (s *metricSet) counter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	s.all = append(s.all, vec)
	return vec
}

func (s *metricSet) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	s.all = append(s.all, vec)
	return vec
}

// Describe sends the descriptions of all metrics.
func (s *metricSet) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.all {
		c.Describe(ch)
	}
}

// Collect sends all metrics.
func (s *metricSet) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.all {
		c.Collect(ch)
	}
}
