package main

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
)

// TestMain fails if the tests or a closed library leak goroutines.
func TestMain(m *testing.M) {
	leadIfTold()
	redis.SetLogger(silent{})
	leaktest.Main(m)
}

func TestParseFlags(t *testing.T) {
	s, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, settings{scale: fullScale, out: "."}, s)

	s, err = parse([]string{"-quick", "-contention", "1s", "-rounds", "7", "-scenarios", "next", "-out", "x"})
	require.NoError(t, err)
	want := settings{scale: quickScale, pattern: "next", out: "x"}
	want.scale.contention, want.scale.rounds = time.Second, 7
	require.Equal(t, want, s)
}

func TestMatching(t *testing.T) {
	all, err := matching("")
	require.NoError(t, err)
	require.Len(t, all, len(scenarios()))
	some, err := matching("^contention")
	require.NoError(t, err)
	require.Len(t, some, 3)
	_, err = matching("no such scenario")
	require.Error(t, err)
	_, err = matching("(")
	require.Error(t, err)
}

func TestScenarioNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios() {
		require.False(t, seen[s.name], s.name)
		seen[s.name] = true
	}
}

// TestEveryPanelHasItsMetric fails if a renamed scenario or metric would remove a panel from the
// chart.
func TestEveryPanelHasItsMetric(t *testing.T) {
	r := newResults(scenarios(), libraries)
	for _, p := range panels {
		_, _, ok := r.find(p.scenario, p.metric)
		require.True(t, ok, p)
	}
}
