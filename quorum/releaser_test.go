package quorum_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// A master that was down gets the releases that it missed, long before the keys expire.
func TestOwedReleasesAreDeliveredWhenMasterReturns(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		const locks = 300
		var held []*quorum.Lock
		for i := range locks {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Minute)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.Len(b, down.Keys(), locks)
		time.Sleep(10 * time.Second)
		require.NoError(b, down.Restart(0))
		time.Sleep(6 * time.Second)
		assert.Empty(b, down.Keys(), "released 44 s before they expire")
	})
}

// A release is not tried again once its key must have expired.
func TestOwedReleaseEndsWhenKeyHasExpired(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(2 * ttl)
		require.NoError(b, b.Master(1).Restart(0))
		executed := b.Master(1).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, executed, b.Master(1).Commands())
	})
}

// A master that stays down must not cost more and more memory. Beyond MaxPendingReleases, the keys
// that expire first are left to expire.
func TestPendingReleasesAreCapped(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{MaxPendingReleases: 64}, func(b *testbed) {
		var held []*quorum.Lock
		for i := range 300 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Duration(60+i)*time.Second)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.NoError(b, down.Restart(0))
		time.Sleep(10 * time.Second)
		left := down.Keys()
		assert.GreaterOrEqual(b, len(left), 300-64)
		assert.Less(b, len(left), 300, "the keys that last longest are released")
		assert.Contains(b, left, "lock-0", "the keys that expire first are left to expire")
		assert.NotContains(b, left, "lock-299")
		stats := b.Stats().Masters[1]
		assert.EqualValues(b, len(left), stats.LeftToExpire, "each is counted")
		assert.Zero(b, stats.PendingReleases)
		assert.True(b, stats.Answering)
		assert.NoError(b, b.Manager.Close(), "Close itself left nothing to expire")
	})
}

// Close waits for masters that answer, even if they are late.
func TestCloseDeliversOwedReleases(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		b.Master(1).DelayRequests(200*time.Millisecond, 1)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 2, b.vacantMasters())
		require.NoError(b, b.Manager.Close())
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// Keys that are left on a minority block nobody, so Close neither waits for those masters nor
// fails. It fails for keys that are left on a majority.
func TestCloseDoesNotWaitForAMinority(t *testing.T) {
	for state, inject := range map[string]func(*quorumtest.Master){
		"hung": (*quorumtest.Master).Hang,
		"down": (*quorumtest.Master).Stop,
	} {
		for n := 1; n <= 2; n++ {
			t.Run(fmt.Sprint(n, " ", state), func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					l, err := b.TryAcquire(b.Context(), name, time.Hour)
					require.NoError(b, err)
					synctest.Wait()
					for _, m := range b.Masters()[:n] {
						inject(m)
					}
					err = l.Release(b.Context())
					start := time.Now()
					if n == 1 {
						require.NoError(b, err)
						assert.NoError(b, b.Manager.Close())
						assert.Less(b, time.Since(start), time.Second/2)
						return
					}
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.ErrorContains(b, b.Manager.Close(), "1 locks left to expire")
					assert.LessOrEqual(b, time.Since(start), 5*time.Second)
				})
			})
		}
	}
}

// A master that cannot be connected to has received no request, so it is owed no release.
func TestNoReleaseIsOwedWithoutConnection(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(2).Stop()
		for range 100 {
			l, err := b.TryAcquire(b.Context(), name, time.Hour)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		assert.Zero(b, b.Stats().Masters[2].PendingReleases)
		assert.Zero(b, took(func() { assert.NoError(b, b.Manager.Close()) }))
	})
}

// patientManager returns a Manager whose clients ignore contexts and wait a minute for a reply.
func (b *testbed) patientManager(opts quorum.Options) *quorum.Manager {
	b.Helper()
	return b.managerWithClients(opts, func(o *redis.Options) {
		o.ContextTimeoutEnabled, o.ReadTimeout = false, time.Minute
	})
}

// The client has no deadlines and is stuck in a read.
func TestCloseDoesNotWaitForStuckClient(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.patientManager(quorum.Options{CloseTimeout: 2 * time.Second})
		b.Master(1).Hang()
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		assert.Less(b, took(func() { assert.NoError(b, m.Close()) }), time.Second/2)
		b.Master(1).Resume()
		synctest.Wait()
	})
}

// An acquire that never left this process needs no release.
func TestReleaseIsNotSentWhereAcquireWasNot(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		before := b.Master(2).Commands()
		b.Master(2).Hang()
		_, _ = b.TryAcquire(b.Context(), "first", ttl) // this request hangs
		time.Sleep(timeout / 2)
		ctx, cancel := context.WithCancel(b.Context())
		l, err := b.TryAcquire(ctx, name, ttl) // this request waits behind it
		require.NoError(b, err)
		cancel()
		require.NoError(b, l.Release(b.Context()))
		b.Master(2).Resume()
		time.Sleep(timeout)
		_, stored := b.Master(2).Get(name)
		assert.False(b, stored)
		assert.Equal(b, 1, b.Master(2).Commands()-before, "only the first request was ever sent")
	})
}

// A master that answers with an error has changed nothing.
func TestRefusedAcquireOwesNoRelease(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.Fail("NOAUTH Authentication required.")
		}
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		for _, m := range b.Stats().Masters {
			assert.Zero(b, m.PendingReleases)
			assert.True(b, m.Answering)
		}
		assert.Zero(b, took(func() { assert.NoError(b, b.Manager.Close()) }))
	})
}

// However often Release is called, a master is owed one release of the key.
func TestRepeatedReleaseIsOwedOnce(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters()[:3] {
			m.Stop()
		}
		for range 50 {
			assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
			time.Sleep(3 * time.Millisecond)
		}
		for _, m := range b.Stats().Masters {
			assert.LessOrEqual(b, m.PendingReleases, 1)
		}
		for _, m := range b.Masters()[:3] {
			require.NoError(b, m.Restart(0))
		}
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())
		assert.NoError(b, b.Manager.Close())
	})
}

// One owed release is stuck in a client without deadlines. The master answers all others, so they
// must be delivered.
func TestStuckReleaseDoesNotDelayOthers(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.patientManager(quorum.Options{})
		defer m.Close()
		b.warmUp(m)
		var held []*quorum.Lock
		for i := range 40 {
			l, err := m.TryAcquire(b.Context(), fmt.Sprint("lock-", i), time.Hour)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		b.Master(2).Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		b.Master(2).DropReplies(1) // to the next owed release
		require.NoError(b, b.Master(2).Restart(0))
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(b, len(b.Master(2).Keys()), 1)
	})
}

// A master that does not answer one release is not asked to answer the other 499.
func TestCloseDoesNotWaitForEachOwedRelease(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var held []*quorum.Lock
		for i := range 500 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprint("lock-", i), time.Hour)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		b.Master(1).Stop()
		b.Master(2).Stop()
		for _, l := range held {
			assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		}
		assert.Less(b, took(func() {
			assert.ErrorContains(b, b.Manager.Close(), "500 locks left to expire")
		}), 2*time.Second)
	})
}

// The end of the longest TTL must not overflow into the past.
func TestReleaseOfLongestTTLIsOwed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, 1<<63-1)
		require.NoError(b, err)
		assert.Positive(b, l.Validity())
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Master(1).Restart(0))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// A lock that is acquired during Close could not be released anymore.
func TestNoLockIsAcquiredDuringClose(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(50*time.Millisecond, 1)
		}
		result := make(chan error)
		go func() {
			_, err := b.TryAcquire(context.Background(), name, ttl)
			result <- err
		}()
		time.Sleep(20 * time.Millisecond)
		closing := make(chan error)
		go func() { closing <- b.Manager.Close() }()
		assertReason(b, <-result, quorum.ErrClosed)
		assert.NoError(b, <-closing)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// The masters have confirmed these releases. They are only repeated in case the first try of the
// acquire arrives late, and now the masters do not answer.
func TestCloseDoesNotReportConfirmedReleases(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerRetryingTimeouts()
		b.delayNextRequests(10 * time.Millisecond)
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Positive(b, m.Stats().Masters[0].PendingReleases, "otherwise this tests nothing")
		for _, master := range b.Masters() {
			master.Stop()
		}
		assert.NoError(b, m.Close())
	})
}
