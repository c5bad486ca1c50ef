package quorum_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// While a master is down, waiters get their turn as soon as the one before them is done.
func TestWaitersGetTheirTurnWithMasterDown(t *testing.T) {
	for _, masters := range []int{3, 5} {
		t.Run(fmt.Sprint(masters), func(t *testing.T) {
			bubble(t, masters, func(b *testbed) {
				b.Master(0).Stop()
				l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
				require.NoError(b, err)
				others := b.otherManagers(3, quorum.Options{})
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				defer cancel()
				got := make(chan acquireResult)
				for _, m := range others {
					go func() {
						l, err := m.Acquire(ctx, name, ttl, quorum.Exclusive())
						got <- acquireResult{lock: l, err: err}
					}()
				}
				time.Sleep(5 * time.Second)
				for range others {
					require.NoError(b, l.Release(b.Context()))
					var next acquireResult
					assert.LessOrEqual(b, took(func() { next = <-got }), 50*time.Millisecond)
					require.NoError(b, next.err)
					l = next.lock
				}
				require.NoError(b, l.Release(b.Context()))
				b.closeAllBut(0, others)
			})
		})
	}
}

// One master hangs. The holder's release reaches the second before a waiter's request, and the
// third after it. The waiter does not wait for the one that hangs.
func TestHungMasterDoesNotDelayHandOff(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		holder, theirs := b.linkedManager(quorum.Options{}, nil)
		waiter, ours := b.linkedManager(quorum.Options{}, nil)
		for _, m := range []*quorum.Manager{b.Manager, holder, waiter} {
			b.warmUp(m)
		}
		b.subscribe(waiter)
		l, err := holder.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		late := theirs[0].hold()
		defer late()
		require.NoError(b, l.Release(b.Context()))
		deliver := ours[2].hold()
		defer deliver()
		got := b.acquireLater(b.Context(), waiter, ttl, quorum.Exclusive())
		time.Sleep(5 * time.Millisecond)
		late()
		start := time.Now()
		require.NotNil(b, <-got)
		assert.Less(b, time.Since(start), 50*time.Millisecond)
	})
}

// Callers for a plain lock do not wait behind those for another lock of an ordered kind, whatever
// its name.
func TestLocalQueuesOfKindsAreApart(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		held := b.acquireNamed("x")
		go func() { _, _ = b.Acquire(ctx, "x", ttl, quorum.Exclusive()) }()
		synctest.Wait()
		for _, n := range []string{"ordered x", "x ordered"} {
			_, err := b.Acquire(b.Context(), n, ttl, quorum.WaitAtMost(time.Second))
			require.NoError(b, err)
		}
		_, err := b.Acquire(b.Context(), "x", ttl, quorum.WaitAtMost(time.Second))
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.NoError(b, held.Release(b.Context()))
		_, err = b.Acquire(b.Context(), "y", ttl)
		require.NoError(b, err)
		cancel()
		synctest.Wait()
	})
}

// closeAllBut closes Managers while one master is down. Then they may leave keys there to expire.
func (b *testbed) closeAllBut(down int, managers []*quorum.Manager) {
	b.Helper()
	require.NoError(b, b.Master(down).Restart(quorumtest.LoseMemory))
	time.Sleep(10 * time.Second)
	b.closeAll(managers)
}

// Messages have connections of their own. They may overtake the answers to the requests that made
// the masters admit the waiter.
func TestTurnThatComesBeforeTheAnswerIsNotLost(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		waiter := b.otherManagers(1, quorum.Options{})[0]
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err = waiter.Acquire(ctx, name, ttl, quorum.Exclusive()) // subscribes
		require.ErrorIs(b, err, quorum.ErrTaken)
		synctest.Wait()
		for _, m := range b.Masters() {
			m.DelayReplies(100*time.Millisecond, 1)
		}
		got := make(chan *quorum.Lock)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, ttl, quorum.Exclusive())
			assert.NoError(b, err)
			got <- l
		}()
		time.Sleep(50 * time.Millisecond)
		require.NoError(b, l.Release(b.Context()))
		var next *quorum.Lock
		assert.InDelta(b, 50*time.Millisecond, took(func() { next = <-got }), float64(10*time.Millisecond), "until the answers come")
		require.NoError(b, next.Release(b.Context()))
		require.NoError(b, waiter.Close())
	})
}

// A waiter's lease is no longer than its TTL. Of ten that wait at once, none starves.
func TestWaitersWithShortTTLsAreAllServed(t *testing.T) {
	const short, each = 20 * time.Millisecond, 10
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.DelayReplies(100*time.Microsecond, quorumtest.Always)
		}
		managers := b.otherManagers(10, quorum.Options{})
		ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
		defer cancel()
		var group sync.WaitGroup
		longest := make([]time.Duration, len(managers))
		for i, m := range managers {
			group.Go(func() {
				for range each {
					var l *quorum.Lock
					var err error
					longest[i] = max(longest[i], took(func() { l, err = m.Acquire(ctx, name, short, quorum.Exclusive()) }))
					if !assert.NoError(b, err) {
						return
					}
					time.Sleep(time.Millisecond)
					assert.NoError(b, l.Release(ctx))
				}
			})
		}
		group.Wait()
		for _, wait := range longest {
			assert.Less(b, wait, time.Second)
		}
		b.closeAll(managers)
	})
}

// A waiter may be answered when its MaxHold is over already, which counts from the request. That is
// no lock to return.
func TestWaiterGetsNoLockThatIsOver(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(200*time.Millisecond, 1)
		}
		l, err := b.Acquire(b.Context(), name, ttl, quorum.Exclusive(), quorum.MaxHold(100*time.Millisecond))
		require.NoError(b, err)
		assert.NoError(b, l.Err())
		assert.Positive(b, l.Validity())
		require.NoError(b, l.Release(b.Context()))
	})
}

// A waiter that stands on too few masters enters anew now and then. Its earlier entries must not
// stay in the way of others until their leases end.
func TestWaiterThatEntersAnewLeavesItsEntry(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters()[1:] {
			m.Fail("MISCONF it cannot write")
		}
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		done := make(chan error)
		go func() {
			_, err := b.Acquire(ctx, name, ttl, quorum.Exclusive())
			done <- err
		}()
		tokens := map[string]bool{}
		for range 90 {
			time.Sleep(100 * time.Millisecond)
			i, err := b.Inspect(b.Context(), name)
			require.NoError(b, err)
			require.LessOrEqual(b, len(i.Masters[0].Entries), 1)
			for _, e := range i.Masters[0].Entries {
				tokens[e.Token] = true
			}
		}
		assert.Greater(b, len(tokens), 3, "it enters anew")
		require.ErrorIs(b, <-done, quorum.ErrNoQuorum)
	})
}

// The masters keep a waiter's entry for longer than its lease, as they keep a holder's for longer
// than its TTL: a message may make it the holder.
func TestLockDelayCoversWaiters(t *testing.T) {
	const delay = time.Minute
	bubbleWith(t, 3, quorum.Options{LockDelay: delay}, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = b.Acquire(ctx, name, ttl, quorum.Exclusive()) // it waits until the end
		}()
		for range 4 {
			time.Sleep(time.Second)
			i, err := b.Inspect(b.Context(), name)
			require.NoError(b, err)
			for _, m := range i.Masters {
				require.Len(b, m.Entries, 2)
				assert.Greater(b, m.Entries[1].TTL, delay)
				assert.Less(b, m.Entries[1].TTL, delay+ttl)
			}
		}
		<-done
		require.NoError(b, l.Release(b.Context()))
	})
}

// A master has forgotten a holder and a waiter. The waiter asks more often than the holder. It must
// not be admitted there before the holder is.
func TestWaiterIsNotAdmittedAnewWhereItWasForgotten(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive(), quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait() // otherwise, the waiter may come first on the third master
		waiter := b.otherManagers(1, quorum.Options{})[0]
		got := make(chan *quorum.Lock, 1)
		go func() {
			next, err := waiter.Acquire(b.Context(), name, ttl, quorum.Exclusive())
			assert.NoError(b, err)
			got <- next
		}()
		time.Sleep(time.Second)
		require.NoError(b, b.Master(0).Restart(quorumtest.LoseMemory))
		time.Sleep(ttl)
		require.Empty(b, got)
		assert.Len(b, b.standsOn(l.Token()), 3, "renewals put the holder's entry back")
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, (<-got).Release(b.Context()))
		require.NoError(b, waiter.Close())
	})
}
