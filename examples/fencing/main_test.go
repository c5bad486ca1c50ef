package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func embedded(t *testing.T) *quorumtest.Cluster {
	t.Helper()
	cluster, err := quorumtest.Start(5)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	return cluster
}

// played runs the story on an account, and checks what happens whether or not the
// account has a say in it.
func played(t *testing.T, acc account) outcome {
	t.Helper()
	s, err := newStory(t.Output(), embedded(t).URLs())
	require.NoError(t, err)
	defer s.close()

	o, err := s.tell(t.Context(), acc)
	require.NoError(t, err)
	require.ErrorIs(t, o.a.lock.Release(t.Context()), quorum.ErrExpired, "A was paused past its window")
	require.Positive(t, o.a.lock.Fence())
	require.Greater(t, o.b.lock.Fence(), o.a.lock.Fence())
	require.EqualValues(t, opening, o.a.read)
	require.EqualValues(t, opening, o.b.read)
	return o
}

func TestUncheckedLateWriteLosesADeposit(t *testing.T) {
	t.Parallel()
	db := database(t)
	o := played(t, trusting{row{db, "account"}})
	require.NoError(t, o.late)
	require.EqualValues(t, opening+depositA, look(t, db, "account").balance)
}

func TestLateWriteIsRefused(t *testing.T) {
	t.Parallel()
	db := database(t)
	o := played(t, fenced{row{db, "account"}})
	require.ErrorIs(t, o.late, errStale)
	require.Equal(t, stored{opening + depositB, o.b.lock.Fence()}, look(t, db, "account"))
}

func TestRun(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	for name, urls := range map[string]string{
		"embedded":  "",
		"one's own": strings.Join(cluster.URLs(), ","),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), &out, urls), out.String())
			t.Log(out.String())
		})
	}
	t.Cleanup(func() {
		for _, m := range cluster.Masters() {
			for _, key := range m.Keys() {
				require.NotRegexp(t, "^fencing-", key, "left behind on %v", m)
			}
		}
	})
}
