package quorum_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// operator returns another Manager, with an owner of its own.
func (b *testbed) operator() *quorum.Manager {
	b.Helper()
	m := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Owner: "operator"})
	b.Cleanup(func() { _ = m.Close() })
	return m
}

// TestBreakEndsJobWithErrDenied breaks the lock of a running job, by what Inspect shows.
func TestBreakEndsJobWithErrDenied(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		operator := b.operator()
		started, done := make(chan struct{}), make(chan error)
		go func() {
			done <- b.Do(b.Context(), name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
				close(started)
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}()
		<-started
		time.Sleep(time.Minute)
		i, err := operator.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.NoError(b, operator.Break(b.Context(), name, i.Token))
		synctest.Wait()
		assert.Less(b, b.mastersStoring(i.Token), 3, "a renewal that was under way may repair a minority")
		assert.LessOrEqual(b, took(func() { err = <-done }), ttl/3)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrDenied)
		time.Sleep(ttl)
		assert.Equal(b, 5, b.vacantMasters())
		assert.ErrorIs(b, operator.Break(b.Context(), name, i.Token), quorum.ErrNotHeld)
	})
}

// TestBreakHandsOn has a waiter: it gets the lock at once.
func TestBreakHandsOn(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		l := b.acquire()
		r := &recorder{}
		waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Fencing: true, Events: r.events()})
		got := make(chan *quorum.Lock)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, ttl)
			assert.NoError(b, err)
			got <- l
		}()
		time.Sleep(time.Second)
		require.NoError(b, b.Break(b.Context(), name, l.Token()))
		var next *quorum.Lock
		assert.Less(b, took(func() { next = <-got }), 100*time.Millisecond)
		assert.Greater(b, next.Fence(), l.Fence())
		assert.True(b, one[quorum.AcquiredEvent](b, r).HandedOn)
		require.NoError(b, waiter.Close())
	})
}

// TestBreakNeedsTheVeryToken must not break a lock that has changed hands since the operator
// looked.
func TestBreakNeedsTheVeryToken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		before := b.acquire()
		require.NoError(b, before.Release(b.Context()))
		l := b.acquire()
		for _, other := range []string{before.Token(), "", "another", l.Token()[:10], l.Token() + "x"} {
			err := b.Break(b.Context(), name, other)
			assert.ErrorIs(b, err, quorum.ErrNotHeld)
			assert.EqualError(b, err, `quorum: break "nightly-mail": quorum: no master that answered stores the token`)
		}
		synctest.Wait()
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		assert.NoError(b, l.Extend(b.Context(), ttl))
	})
}

// TestBreakNeedsQuorum leaves too few masters. What was taken there is released again, and a
// repeated Break succeeds.
func TestBreakNeedsQuorum(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		b.hang(2)
		require.NoError(b, b.Break(b.Context(), name, l.Token()), "a minority hangs")
		b.resume()
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())

		l = b.acquire()
		for _, m := range b.Masters()[:3] {
			m.Fail("READONLY You can't write against a read only replica.")
		}
		assertReason(b, b.Break(b.Context(), name, l.Token()), quorum.ErrNoQuorum)
		assert.GreaterOrEqual(b, b.mastersStoring(l.Token()), 3)
		for _, m := range b.Masters()[:3] {
			m.Heal()
			m.DelayReplies(time.Minute, quorumtest.Always)
		}
		assertReason(b, b.Break(b.Context(), name, l.Token()), quorum.ErrNoQuorum)
		for _, m := range b.Masters()[:3] {
			m.Heal()
			m.Hang()
		}
		for _, m := range b.Masters()[:3] {
			m.Resume()
		}
		time.Sleep(5 * time.Second)
		err := b.Break(b.Context(), name, l.Token())
		if !errors.Is(err, quorum.ErrNotHeld) { // the first Break may have reached all
			require.NoError(b, err)
		}
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// TestBreakPrevailsOverRepairs breaks a lock whose masters have partly forgotten it, while its
// holder extends it and repairs them all the time.
func TestBreakPrevailsOverRepairs(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, 5, func(b *testbed) {
			b.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			someTime := func() time.Duration { return time.Duration(r.Int64N(int64(20 * time.Millisecond))) }
			l := b.acquire()
			breakAt := time.Now().Add(50*time.Millisecond + someTime())
			operator := b.operator()
			broken := make(chan struct{})
			go func() {
				defer close(broken)
				time.Sleep(time.Until(breakAt))
				assert.NoError(b, operator.Break(b.Context(), name, l.Token()))
			}()
			for n := 0; l.Err() == nil; n++ {
				b.Master(n%5).DelayReplies(someTime(), 1)
				b.Master((n + 2) % 5).Del(name)
				_ = l.Extend(b.Context(), ttl)
			}
			<-broken
			assert.ErrorIs(b, l.Err(), quorum.ErrDenied)
			time.Sleep(window)
			assert.Equal(b, 5, b.vacantMasters())
		})
	}
}

// TestBreakIsNotUndoneByRepairs has an operator who reaches only three masters of five, and a
// holder that has yet to repair one of these three. With the other two, that would be a quorum.
func TestBreakIsNotUndoneByRepairs(t *testing.T) {
	for _, between := range []bool{false, true} {
		bubbleWith(t, 5, quorum.Options{Fencing: true}, func(b *testbed) {
			b.warmUp(b.Manager)
			l := b.acquire()
			time.Sleep(2 * time.Second)
			b.Master(2).Set(name, "a dead contender's", 150*time.Millisecond)
			require.NoError(b, l.Extend(b.Context(), ttl)) // repairs of master 2 follow, with growing pauses
			time.Sleep(160 * time.Millisecond)
			operator := b.managerThatReaches(3, quorum.Options{Owner: "operator", Fencing: true})
			require.NoError(b, operator.Break(b.Context(), name, l.Token()))
			if between {
				other := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Fencing: true})
				next, err := other.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				assert.Greater(b, next.Fence(), l.Fence())
				require.NoError(b, next.Release(b.Context()))
				require.NoError(b, other.Close())
			}
			time.Sleep(time.Second)
			assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
			assert.ErrorIs(b, l.Err(), quorum.ErrDenied)
			require.NoError(b, operator.Close())
		})
	}
}

// managerThatReaches returns a Manager whose connections to all but the first n masters fail.
func (b *testbed) managerThatReaches(n int, opts quorum.Options) *quorum.Manager {
	b.Helper()
	made := 0
	return b.managerWithClients(opts, func(o *redis.Options) {
		if made++; made > n {
			o.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("unreachable") }
		}
	})
}

// TestBreakWaitsForRequestsThatAcquired breaks a lock right after its acquisition. A request to
// acquire it that is late could otherwise give it back.
func TestBreakWaitsForRequestsThatAcquired(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		assert.InDelta(b, timeout, took(func() { require.NoError(b, b.Break(b.Context(), name, l.Token())) }), float64(2*time.Millisecond))
		b.occupy(3) // another client's token, whose age nobody knows
		assert.Equal(b, timeout, took(func() { require.NoError(b, b.Break(b.Context(), name, "another")) }))
		l = b.acquire()
		time.Sleep(2 * timeout)
		assert.Zero(b, took(func() { require.NoError(b, b.Break(b.Context(), name, l.Token())) }))
	})
}

// TestBreakRemovesWhatIsLeftOfALock has a lock that has changed hands on a majority.
func TestBreakRemovesWhatIsLeftOfALock(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.occupy(2)
		require.NoError(b, b.Break(b.Context(), name, l.Token()))
		synctest.Wait()
		assert.Equal(b, 2, b.mastersStoring("another"))
		assert.Equal(b, 1, b.vacantMasters())
	})
}

// TestBreakOnFullMasters has masters that cannot store anything. They forget the lock, but a repair
// may follow when they have memory again, so Break must not say that the lock is free.
func TestBreakOnFullMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		for _, m := range b.Masters() {
			m.Full()
		}
		err := b.Break(b.Context(), name, l.Token())
		require.ErrorIs(b, err, quorum.ErrNoQuorum)
		require.ErrorContains(b, err, "OOM")
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestBreakEndsMinHold frees a released lock that MinHold keeps taken.
func TestBreakEndsMinHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MinHold(ttl))
		require.NoError(b, err)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		assert.ErrorIs(b, b.Break(b.Context(), name, l.Token()), quorum.ErrNotHeld, "that is the token of the lock, not of what is left")
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.NoError(b, b.Break(b.Context(), name, i.Token))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestBreakOfOnceFreesItsPeriod lets a job run again whose period was taken in vain.
func TestBreakOfOnceFreesItsPeriod(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: 2 * time.Hour}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		_, err := b.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.NoError(b, b.Break(b.Context(), name, i.Token))
		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		assert.True(b, ran)
		assert.NoError(b, err)
	})
}

func TestBreakChecksItsArguments(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.EqualError(b, b.Break(b.Context(), "", "token"), "quorum: break: empty name")
		assert.ErrorContains(b, b.Break(b.Context(), "redlock:aux:x", "token"), "reserved for auxiliary keys")
		l := b.acquire()
		err := b.Break(endedContext(), name, l.Token())
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.Canceled)
		assert.ErrorContains(b, err, "quorum: break")
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		go func() {
			time.Sleep(timeout / 2) // while Break waits until the lock is old enough
			_ = b.Manager.Close()
		}()
		assert.ErrorIs(b, b.Break(b.Context(), name, l.Token()), quorum.ErrClosed)
		assert.ErrorIs(b, b.Break(b.Context(), name, l.Token()), quorum.ErrClosed)
	})
}
