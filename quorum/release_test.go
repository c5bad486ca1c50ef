package quorum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

func TestReleaseRemovesKeyFromEveryMaster(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		lost := l.Lost()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
		<-lost
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		assert.Equal(b, 5, b.vacantMasters())
		assert.NoError(b, l.Release(b.Context()), "a second release is no error")
	})
}

func TestReleaseRemovesOnlyItsToken(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		synctest.Wait()
		b.occupy(2)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		assert.Equal(b, 2, b.mastersStoring("another"))
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestReleaseAfterWindowReturnsErrLost releases a lock that another client may hold by now.
func TestReleaseAfterWindowReturnsErrLost(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		time.Sleep(window)
		b.occupy(2)
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		synctest.Wait()
		assert.Equal(b, 2, b.mastersStoring("another"))
		assert.Equal(b, 3, b.vacantMasters(), "the lock's own keys are released")
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
	})
}

func TestReleaseWorksWithEndedContext(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		require.NoError(b, l.Release(endedContext()))
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestReleaseContinuesAfterContextEnds(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		synctest.Wait()
		b.hang(3)
		ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
		defer cancel()
		assert.Equal(b, 50*time.Millisecond, took(func() {
			err := l.Release(ctx)
			assertReason(b, err, quorum.ErrNoQuorum)
			assert.ErrorIs(b, err, context.DeadlineExceeded)
		}))
		assert.LessOrEqual(b, l.Validity(), time.Duration(0), "the window closes even if the release fails")
		b.resume()
		time.Sleep(timeout)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// TestReleaseWithoutQuorumIsDeliveredLater makes a release fail. It is repeated in the background,
// and another call of Release asks the masters again.
func TestReleaseWithoutQuorumIsDeliveredLater(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Minute)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters()[:3] {
			m.Stop()
		}
		assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		for _, m := range b.Masters()[:3] {
			require.NoError(b, m.Restart(0))
		}
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(6 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestReleaseCancelsUnsentExtend(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		synctest.Wait()
		late := b.Master(2)
		late.DelayReplies(300*time.Millisecond, 1)
		executed := late.Commands()
		require.NoError(b, l.Extend(b.Context(), ttl)) // in flight to the late master
		synctest.Wait()
		require.NoError(b, l.Extend(b.Context(), ttl)) // queued behind that one
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(time.Second)
		assert.Equal(b, executed+2, late.Commands(), "one extension and the release")
		assert.Equal(b, 3, b.vacantMasters())
	})
}

func TestConcurrentReleasesAllSucceed(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		for _, m := range b.Masters() {
			m.DelayReplies(20*time.Millisecond, -1)
		}
		results := make(chan error, 10)
		for range cap(results) {
			go func() { results <- l.Release(context.Background()) }()
		}
		for range cap(results) {
			assert.NoError(b, <-results)
		}
		time.Sleep(time.Second)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestCloseEndsLocksAndCalls(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l, watched := b.acquire(), b.acquireNamed("watched")
		lost := watched.Lost()
		waiting := make(chan error)
		go func() {
			_, err := b.Acquire(context.Background(), name, ttl)
			waiting <- err
		}()
		time.Sleep(time.Second)
		synctest.Wait() // the waiter may be asking right now
		executed := b.Master(0).Commands()
		require.NoError(b, b.Manager.Close())
		<-lost
		assertReason(b, <-waiting, quorum.ErrClosed)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, isLost(l))
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrClosed)
		_, err = b.Acquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrClosed)
		_, err = b.Inspect(b.Context(), name)
		assertReason(b, err, quorum.ErrClosed)
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrClosed)
		assertReason(b, l.Release(b.Context()), quorum.ErrClosed)
		assertReason(b, b.Manager.Close(), quorum.ErrClosed)
		assert.Equal(b, 5, b.mastersStoring(l.Token()), "unreleased locks are left to expire")
		assert.Equal(b, executed+1, b.Master(0).Commands(), "the waiter leaves the queue")
		assert.Equal(b, []string{name, "watched"}, b.Master(0).Keys())
	})
}

// TestReleaseWaitsForAnsweringMasters releases a lock while one of three masters hangs and was
// never sent its token. The release must wait for both of the others. If it counted the hung master
// instead, one of them might still store the token, and the next attempt would lack a quorum.
func TestReleaseWaitsForAnsweringMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		b.Master(2).Hang()
		stuck := b.acquireNamed("stuck") // in flight to the hung master
		time.Sleep(timeout / 2)
		l := b.acquire() // queued behind that one
		b.Master(1).DelayReplies(3*time.Millisecond, 1)
		b.Master(1).DelayRequests(3*time.Millisecond, 1)
		require.NoError(b, l.Release(b.Context()))
		assert.Equal(b, 3, b.vacantMasters())
		require.NoError(b, stuck.Release(b.Context()))
	})
}

// TestReleaseCountsMastersThatNeverStoredToken acquires a lock while two of five masters hang, and
// hangs a third before the release. At most that one still stores the token, so the release
// succeeds without waiting.
func TestReleaseCountsMastersThatNeverStoredToken(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		b.hang(2)
		stuck := b.acquireNamed("stuck") // in flight to the hung masters
		time.Sleep(timeout / 2)
		l := b.acquire() // queued behind that one
		b.Master(2).Hang()
		assert.LessOrEqual(b, took(func() { require.NoError(b, l.Release(b.Context())) }), 10*time.Millisecond)
		b.resume()
		require.NoError(b, stuck.Release(b.Context()))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())
	})
}
