package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestThoseBehindAContenderAreToldThatItIsTaken, though neither it nor they have made
// an attempt: somebody waited for the lock just now, so they asked the queues.
func TestThoseBehindAContenderAreToldThatItIsTaken(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		got := make(chan served, 3)
		b.wait(b.Context(), 0, b.Manager, got)
		require.NoError(b, l.Release(b.Context()))
		s := <-got // whoever comes now finds the lock contended
		require.NoError(b, s.err)
		ctx, cancel := context.WithTimeout(b.Context(), 500*time.Millisecond)
		defer cancel()
		b.wait(b.Context(), 1, b.Manager, got)
		b.wait(ctx, 2, b.Manager, got)
		told := <-got
		assert.Equal(b, 2, told.who)
		assertReason(b, told.err, quorum.ErrTaken)
		require.NoError(b, s.lock.Release(b.Context()))
		s = <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// TestLosersOfAFreeLockAreToldThatItIsTaken: they saw it free, and somebody else took
// it before them.
func TestLosersOfAFreeLockAreToldThatItIsTaken(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		b.warm(waiter[0])
		b.plant("dead", 1, time.Minute) // before the waiter
		b.occupy(1)
		b.Master(1).FailNext(1, "LOADING soon")
		ctx, cancel := context.WithTimeout(b.Context(), 900*time.Millisecond)
		defer cancel()
		got := make(chan served, 1)
		b.wait(ctx, 0, waiter[0], got) // its attempt fails for want of a quorum
		b.Master(0).Del(name)
		time.Sleep(650 * time.Millisecond) // it has asked, and it is not its turn
		b.occupy(3)
		assertReason(b, (<-got).err, quorum.ErrTaken)
	})
}

// TestFailedAttemptsHandOnToNobody: what a plain attempt was granted by a minority
// would keep the holder's repair out.
func TestFailedAttemptsHandOnToNobody(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		poller := b.others(1, quorum.Options{})
		defer b.closeAll(poller)
		b.Master(0).Del(name)
		_, err = poller[0].TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, 1, b.count(""), "the master is vacant, as before")
		time.Sleep(ttl / 3)
		assert.Equal(b, 3, b.count(l.Token()), "and repaired")
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// TestRepairSucceedsAmongPollersAndWaiters before one more master fails.
func TestRepairSucceedsAmongPollersAndWaiters(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		ctx, cancel := context.WithCancel(b.Context())
		managers := b.others(4, quorum.Options{})
		defer b.closeAll(managers)
		got := make(chan served, 4)
		for i, m := range managers[:2] {
			b.wait(ctx, i, m, got)
		}
		for i, m := range managers[2:] {
			go func() {
				var err error
				for ctx.Err() == nil {
					_, err = m.TryAcquire(ctx, name, ttl)
					time.Sleep(time.Duration(7+4*i) * time.Millisecond)
				}
				got <- served{who: 2 + i, err: err}
			}()
		}
		b.Master(0).Del(name)
		time.Sleep(ttl / 2)
		assert.Equal(b, l.Token(), b.standing()[0], "repaired")
		b.Master(1).Hang()
		time.Sleep(ttl)
		assert.Positive(b, l.Validity())
		cancel()
		for range managers {
			assert.Error(b, (<-got).err)
		}
		b.resume()
		require.NoError(b, l.Release(b.Context()))
	})
}

// TestVacantLockIsClaimedThoughAMasterHangs that had said so before.
func TestVacantLockIsClaimedThoughAMasterHangs(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.occupy(5)
		b.plant("dead", 1, time.Minute) // has the first turn
		waiter := b.others(1, quorum.Options{AttemptTimeout: 20 * time.Second})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		b.wait(ctx, 0, waiter[0], got)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		time.Sleep(550 * time.Millisecond) // it has asked all
		b.hang(1)
		defer b.resume()
		assert.LessOrEqual(b, took(func() {
			s := <-got
			if assert.NoError(b, s.err) {
				require.NoError(b, s.lock.Release(b.Context()))
			}
		}), 2*time.Second)
	})
}

// TestDeadWaiterCostsTwoSeconds, however long attempts may take.
func TestDeadWaiterCostsTwoSeconds(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		opts := quorum.Options{AttemptTimeout: 10 * time.Second}
		managers := b.others(3, opts)
		l, err := managers[0].TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		got := make(chan served, 2)
		b.wait(ctx, 0, managers[1], got)
		b.wait(b.Context(), 1, managers[2], got)
		tokens := b.Master(0).Client().ZRange(b.Context(), queueKey, 0, -1).Val()
		require.Len(b, tokens, 2)
		for _, m := range b.Masters() { // whom the first is told by, and it does not ask
			record := m.Client().HGet(b.Context(), waitersKey, tokens[0]).Val()
			var until, grant int64
			var inbox string
			_, err := fmt.Sscan(record, &until, &grant, &inbox)
			require.NoError(b, err)
			assert.LessOrEqual(b, grant, int64(2000))
			require.NoError(b, m.Client().ZAdd(b.Context(), queueKey, redis.Z{Score: 0, Member: "dead"}).Err())
			require.NoError(b, m.Client().HSet(b.Context(), waitersKey, "dead", fmt.Sprint(until, " ", grant, " nowhere")).Err())
		}
		cancel()
		assert.ErrorIs(b, (<-got).err, context.Canceled)
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}), 2500*time.Millisecond)
		b.closeAll(managers)
	})
}

// TestExpiryIsNoticedInItsMillisecond: PTTL says 0 then, and the lock is free at once. A waiter that listens already
// has no other reason to ask again soon.
func TestExpiryIsNoticedInItsMillisecond(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		elsewhere := b.acquireNamed("elsewhere")
		ctx, cancel := context.WithCancel(b.Context())
		var listening sync.WaitGroup
		listening.Go(func() { _, _ = b.Acquire(ctx, "elsewhere", ttl) })
		time.Sleep(time.Second)

		b.occupyFor(3, 10*time.Millisecond)
		time.Sleep(9600 * time.Microsecond)
		require.Equal(b, 3, b.count("another"))
		assert.Less(b, took(func() {
			l, err := b.Acquire(b.Context(), name, ttl)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
		}), 20*time.Millisecond)
		cancel()
		listening.Wait()
		require.NoError(b, elsewhere.Release(b.Context()))
	})
}

// TestWhoeverSeesAFreeLockSoonSeesWhoTookIt, if it is not its turn: then it knows when
// that one's key expires.
func TestWhoeverSeesAFreeLockSoonSeesWhoTookIt(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupyFor(3, 300*time.Millisecond)
		b.plant("before it", 1, time.Minute)
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		time.Sleep(650 * time.Millisecond) // it has asked once more, and found it free
		before := b.Master(0).Commands()
		b.occupy(3)
		time.Sleep(250 * time.Millisecond)
		assert.Greater(b, b.Master(0).Commands(), before, "it has asked again")
		for _, m := range b.Masters() {
			m.Del(name)
		}
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// TestAHopelessTTLLetsOthersPass: its attempts win too late each time.
func TestAHopelessTTLLetsOthersPass(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(20*time.Millisecond, quorumtest.Always)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
		defer cancel()
		hopeless := make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, name, 10*time.Millisecond)
			hopeless <- err
		}()
		time.Sleep(time.Second)
		var l *quorum.Lock
		assert.LessOrEqual(b, took(func() {
			var err error
			l, err = b.Acquire(b.Context(), name, ttl)
			require.NoError(b, err)
		}), time.Second)
		require.NoError(b, l.Release(b.Context()))
		err := <-hopeless
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
	})
}

// TestAPanicPassesTheTurn on: a server that recovers from it must not have its name
// blocked for ever.
func TestAPanicPassesTheTurn(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		broken := errors.New("a context that panics")
		func() {
			defer func() { assert.Equal(b, broken, recover()) }()
			_, _ = b.Acquire(panicking{b.Context(), broken}, name, ttl)
		}()
		l, err := b.Acquire(b.Context(), name, ttl)
		require.NoError(b, err)
		assert.NoError(b, l.Release(b.Context()))
	})
}

type panicking struct {
	context.Context
	with error
}

func (p panicking) Err() error { panic(p.with) }

// TestAttemptsEndWithAutoRenewsBound: a lock that is over when it is won is none.
func TestAttemptsEndWithAutoRenewsBound(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(20*time.Millisecond, 1)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(10*time.Millisecond))
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		assert.Equal(b, 3, b.count(""))
	})
}
