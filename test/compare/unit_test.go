package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{duration, 0.0000214, "21.4 µs"},
		{duration, 0.00041, "410 µs"},
		{duration, 0.00123, "1.23 ms"},
		{duration, 5.0312, "5.03 s"},
		{duration, nan, "–"},
		{rate, 46684.4, "46,684"},
		{rate, 1234567, "1,234,567"},
		{rate, 96.71, "96.7"},
		{rate, 99.96, "100"},
		{rate, nan, "–"},
		{count, 0, "0"},
		{count, 71, "71"},
		{count, 10.8333, "10.8"},
		{share, 0.5723, "57.2%"},
		{share, 0.000637, "0.06%"},
		{share, 0.0000637, "0.006%"},
		{share, 1, "100%"},
		{size, 512, "512 B"},
		{size, 5678, "5.68 kB"},
		{size, 2.5e6, "2.50 MB"},
		{times, 0.1052, "0.11×"},
	} {
		require.Equal(t, c.want, c.unit(c.value))
	}
}
