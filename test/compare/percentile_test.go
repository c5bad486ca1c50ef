package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

var nan = math.NaN()

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, nan},
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{nan, 1, 5}, 5}, // the missing value counts as slow
		{[]float64{nan, nan, 5}, nan},
		{[]float64{1, nan}, nan},
		{[]float64{nan}, nan},
	} {
		requireSame(t, c.want, median(c.values), c.values)
	}
}

func TestPercentile(t *testing.T) {
	var hundred []float64
	for i := 100; i > 0; i-- {
		hundred = append(hundred, float64(i))
	}
	for _, c := range []struct {
		values  []float64
		percent float64
		want    float64
	}{
		{nil, 99, nan},
		{[]float64{4}, 99, 4},
		{[]float64{4, 2}, 50, 2},
		{[]float64{4, 2}, 51, 4},
		{[]float64{4, 2}, 0, 2},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 1, 1},
		{[]float64{1, nan}, 99, nan},
	} {
		requireSame(t, c.want, percentile(c.values, c.percent), c.values)
	}
	require.Equal(t, 100.0, hundred[0], "percentile must not modify its argument")
}

func TestRatio(t *testing.T) {
	requireSame(t, 0.25, ratio(1, 4))
	requireSame(t, nan, ratio(0, 0))
	requireSame(t, nan, ratio(int64(1), 0))
}

// requireSame compares values that may be NaN.
func requireSame(t *testing.T, want, got float64, about ...any) {
	t.Helper()
	if math.IsNaN(want) {
		require.True(t, math.IsNaN(got), "got %v for %v", got, about)
		return
	}
	require.Equal(t, want, got, about...)
}
