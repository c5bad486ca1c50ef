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

// TestLocksInABubble is the example of the package's documentation, with what it shows asserted.
func TestLocksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, err := quorumtest.StartInProcess(5)
		require.NoError(t, err)
		defer cluster.Close()
		locks, err := quorum.New(cluster.Clients(), &quorum.Options{Clock: clock.Runtime()})
		require.NoError(t, err)
		defer locks.Close()

		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
		require.NoError(t, err)
		synctest.Wait() // until the masters that it did not wait for have the key too
		requireLockEndsFirst(t, cluster, lock)
		require.ErrorIs(t, lock.Extend(t.Context(), time.Hour), quorum.ErrLost)
	})
}

// requireLockEndsFirst requires that the lock is over while all masters still have its key, and that
// they let go of it soon after.
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

// The machine's clock, which a Manager goes by unless it is told otherwise, stands still in a bubble.
// This is why the documentation insists on clock.Runtime.
func TestLockByTheMachinesClockOutlivesItsKeysInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := startInProcess(t, 3)
		locks, err := quorum.New(cluster.Clients(), nil)
		require.NoError(t, err)
		defer locks.Close()
		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		for _, m := range cluster.Masters() {
			require.Empty(t, m.Keys())
		}
		require.Positive(t, lock.Validity())
	})
}
