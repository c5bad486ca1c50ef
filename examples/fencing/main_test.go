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

// runOn runs the demo on an account, and checks what does not depend on the kind of account.
func runOn(t *testing.T, acc account) outcome {
	t.Helper()
	d, err := newDemo(t.Output(), embedded(t).URLs())
	require.NoError(t, err)
	defer d.close()

	o, err := d.run(t.Context(), acc)
	require.NoError(t, err)
	require.ErrorIs(t, o.a.lock.Release(t.Context()), quorum.ErrExpired, "the pause must outlast the window of A")
	require.Positive(t, o.a.lock.Fence())
	require.Greater(t, o.b.lock.Fence(), o.a.lock.Fence())
	require.EqualValues(t, opening, o.a.read)
	require.EqualValues(t, opening, o.b.read)
	return o
}

func TestUnfencedLateWriteLosesDeposit(t *testing.T) {
	t.Parallel()
	db := database(t)
	o := runOn(t, unfenced{row{db, "account"}})
	require.NoError(t, o.late)
	require.EqualValues(t, opening+depositA, storedIn(t, db, "account").balance)
}

func TestFencedLateWriteIsRejected(t *testing.T) {
	t.Parallel()
	db := database(t)
	o := runOn(t, fenced{row{db, "account"}})
	require.ErrorIs(t, o.late, errStale)
	require.Equal(t, stored{opening + depositB, o.b.lock.Fence()}, storedIn(t, db, "account"))
}

func TestRunSucceeds(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	for name, urls := range map[string]string{
		"embedded": "",
		"given":    strings.Join(cluster.URLs(), ","),
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
				require.NotRegexp(t, "^fencing-", key, "keys left on %v", m)
			}
		}
	})
}
