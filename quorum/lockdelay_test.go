package quorum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const delay = 4 * time.Second

// keptFor asserts for how long the masters keep the lock.
func (b *testbed) assertKeptFor(want time.Duration) {
	b.Helper()
	for _, m := range b.Masters() {
		assert.InDelta(b, want, m.TTL(name), float64(20*time.Millisecond))
	}
}

// TestLockDelayOutlastsTheWindow covers everything that makes masters keep a lock.
func TestLockDelayOutlastsTheWindow(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
		l := b.acquire()
		assert.Equal(b, window, l.Validity(), "the window is that of the TTL")
		b.assertKeptFor(ttl + delay)
		time.Sleep(5 * time.Second)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, window, l.Validity())
		b.assertKeptFor(ttl + delay)
		b.Master(0).FlushAll()
		time.Sleep(time.Second)
		require.NoError(b, l.Extend(b.Context(), ttl), "which repairs")
		time.Sleep(time.Second)
		b.assertKeptFor(ttl + delay - time.Second)
		time.Sleep(window)
		assert.ErrorIs(b, l.Err(), quorum.ErrExpired)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		time.Sleep(ttl - window + delay)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.NoError(b, err)
	})
}

func TestReleaseWithLockDelayFreesAtOnce(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
		require.NoError(b, b.acquire().Release(b.Context()))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestLockThatEndedIsLeftForTheDelay ends a renewed lock in ways that are not the caller's. Only
// the caller's own release, which comes later, removes what is left.
func TestLockThatEndedIsLeftForTheDelay(t *testing.T) {
	for how, tt := range map[string]struct {
		opts []quorum.AcquireOption
		end  func(b *testbed, l *quorum.Lock)
	}{
		"hold limit": {[]quorum.AcquireOption{quorum.AutoRenew(15 * time.Second)}, func(*testbed, *quorum.Lock) { time.Sleep(15 * time.Second) }},
		"failed extension": {nil, func(b *testbed, l *quorum.Lock) {
			for _, m := range b.Masters() {
				m.DelayReplies(time.Minute, 1)
			}
			assert.Error(b, l.Extend(b.Context(), ttl))
			time.Sleep(window)
		}},
	} {
		t.Run(how, func(t *testing.T) {
			bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
				l, err := b.TryAcquire(b.Context(), name, ttl, tt.opts...)
				require.NoError(b, err)
				synctest.Wait()
				tt.end(b, l)
				<-l.Lost()
				synctest.Wait()
				assert.Equal(b, 3, b.mastersStoring(l.Token()), "the holder may not have noticed yet")
				time.Sleep(delay / 2)
				assert.Equal(b, 3, b.mastersStoring(l.Token()))
				assertReason(b, l.Release(b.Context()), quorum.ErrLost)
				synctest.Wait()
				assert.Equal(b, 3, b.vacantMasters(), "the caller is done")
			})
		})
	}
}

// TestHandedOnLockHasTheDelay looks at the masters just after a hand-off, and after the lock was
// extended to its TTL.
func TestHandedOnLockHasTheDelay(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
		holder := b.acquire()
		waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, LockDelay: delay})
		got := make(chan *quorum.Lock)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, ttl)
			assert.NoError(b, err)
			got <- l
		}()
		time.Sleep(time.Second)
		require.NoError(b, holder.Release(b.Context()))
		l := <-got
		short := l.Validity()
		assert.Less(b, short, 2*time.Second)
		for _, m := range b.Masters() {
			assert.GreaterOrEqual(b, m.TTL(name), short+delay)
		}
		time.Sleep(time.Second)
		b.assertKeptFor(ttl + delay - time.Second)
		require.NoError(b, waiter.Close())
	})
}

// TestLockDelayNeedsTheGuard counts the delay to what a master must not forget.
func TestLockDelayNeedsTheGuard(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{LockDelay: delay, RestartGuard: ttl + delay}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		l := b.acquire()
		_, err := b.TryAcquire(b.Context(), "other", ttl+time.Millisecond)
		assert.ErrorContains(b, err, "TTL 10.001s and the lock delay 4s together are over the restart guard 14s")
		assert.ErrorContains(b, l.Extend(b.Context(), ttl+time.Millisecond), "together are over the restart guard")
		ran, err := b.Once(b.Context(), "period", ttl+delay, func(context.Context) error { return nil })
		assert.True(b, ran, "a period has no delay: %v", err)
	})
	_, err := quorum.Open([]string{"redis://127.0.0.1:1"}, &quorum.Options{LockDelay: time.Second, RestartGuard: time.Second})
	assert.ErrorContains(t, err, "LockDelay 1s leaves no TTL under the RestartGuard 1s")
	_, err = quorum.Open([]string{"redis://127.0.0.1:1"}, &quorum.Options{LockDelay: time.Second + 1})
	assert.ErrorContains(t, err, "LockDelay 1.000000001s is not in whole milliseconds")
}

// TestPolledGrantDoesNotCountTheDelay has a waiter that no message reaches. It learns of its grant,
// and of how long the master will keep it, by polling.
func TestPolledGrantDoesNotCountTheDelay(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
		elsewhere, err := quorumtest.StartInProcess(1)
		require.NoError(b, err)
		waiter := b.deafManager(elsewhere.Master(0).Client(), quorum.Options{LockDelay: delay})
		holder := b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter, results)
		time.Sleep(time.Second)
		require.NoError(b, holder.Release(b.Context()))
		l := b.nextLock(results).lock
		if validity := l.Validity(); validity < ttl/2 { // else it confirmed the lock, for its TTL
			for _, m := range b.Masters() {
				assert.GreaterOrEqual(b, m.TTL(name), validity+delay)
			}
		}
		assert.NoError(b, waiter.Close())
		require.NoError(b, elsewhere.Close())
	})
}
