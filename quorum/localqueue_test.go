package quorum_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
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

// Somebody waited for the lock a moment ago, so the contender queues up on the masters without an
// attempt. The waiter behind it has made no attempt either, but still learns that the lock is
// taken.
func TestWaiterBehindQueuedContenderGetsErrTaken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		results := make(chan acquireResult, 3)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		require.NoError(b, l.Release(b.Context()))
		s := b.nextLock(results) // from now on the lock counts as contended
		ctx, cancel := context.WithTimeout(b.Context(), 500*time.Millisecond)
		defer cancel()
		b.startWaiter(b.Context(), 1, b.Manager, results)
		b.startWaiter(ctx, 2, b.Manager, results)
		failed := <-results
		assert.Equal(b, 2, failed.waiter)
		assertReason(b, failed.err, quorum.ErrTaken)
		require.NoError(b, s.lock.Release(b.Context()))
		b.releaseNext(results)
	})
}

// A waiter saw the lock free when it was not its turn, and then another client took it.
func TestWaiterThatMissedFreeLockGetsErrTaken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		b.warmUp(waiter[0])
		b.plantWaiter("dead", 1, time.Minute) // first in the queue
		b.occupy(1)
		b.Master(1).FailNext(1, "LOADING soon")
		ctx, cancel := context.WithTimeout(b.Context(), 900*time.Millisecond)
		defer cancel()
		results := make(chan acquireResult, 1)
		b.startWaiter(ctx, 0, waiter[0], results) // its attempt gets no quorum
		b.Master(0).Del(name)
		time.Sleep(650 * time.Millisecond) // it has seen the lock free
		b.occupy(3)
		assertReason(b, (<-results).err, quorum.ErrTaken)
	})
}

// A failed attempt gives back what a minority granted it. If it handed that on to a waiter, the
// holder could not repair the master.
func TestFailedAttemptDoesNotHandOff(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		poller := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(poller)
		b.Master(0).Del(name)
		_, err = poller[0].TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, 1, b.vacantMasters(), "the master is vacant again")
		time.Sleep(ttl / 3)
		assert.Equal(b, 3, b.mastersStoring(l.Token()), "repaired")
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
	})
}

// Pollers and waiters compete with the holder for a key that one master lost. The holder repairs
// that master in time before another one fails.
func TestRepairSucceedsAmongPollersAndWaiters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		ctx, cancel := context.WithCancel(b.Context())
		managers := b.otherManagers(4, quorum.Options{})
		defer b.closeAll(managers)
		results := make(chan acquireResult, 4)
		for i, m := range managers[:2] {
			b.startWaiter(ctx, i, m, results)
		}
		for i, m := range managers[2:] {
			go func() {
				var err error
				for ctx.Err() == nil {
					_, err = m.TryAcquire(ctx, name, ttl)
					time.Sleep(time.Duration(7+4*i) * time.Millisecond)
				}
				results <- acquireResult{waiter: 2 + i, err: err}
			}()
		}
		b.Master(0).Del(name)
		time.Sleep(ttl / 2)
		assert.Equal(b, l.Token(), b.storedTokens()[0], "repaired")
		b.Master(1).Hang()
		time.Sleep(ttl)
		assert.Positive(b, l.Validity())
		cancel()
		for range managers {
			assert.Error(b, (<-results).err)
		}
		b.resume()
		require.NoError(b, l.Release(b.Context()))
	})
}

// A master hangs after it has said that the lock is free. The waiter must not wait for it to answer
// again.
func TestFreeLockIsConfirmedAlthoughMasterHangs(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.occupy(5)
		b.plantWaiter("dead", 1, time.Minute) // has its turn first
		waiter := b.otherManagers(1, quorum.Options{AttemptTimeout: 20 * time.Second})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		b.startWaiter(ctx, 0, waiter[0], results)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		time.Sleep(550 * time.Millisecond) // it has asked all masters
		b.hang(1)
		defer b.resume()
		assert.LessOrEqual(b, took(func() {
			s := <-results
			if assert.NoError(b, s.err) {
				require.NoError(b, s.lock.Release(b.Context()))
			}
		}), 2*time.Second)
	})
}

// Waiters behind a dead one wait for its grant to expire. So a grant must not last for
// AttemptTimeout if that is longer.
func TestGrantLastsTwoSecondsAtMost(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		opts := quorum.Options{AttemptTimeout: 10 * time.Second}
		managers := b.otherManagers(3, opts)
		l, err := managers[0].TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		results := make(chan acquireResult, 2)
		b.startWaiter(ctx, 0, managers[1], results)
		b.startWaiter(b.Context(), 1, managers[2], results)
		tokens := b.Master(0).Client().ZRange(b.Context(), queueKey, 0, -1).Val()
		require.Len(b, tokens, 2)
		for _, m := range b.Masters() { // put a dead waiter first, with such a grant
			record := m.Client().HGet(b.Context(), waitersKey, tokens[0]).Val()
			fields := strings.Fields(record)
			require.Len(b, fields, 8)
			grant, err := strconv.Atoi(fields[2])
			require.NoError(b, err)
			assert.LessOrEqual(b, grant, 2000)
			require.NoError(b, m.Client().ZAdd(b.Context(), queueKey, redis.Z{Score: 0, Member: "dead"}).Err())
			fields[7] = "nowhere"
			record = strings.Join(fields, " ")
			require.NoError(b, m.Client().HSet(b.Context(), waitersKey, "dead", record).Err())
		}
		cancel()
		assert.ErrorIs(b, (<-results).err, context.Canceled)
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), 2500*time.Millisecond)
		b.closeAll(managers)
	})
}

// In its last millisecond a key has a PTTL of 0, and the lock is free right after that. A waiter
// that already receives messages has no other reason to ask again soon.
func TestWaiterNoticesExpiryWhenPTTLIsZero(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		elsewhere := b.acquireNamed("elsewhere")
		ctx, cancel := context.WithCancel(b.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() { _, _ = b.Acquire(ctx, "elsewhere", ttl) })
		time.Sleep(time.Second)

		b.occupyFor(3, 10*time.Millisecond)
		time.Sleep(9600 * time.Microsecond)
		require.Equal(b, 3, b.mastersStoring("another"))
		assert.Less(b, took(func() {
			l, err := b.Acquire(b.Context(), name, ttl)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
		}), 20*time.Millisecond)
		cancel()
		waiting.Wait()
		require.NoError(b, elsewhere.Release(b.Context()))
	})
}

// A waiter that sees the lock free when it is not its turn asks again soon. Then it knows when the
// key of the next holder expires.
func TestWaiterThatSawFreeLockAsksAgainSoon(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupyFor(3, 100*time.Millisecond)
		b.plantWaiter("first", 1, time.Minute)
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		time.Sleep(450 * time.Millisecond) // it has asked again and found the lock free
		before := b.Master(0).Commands()
		time.Sleep(450 * time.Millisecond)
		assert.GreaterOrEqual(b, b.Master(0).Commands()-before, 4, "it asks every tenth of a second")
		b.occupy(3)
		time.Sleep(250 * time.Millisecond)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		b.releaseNext(results)
	})
}

// The masters answer too slowly for the TTL, so every attempt of the waiter wins too late.
func TestWaiterWithHopelessTTLLetsOthersPass(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
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

// A server may recover from a panic in Acquire. That must not block the name forever.
func TestPanicPassesTheTurnOn(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		broken := errors.New("a context that panics")
		func() {
			defer func() { assert.Equal(b, broken, recover()) }()
			_, _ = b.Acquire(panickingContext{b.Context(), broken}, name, ttl)
		}()
		l, err := b.Acquire(b.Context(), name, ttl)
		require.NoError(b, err)
		assert.NoError(b, l.Release(b.Context()))
	})
}

// panickingContext panics when asked for its error.
type panickingContext struct {
	context.Context
	value error
}

func (c panickingContext) Err() error { panic(c.value) }

// A lock whose hold limit passes before a quorum has answered is not acquired.
func TestAttemptThatOutlastsMaxHoldFails(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(20*time.Millisecond, 1)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(10*time.Millisecond))
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}
