package main

import (
	"math"
	"slices"
)

// Values that there are not are NaN, throughout.

// median returns the middle of values, or the mean of the middle two.
//
// One that is NaN took longer than it was given, so it is greater than all others:
// leaving it out would make a library look better for each time it was too slow.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := ascending(values)
	n := len(sorted)
	return finite((sorted[(n-1)/2] + sorted[n/2]) / 2)
}

// percentile returns the smallest of values that p percent of them do not exceed.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return finite(ascending(values)[max(rank, 1)-1])
}

// ascending returns values in order, with +Inf for NaN.
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

// finite returns NaN for what is infinite.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// ratio returns part of whole, and NaN of nothing.
func ratio[N int | int64](part, whole N) float64 {
	return finite(float64(part) / float64(whole))
}
