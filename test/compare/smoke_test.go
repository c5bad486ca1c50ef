package main

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tinyScale is just large enough to exercise the measurements.
var tinyScale = scale{
	rounds: 1, throughput: 5 * time.Millisecond, limit: 100 * time.Millisecond, handOff: time.Millisecond,
	contention: 50 * time.Millisecond, counting: 20 * time.Millisecond, waiting: 20 * time.Millisecond, waiters: 100,
}

// realMasters starts masters. Without redis-server it skips the test, or fails it if
// REQUIRE_REDIS=1.
func realMasters(t *testing.T) *masters {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("REQUIRE_REDIS") != "1" {
		t.Skip("no redis-server on PATH (set REQUIRE_REDIS=1 to fail instead)")
	}
	m, err := startMasters()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.close()) })
	return m
}

// TestEveryScenarioMeasuresEveryLibrary measures everything once, very briefly.
func TestEveryScenarioMeasuresEveryLibrary(t *testing.T) {
	m := realMasters(t)
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			for i, p := range libraries {
				b := &bench{m, tinyScale}
				if i == 0 {
					b.scale.limit = time.Minute // the machine may be slow, and hung masters must not delay this library
				}
				values, err := measureOnce(t.Context(), b, s, p)
				require.NoError(t, err)
				require.Len(t, values, len(s.metrics))
				t.Logf("%s: %v", p.name, values)
				if i == 0 {
					checkOurs(t, s, values)
				}
			}
		})
	}
}

// checkOurs checks what must hold for this library on any machine.
func checkOurs(t *testing.T, s scenario, values []float64) {
	t.Helper()
	for m, metric := range s.metrics {
		switch metric.name {
		case "cycles per second", "acquire, median", "release, median", "median":
			require.Positive(t, values[m], metric.name)
		case "two holders at once":
			require.Zero(t, values[m])
		}
	}
}

func TestRunWritesReportAndChart(t *testing.T) {
	realMasters(t) // skips the test without redis-server
	dir := filepath.Join(t.TempDir(), "new")
	s := settings{scale: tinyScale, pattern: "^(uncontended/goroutines=100|next)$", out: dir}
	require.NoError(t, run(t.Context(), s, t.Output(), t.Output()))
	text, err := os.ReadFile(filepath.Join(dir, tablesFile))
	require.NoError(t, err)
	require.Contains(t, string(text), "rueidislock")
	drawn, err := os.ReadFile(filepath.Join(dir, chartFile))
	require.NoError(t, err)
	require.NotEmpty(t, elements(t, string(drawn)))
}

// TestRelayCountsCommands uses a library with a known number of commands: bsm/redislock sends one
// script to acquire and one to release.
func TestRelayCountsCommands(t *testing.T) {
	m := realMasters(t)
	r, err := newRelay(m.addresses(), 0)
	require.NoError(t, err)
	c, err := redislockLibrary().open(r.urls())
	require.NoError(t, err)
	require.NoError(t, cycle(t.Context(), c, "warm"))
	before := r.commands()
	for range 10 {
		require.NoError(t, cycle(t.Context(), c, "lock"))
	}
	require.EqualValues(t, 20, r.commands()-before)
	require.NoError(t, c.close())
	require.NoError(t, r.close())
}

// TestContestValues feeds a contest with known events.
func TestContestValues(t *testing.T) {
	c := &contest{limit: time.Second, took: time.Second, served: make([]int, 3)}
	for _, i := range []int{0, 0, 1} {
		c.recordGrant(i)
		c.recordRelease()
	}
	c.recordWait(time.Minute)
	c.recordFailure(t.Context())
	values := c.values()
	require.Len(t, values, len(contention(3).metrics))
	require.Equal(t, []float64{3, 0, 2}, values[:3])
	require.InDelta(t, 1.0/3, values[3], 1e-9, "handed to another")
	require.Equal(t, 1.0, values[6], "the longest wait ends with the contest")
	require.True(t, math.IsNaN(values[commandsPerHold]))
	require.Equal(t, []float64{0.25, 0}, values[8:])

	c.recordGrant(0)
	c.recordGrant(1)
	require.Equal(t, 1.0, c.values()[9], "two holders at once")
	require.Equal(t, "commands per hold", contention(3).metrics[commandsPerHold].name)
}
