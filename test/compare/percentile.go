package main

import (
	"math"
	"slices"
)

// A missing value is NaN, everywhere in this program.

// median returns the middle value, or the mean of the middle two.
//
// NaN stands for an operation that exceeded its limit, so it sorts above all other values. Skipping
// it would make a library look better each time it was too slow.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := ascending(values)
	n := len(sorted)
	return finite((sorted[(n-1)/2] + sorted[n/2]) / 2)
}

// mean returns the mean of finite values.
func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

// percentile returns the smallest value that is not exceeded by p percent of the values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return finite(ascending(values)[max(rank, 1)-1])
}

// ascending returns the values in ascending order, with +Inf for NaN.
func ascending(values []float64) []float64 {
	sorted := slices.Clone(values)
	for i, v := range sorted {
		if math.IsNaN(v) {
			sorted[i] = math.Inf(1)
		}
	}
	slices.Sort(sorted)
	return sorted
}

// finite returns NaN for an infinite value.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// ratio returns part/whole, or NaN if whole is 0.
func ratio[N int | int64](part, whole N) float64 {
	return finite(float64(part) / float64(whole))
}
