package quorum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestDetachedLockIsResumed hands a lock from one process to another, and back. The first one's end
// does not matter.
func TestDetachedLockIsResumed(t *testing.T) {
	for what, opts := range map[string]quorum.Options{
		"plain": {}, "fencing": {Fencing: true}, "delay": {LockDelay: delay},
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 5, opts, func(b *testbed) {
				l := b.acquire()
				time.Sleep(time.Second)
				handed, err := l.Detach(b.Context(), ttl)
				require.NoError(b, err)
				assert.Equal(b, l.Token(), handed)
				assert.ErrorIs(b, l.Err(), quorum.ErrDetached)
				assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
				assertReason(b, l.Release(b.Context()), quorum.ErrLost)
				require.NoError(b, b.Manager.Close())

				opts.Clock = b.clock
				second := newManager(b.T, b.Cluster, opts)
				time.Sleep(time.Second)
				r, err := second.Resume(b.Context(), name, handed)
				require.NoError(b, err)
				assert.Equal(b, handed, r.Token())
				assert.Equal(b, l.Fence(), r.Fence())
				left := ttl - time.Second
				assert.InDelta(b, clock.DefaultDrift.Window(left), r.Validity(), float64(2*time.Millisecond))
				require.NoError(b, r.Extend(b.Context(), ttl))
				assert.Equal(b, []*quorum.Lock{r}, second.Held())
				_, err = second.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrTaken)
				require.NoError(b, r.Release(b.Context()))
				synctest.Wait()
				assert.Equal(b, 5, b.vacantMasters())
				require.NoError(b, second.Close())
			})
		})
	}
}

// TestResumedWindowIsCoveredByMasters resumes a lock with slow answers, and with masters that will
// keep it for different times. Until the window closes, a quorum must store the token.
func TestResumedWindowIsCoveredByMasters(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		token := b.acquire().Token()
		for i, m := range b.Masters() {
			m.Set(name, token, time.Duration(i+1)*2*time.Second)
			m.DelayReplies(300*time.Millisecond, 1)
			m.SetClockRate(1.01)
		}
		l, err := b.Resume(b.Context(), name, token)
		require.NoError(b, err)
		validity := l.Validity()
		assert.InDelta(b, 6*time.Second-300*time.Millisecond, validity, float64(70*time.Millisecond))
		time.Sleep(validity - 1)
		assert.GreaterOrEqual(b, b.mastersStoring(token), 3)
	})
}

// TestResumeNeedsTheTokenOnAQuorum also checks that a failed Resume changes nothing.
func TestResumeNeedsTheTokenOnAQuorum(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		token := b.acquire().Token()
		_, err := b.Resume(b.Context(), name, "another")
		assert.ErrorIs(b, err, quorum.ErrNotHeld)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		_, err = b.Resume(b.Context(), name, "")
		assert.ErrorIs(b, err, quorum.ErrNotHeld)
		for _, m := range b.Masters()[:3] {
			m.Set(name, "another", ttl)
		}
		_, err = b.Resume(b.Context(), name, token)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		time.Sleep(time.Second)
		assert.Equal(b, 2, b.mastersStoring(token))
		b.occupyFor(5, 0)
		for _, m := range b.Masters() {
			m.Set(name, token, 0)
		}
		_, err = b.Resume(b.Context(), name, token)
		assert.ErrorIs(b, err, quorum.ErrNotHeld, "a key without an expiry is not this library's")
	})
}

// TestResumeFailsIfTheWindowIsOver has answers that come after the keys have expired.
func TestResumeFailsIfTheWindowIsOver(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		token := b.acquire().Token()
		for _, m := range b.Masters() {
			m.Set(name, token, 100*time.Millisecond)
			m.DelayReplies(500*time.Millisecond, quorumtest.Always)
		}
		_, err := b.Resume(b.Context(), name, token)
		assertReason(b, err, quorum.ErrNoQuorum)
		_, err = b.Resume(endedContext(), name, token)
		assert.ErrorIs(b, err, context.Canceled)
	})
}

// TestResumedFenceIsOnAQuorum has the fence of a lock on too few masters: others, which only
// repaired the key, forgot it. The next holder's fence must be higher all the same.
func TestResumedFenceIsOnAQuorum(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		l := b.acquire()
		token, err := l.Detach(b.Context(), ttl)
		require.NoError(b, err)
		for _, m := range b.Masters()[:2] {
			m.Del("redlock:aux:fence{" + name + "}")
		}
		r, err := b.Resume(b.Context(), name, token)
		require.NoError(b, err)
		assert.Equal(b, l.Fence(), r.Fence())
		synctest.Wait()
		for _, m := range b.Masters() {
			_, stored := m.Get("redlock:aux:fence{" + name + "}")
			assert.True(b, stored)
		}
		token, err = r.Detach(b.Context(), ttl)
		require.NoError(b, err)
		for _, m := range b.Masters()[:2] { // they tell who holds the lock, and store nothing
			m.Fail("READONLY You can't write against a read only replica.")
		}
		_, err = b.Resume(b.Context(), name, token)
		assertReason(b, err, quorum.ErrNoQuorum)
	})
}

// TestDetachEndsRenewals has the first process send nothing more.
func TestDetachEndsRenewals(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		_, err = l.Detach(b.Context(), ttl)
		require.NoError(b, err)
		_, err = l.Detach(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		synctest.Wait()
		before := b.Master(0).Commands()
		time.Sleep(ttl + 1)
		assert.Equal(b, before, b.Master(0).Commands())
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestDoWithDetachedLockIsNoLoss gives the lock away inside Do.
func TestDoWithDetachedLockIsNoLoss(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.NoError(b, b.Do(b.Context(), name, ttl, func(_ context.Context, l *quorum.Lock) error {
			_, err := l.Detach(b.Context(), ttl)
			return err
		}))
		synctest.Wait()
		assert.Zero(b, b.vacantMasters(), "it is another process's now")
	})
}

// TestDetachRightAfterHandOff detaches a lock that the masters keep for a second or two only, so
// far.
func TestDetachRightAfterHandOff(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		l := b.handOff(b.Manager, waiter[0], func() {})
		token, err := l.Detach(b.Context(), time.Minute)
		require.NoError(b, err)
		time.Sleep(50 * time.Second)
		_, err = b.Resume(b.Context(), name, token)
		assert.NoError(b, err)
	})
}

// TestResumedLockIsReleasedAfterLateAcquire delays the first process's request to one master until
// after the second has released the lock.
func TestResumedLockIsReleasedAfterLateAcquire(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		second := b.otherManagers(1, quorum.Options{AttemptTimeout: 100 * time.Millisecond})
		defer b.closeAll(second)
		b.Master(2).DelayRequests(700*time.Millisecond, 1)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		token, err := l.Detach(b.Context(), time.Hour)
		require.NoError(b, err)
		r, err := second[0].Resume(b.Context(), name, token)
		require.NoError(b, err)
		require.NoError(b, r.Release(b.Context()))
		time.Sleep(10 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestReleasedLockIsNotResumed keeps MinHold.
func TestReleasedLockIsNotResumed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(ttl))
		require.NoError(b, err)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		_, err = b.Resume(b.Context(), name, i.Token)
		assert.ErrorIs(b, err, quorum.ErrNotHeld)
	})
}
