package main

import (
	"context"
	"errors"
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
	contention: 50 * time.Millisecond, counting: 20 * time.Millisecond, waiting: 20 * time.Millisecond, waiters: 20, kills: 1, crowd: 4,
}

// needServers skips the test if a server program is missing, or fails it if REQUIRE_REDIS=1.
func needServers(t *testing.T) {
	t.Helper()
	_, err1 := exec.LookPath("redis-server")
	_, err2 := postgresPrograms()
	if err := errors.Join(err1, err2); err != nil && os.Getenv("REQUIRE_REDIS") != "1" {
		t.Skipf("%v (set REQUIRE_REDIS=1 to fail instead)", err)
	}
}

// TestWithServers starts all servers once for several tests.
func TestWithServers(t *testing.T) {
	needServers(t)
	running, err := startSystems(t.Context(), systemsOf(libraries))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeSystems(running)) })
	for name, test := range map[string]func(t *testing.T, b *bench){
		"EveryScenarioMeasuresEveryLibrary":  everyScenarioMeasuresEveryLibrary,
		"EveryLibraryExcludesEverybodyElse":  everyLibraryExcludesEverybodyElse,
		"EveryWriterExcludesReaders":         everyWriterExcludesReaders,
		"EveryLibraryAcquiresAllOrNone":      everyLibraryAcquiresAllOrNone,
		"ResetRevivesServersAndRemovesLocks": resetRevivesServersAndRemovesLocks,
	} {
		t.Run(name, func(t *testing.T) { test(t, &bench{running, tinyScale}) })
	}
}

// everyScenarioMeasuresEveryLibrary measures everything once, very briefly.
func everyScenarioMeasuresEveryLibrary(t *testing.T, all *bench) {
	t.Helper()
	for _, s := range newResults(scenarios(), libraries).scenarios {
		t.Run(s.name, func(t *testing.T) {
			for i, p := range s.libraries {
				b := &bench{all.systems, tinyScale}
				if i == 0 {
					b.scale.limit = time.Minute // the machine may be slow, and hung servers must not delay this library
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

// everyLibraryExcludesEverybodyElse lets another machine, and another goroutine of the holder's
// machine, want a lock that is held. Both must get it only after its release.
func everyLibraryExcludesEverybodyElse(t *testing.T, b *bench) {
	t.Helper()
	for _, p := range libraries {
		t.Run(p.name, func(t *testing.T) {
			clients, err := openMany(t.Context(), p, b.servers(p).addresses(), 2)
			require.NoError(t, err)
			defer func() { require.NoError(t, closeMany(clients)) }()
			unlock, err := clients[0].acquire(t.Context(), "lock")
			require.NoError(t, err)
			for _, c := range clients {
				waiting, cancel := context.WithCancel(t.Context()) // no deadline; see client
				end := time.AfterFunc(50*time.Millisecond, cancel)
				_, err := c.acquire(waiting, "lock")
				end.Stop()
				cancel()
				require.Error(t, err)
			}
			require.NoError(t, unlock(t.Context()))
			for _, c := range clients {
				unlock, err := c.acquire(t.Context(), "lock")
				require.NoError(t, err)
				require.NoError(t, unlock(t.Context()))
			}
		})
	}
}

// resetRevivesServersAndRemovesLocks hangs servers and leaves locks behind.
func resetRevivesServersAndRemovesLocks(t *testing.T, b *bench) {
	t.Helper()
	for _, p := range []library{quorumLibrary(), etcdElectionLibrary(), postgresLibrary()} {
		s := b.servers(p)
		left, err := p.open(s.addresses())
		require.NoError(t, err)
		forget, err := left.acquire(t.Context(), "lock")
		require.NoError(t, err)
		resume, err := s.hang(t.Context(), 2)
		require.NoError(t, err)
		require.NoError(t, resume())

		require.NoError(t, s.reset(t.Context()))
		c, err := p.open(s.addresses())
		require.NoError(t, err)
		unlock, err := c.acquire(t.Context(), "lock")
		require.NoError(t, err)
		require.NoError(t, unlock(t.Context()))
		require.NoError(t, c.close())
		_ = forget(t.Context()) // the lock is gone
		require.NoError(t, left.close())
	}
}

// checkOurs checks what must hold for this library on any machine.
func checkOurs(t *testing.T, s scenario, values []float64) {
	t.Helper()
	for m, metric := range s.metrics {
		switch metric.name {
		case "cycles per second", "acquire, median", "release, median", "median", "reads per second", "refusal, median":
			require.Positive(t, values[m], metric.name)
		case "two holders at once", "writer beside another", "terms out of order":
			require.Zero(t, values[m], metric.name)
		}
	}
}

func TestRunWritesReportAndChart(t *testing.T) {
	needServers(t)
	dir := filepath.Join(t.TempDir(), "new")
	s := settings{scale: tinyScale, pattern: "^(uncontended/goroutines=100|next)$", out: dir}
	require.NoError(t, run(t.Context(), s, t.Output(), t.Output()))
	text, err := os.ReadFile(filepath.Join(dir, tablesFile))
	require.NoError(t, err)
	for _, p := range libraries {
		require.Contains(t, string(text), p.name)
		require.Contains(t, string(text), p.restart)
	}
	drawn, err := os.ReadFile(filepath.Join(dir, chartFile))
	require.NoError(t, err)
	require.NotEmpty(t, elements(t, string(drawn)))
}

// TestRelayCountsCommands uses a library with a known number of commands: bsm/redislock sends one
// script to acquire and one to release.
func TestRelayCountsCommands(t *testing.T) {
	needServers(t)
	m, err := startMasters()
	require.NoError(t, err)
	defer func() { require.NoError(t, m.close()) }()
	r, err := newRelay(m.addresses(), 0)
	require.NoError(t, err)
	c, err := redislockLibrary().open(r.addresses())
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
