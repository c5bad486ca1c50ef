package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// sample returns results of two libraries. Two scenarios share a group, and one has its own.
func sample() *results {
	scenarios := []scenario{
		{name: "a", group: "First", label: "one", metrics: []metric{
			{name: "time", unit: duration}, {name: "failed", unit: share, hideZeros: true},
		}},
		{name: "b", group: "First", label: "two", metrics: []metric{{name: "failed", unit: share, hideZeros: true}}},
		{name: "c", group: "Second", label: "three", metrics: []metric{{name: "number", unit: count}}},
	}
	r := newResults(scenarios, []library{{name: "ours"}, {name: "<theirs> & co"}})
	for round := range 3 {
		r.add(0, 0, []float64{0.001 * float64(round+1), 0})
		r.add(0, 1, []float64{0.005, nan})
		r.add(1, 0, []float64{0})
		r.add(1, 1, []float64{0.5})
		r.add(2, 0, []float64{0})
		r.add(2, 1, []float64{nan})
	}
	return r
}

func TestTablesAlignColumnsAndHideZeros(t *testing.T) {
	const want = `## First

|             | ours | <theirs> & co |
|-------------|-----:|--------------:|
| one: time   | 2 ms |  5 ms (2.50×) |
| two: failed |   0% |           50% |

## Second

|               | ours | <theirs> & co |
|---------------|-----:|--------------:|
| three: number |    0 |             – |

`
	require.Equal(t, want, tables(sample()))
}

func TestReportNamesVersionRoundsAndChart(t *testing.T) {
	text := report(sample(), quickScale, facts{versions: map[system]string{redisSystem: "7.0.15"}})
	require.Contains(t, text, "Redis 7.0.15")
	require.Contains(t, text, "1 round ")
	require.Contains(t, text, "## Second")
	require.Contains(t, text, "("+chartFile+")")
}
