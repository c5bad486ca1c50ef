package quorum_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestMinHoldKeepsReleasedLockTaken releases a lock before its minimum hold is over.
func TestMinHoldKeepsReleasedLockTaken(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Owner: "web-3:4711"}, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(8*time.Second))
		require.NoError(b, err)
		synctest.Wait()
		time.Sleep(time.Second)
		assert.Zero(b, took(func() { require.NoError(b, l.Release(b.Context())) }))
		synctest.Wait()
		for _, m := range b.Masters() {
			stored, _ := m.Get(name)
			assert.Equal(b, "released:"+l.Token(), stored)
			assert.Equal(b, 7*time.Second, m.TTL(name))
		}
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.True(b, i.Released)
		assert.Equal(b, "web-3:4711", i.Owner)
		assert.NotContains(b, i.String(), l.Token())
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		require.NoError(b, l.Release(b.Context()), "again")
		time.Sleep(7*time.Second - 1)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		time.Sleep(time.Nanosecond)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.NoError(b, err)
	})
}

// TestMinHoldHandsOnWhenItIsOver has a waiter that arrived before the release.
func TestMinHoldHandsOnWhenItIsOver(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		start := time.Now()
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(8*time.Second))
		require.NoError(b, err)
		waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock})
		got := make(chan struct{})
		go func() {
			defer close(got)
			_, err := waiter.Acquire(b.Context(), name, ttl)
			assert.NoError(b, err)
		}()
		time.Sleep(time.Second)
		require.NoError(b, l.Release(b.Context()))
		<-got
		assert.InDelta(b, 8*time.Second, time.Since(start), float64(100*time.Millisecond))
		require.NoError(b, waiter.Close())
	})
}

// TestMinHoldIsOverAfterIt releases a lock after its minimum hold.
func TestMinHoldIsOverAfterIt(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		require.NoError(b, b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			time.Sleep(time.Minute)
			return nil
		}, quorum.MinHold(time.Minute)))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestMinHoldOfDoOutlastsItsTTL is for a job of a second that is started everywhere once a minute.
func TestMinHoldOfDoOutlastsItsTTL(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		job := func(context.Context, *quorum.Lock) error { time.Sleep(time.Second); return nil }
		require.NoError(b, b.Do(b.Context(), name, ttl, job, quorum.MinHold(50*time.Second), quorum.NoWait()))
		time.Sleep(48 * time.Second)
		err := b.Do(b.Context(), name, ttl, job, quorum.MinHold(50*time.Second), quorum.NoWait())
		assertReason(b, err, quorum.ErrTaken)
		time.Sleep(2 * time.Second)
		assert.NoError(b, b.Do(b.Context(), name, ttl, job, quorum.MinHold(50*time.Second), quorum.NoWait()))
	})
}

// TestRepeatedReleaseKeepsMinHold stops masters, so that the release must be repeated when they are
// back. It then keeps the lock for the rest of the time only.
func TestRepeatedReleaseKeepsMinHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Minute, quorum.MinHold(30*time.Second))
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() {
			m.Fail("LOADING Redis is loading the dataset in memory")
		}
		assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		time.Sleep(10 * time.Second)
		for _, m := range b.Masters() {
			m.Heal()
		}
		time.Sleep(5 * time.Second)
		for _, m := range b.Masters() {
			stored, _ := m.Get(name)
			assert.Equal(b, "released:"+l.Token(), stored)
			assert.InDelta(b, 15*time.Second, m.TTL(name), float64(10*time.Millisecond))
		}
	})
}

// TestFullMasterReleasesDespiteMinHold has masters that cannot store anything. A release must not
// fail for that.
func TestFullMasterReleasesDespiteMinHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(5*time.Second))
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() {
			m.Full()
		}
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestMinHoldNeverReplacesAnothersToken loses the lock before the release.
func TestMinHoldNeverReplacesAnothersToken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(5*time.Second))
		require.NoError(b, err)
		synctest.Wait()
		b.occupy(3)
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		assert.Equal(b, 3, b.mastersStoring("another"))
	})
}

// TestMinHoldNeedsTheGuard rejects a minimum hold that a master could forget and grant again
// within.
func TestMinHoldNeedsTheGuard(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: time.Minute}, func(b *testbed) {
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0), quorum.MinHold(time.Minute+1))
		assert.ErrorContains(b, err, "MinHold 1m0.001s is over the restart guard 1m0s")
	})
}

// TestGiveBackOfWaiterKeepsNoMinHold has a waiter give up: nobody held the lock, so it is free.
func TestGiveBackOfWaiterKeepsNoMinHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.DelayReplies(3*time.Second, quorumtest.Always)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(ttl))
		assertReason(b, err, quorum.ErrNoQuorum)
		for _, m := range b.Masters() {
			m.Heal()
		}
		time.Sleep(4 * time.Second)
		for _, token := range b.storedTokens() {
			assert.False(b, strings.HasPrefix(token, "released:"), token)
		}
	})
}

// TestMinHoldSurvivesClose closes the Manager while a job runs, as a deployment does.
func TestMinHoldSurvivesClose(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		err := b.Do(b.Context(), name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
			synctest.Wait()
			go func() { _ = b.Manager.Close() }()
			<-ctx.Done()
			return nil
		}, quorum.MinHold(time.Minute))
		assert.ErrorIs(b, err, quorum.ErrClosed)
		time.Sleep(time.Second)
		for _, token := range b.storedTokens() {
			assert.True(b, strings.HasPrefix(token, "released:"), token)
		}
	})
}
