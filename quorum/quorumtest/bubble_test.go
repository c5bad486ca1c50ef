package quorumtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// requireLockEndsFirst requires that the lock ends while all masters still have its key, and that
// the key expires soon afterward.
func requireLockEndsFirst(t *testing.T, cluster *quorumtest.Cluster, lock *quorum.Lock) {
	t.Helper()
	require.Greater(t, lock.Validity(), 50*time.Minute)
	time.Sleep(lock.Validity())
	require.LessOrEqual(t, lock.Validity(), time.Duration(0), "the lock outlives its keys")
	for _, m := range cluster.Masters() {
		require.Equal(t, []string{"nightly-mail"}, m.Keys())
	}
	time.Sleep(time.Minute)
	for _, m := range cluster.Masters() {
		require.Empty(t, m.Keys())
	}
}

// TestDefaultClockIsTheBubbles: who leaves out Options.Clock gets locks that end before their keys
// expire, with other clients too.
func TestDefaultClockIsTheBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := startInProcess(t, 3)
		locks, err := quorum.New(cluster.Clients(), nil)
		require.NoError(t, err)
		defer locks.Close()
		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
		require.NoError(t, err)
		synctest.Wait() // let the other masters, which TryAcquire does not wait for, store the key
		requireLockEndsFirst(t, cluster, lock)
		require.ErrorIs(t, lock.Extend(t.Context(), time.Hour), quorum.ErrLost)
	})
}

// The machine's clock stands still in a bubble, so a Manager that uses it must be told to.
func TestMachineClockStandsStillInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks, cluster := quorumtest.Open(t, 3, &quorum.Options{Clock: clock.System()})
		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		for _, m := range cluster.Masters() {
			require.Empty(t, m.Keys())
		}
		require.Positive(t, lock.Validity())
	})
}
