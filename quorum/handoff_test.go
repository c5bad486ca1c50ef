package quorum_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// handOff hands the lock from one Manager to a waiter of another, and returns the waiter's lock. It
// calls before right before the release.
func (b *testbed) handOff(holder, waiter *quorum.Manager, before func(), opts ...quorum.AcquireOption) *quorum.Lock {
	b.Helper()
	l, err := holder.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	synctest.Wait() // all masters have granted it
	results := make(chan acquireResult, 1)
	b.startWaiter(b.Context(), 0, waiter, results, opts...)
	synctest.Wait()
	before()
	require.NoError(b, l.Release(b.Context()))
	return b.nextLock(results).lock
}

// commands returns how many commands each master has executed.
func (b *testbed) commands() (n []int) {
	for _, m := range b.Masters() {
		n = append(n, m.Commands())
	}
	return n
}

// The waiter sends nothing between the holder's release and its own, unless it holds the lock for a
// while.
func TestHandOffTakesNoRequest(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 3, opts, func(b *testbed) {
			waiter := b.otherManagers(1, opts)
			defer b.closeAll(waiter)
			b.warmUp(waiter[0])
			var before []int
			l := b.handOff(b.Manager, waiter[0], func() { before = b.commands() })
			time.Sleep(9 * time.Millisecond)
			require.NoError(b, l.Release(b.Context()))
			synctest.Wait()
			for i, n := range b.commands() {
				assert.Equal(b, 2, n-before[i], "two releases")
			}
		})
	}
}

// Until an extension is confirmed, the lock is valid for as long as the grants stand. The extension
// is tried for as long as they do.
func TestHandedOnLockIsExtendedToItsTTL(t *testing.T) {
	for _, opts := range [][]quorum.AcquireOption{nil, {quorum.AutoRenew(0)}} {
		bubble(t, 3, func(b *testbed) {
			waiter := b.otherManagers(1, quorum.Options{})
			defer b.closeAll(waiter)
			l := b.handOff(b.Manager, waiter[0], func() {}, opts...)
			start := time.Now()
			grants := l.Validity()
			assert.Greater(b, grants, 900*time.Millisecond)
			assert.Less(b, grants, time.Second)
			for _, m := range b.Masters() {
				m.FailNext(3, "LOADING soon")
			}
			time.Sleep(500 * time.Millisecond)
			assert.Equal(b, grants-time.Since(start), l.Validity(), "only what is confirmed")
			time.Sleep(grants - 510*time.Millisecond)
			assert.Greater(b, l.Validity(), ttl*9/10, "extended at last")
			require.NoError(b, l.Release(b.Context()))
		})
	}
}

// The masters extend the lock after a hand-off, but their answers are lost until the short window
// has closed. The lock is over then, and its keys do not block others for the whole TTL.
func TestKeysOfUnconfirmedExtensionAreReleased(t *testing.T) {
	for _, opts := range [][]quorum.AcquireOption{nil, {quorum.AutoRenew(0)}} {
		bubble(t, 3, func(b *testbed) {
			waiter := b.otherManagers(1, quorum.Options{})
			defer b.closeAll(waiter)
			l := b.handOff(b.Manager, waiter[0], func() {}, opts...)
			b.delayReplies(1500*time.Millisecond, 1)
			time.Sleep(500 * time.Millisecond)
			for _, m := range b.Masters() {
				assert.Greater(b, m.TTL(name), ttl/2, "otherwise this tests nothing")
			}
			<-l.Lost()
			time.Sleep(3 * time.Second)
			assert.Equal(b, 3, b.vacantMasters())
			assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		})
	}
}

// The window counts from the waiter's question, although the grant and its message came later.
func TestWindowAfterHandOffCountsFromTheQuestion(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		l := b.handOff(b.Manager, waiter[0], func() {})
		const age = 10 * time.Millisecond // see startWaiter
		drift := age/100 + 2*time.Millisecond + grantTTL/100 + 2*time.Millisecond
		assert.InDelta(b, grantTTL-drift, l.Validity(), float64(100*time.Microsecond))
		require.NoError(b, l.Release(b.Context()))
	})
}

// Without AutoRenew, the lock ends with the TTL that it is extended to after the hand-off.
func TestHandedOnLockIsExtendedOnce(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		l := b.handOff(b.Manager, waiter[0], func() {})
		time.Sleep(10*time.Millisecond + window - time.Nanosecond)
		assert.False(b, isLost(l))
		time.Sleep(time.Nanosecond)
		assert.True(b, isLost(l))
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
	})
}

// Masters may be so slow, or the TTL so short, that the next try of the extension is always under
// way before the one before is confirmed. The lock is still extended once, and then ends.
func TestHandedOnLockIsExtendedOnceBySlowMasters(t *testing.T) {
	const short = 100 * time.Millisecond
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{})[0]
		defer b.closeAll([]*quorum.Manager{waiter})
		holder := b.acquire()
		synctest.Wait()
		handedOn := make(chan *quorum.Lock, 1)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, short)
			assert.NoError(b, err)
			handedOn <- l
		}()
		time.Sleep(10 * time.Millisecond)
		require.NoError(b, holder.Release(b.Context()))
		l := <-handedOn
		require.NotNil(b, l)
		b.delayReplies(15*time.Millisecond, quorumtest.Always)
		time.Sleep(short)
		assert.False(b, isLost(l), "otherwise it was not extended")
		time.Sleep(short)
		assert.True(b, isLost(l))
		time.Sleep(short)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// pausingClock is a clock that can jump, as if the process had been paused.
type pausingClock struct {
	clock.Clock
	left atomic.Int64 // how many calls until the jump
	by   atomic.Int64 // by how much it has jumped
}

// Now may jump.
func (c *pausingClock) Now() clock.Instant {
	if c.left.Add(-1) == 0 {
		c.by.Add(int64(2 * grantTTL))
	}
	return c.Clock.Now().Add(time.Duration(c.by.Load()))
}

// The waiter's process pauses between the message that completes the quorum and the return of the
// lock. A lock whose window has closed meanwhile is not returned.
func TestPauseBeforeHoldIsNoLock(t *testing.T) {
	for _, call := range []int64{
		1, // when the message is recorded
		2, // when the waiter decides to hold the lock
		3, // when it holds it
	} {
		bubble(t, 3, func(b *testbed) {
			paused := &pausingClock{Clock: b.clock}
			waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: paused})
			defer func() { assert.NoError(b, waiter.Close()) }()
			l := b.acquire()
			results := make(chan acquireResult, 1)
			b.startWaiter(b.Context(), 0, waiter, results)
			b.Master(1).DelayRequests(time.Millisecond, 1)
			b.Master(2).DelayRequests(100*time.Millisecond, 1)
			time.AfterFunc(time.Millisecond/2, func() { paused.left.Store(call) })
			require.NoError(b, l.Release(b.Context()))
			s := b.nextLock(results)
			assert.Positive(b, s.lock.Validity(), "call %d", call)
			assert.NotZero(b, paused.by.Load())
			require.NoError(b, s.lock.Release(b.Context()))
		})
	}
}

// The process pauses while the answers to the extension after a hand-off are on their way. When
// they come, the masters keep the lock for its whole TTL, but its window is over.
func TestHandedOnLockIsNotExtendedAfterItsWindow(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		paused := &pausingClock{Clock: b.clock}
		waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: paused})
		defer func() { assert.NoError(b, waiter.Close()) }()
		l := b.handOff(b.Manager, waiter, func() {})
		b.delayReplies(20*time.Millisecond, 1)
		time.Sleep(20 * time.Millisecond)
		paused.by.Add(int64(grantTTL))
		time.Sleep(20 * time.Millisecond)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, isLost(l))
		assert.Equal(b, 3, b.vacantMasters(), "the extended keys are released")
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
	})
}

// If the masters never keep the lock for its whole TTL, it ends with the grants.
func TestHandedOnLockEndsWithItsGrants(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		waiter := b.otherManagers(1, quorum.Options{CloseTimeout: time.Millisecond})
		l := b.handOff(b.Manager, waiter[0], func() {})
		b.hang(2)
		lost := l.Lost()
		start, left := time.Now(), l.Validity()
		<-lost
		assert.Equal(b, left, time.Since(start))
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		_ = waiter[0].Close() // the hung masters are owed releases
		b.resume()
		time.Sleep(2 * ttl)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// The holder does not use fencing, so it proposes no fence for the waiter, which then gets one by
// itself.
func TestHandOffWithoutFenceIsConfirmed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		opts := quorum.Options{Fencing: true}
		fenced := b.otherManagers(2, opts)
		defer b.closeAll(fenced)
		first := b.handOff(b.Manager, fenced[0], func() {})
		assert.Greater(b, first.Validity(), ttl*9/10, "confirmed by a round")
		synctest.Wait()
		confirmed := 0
		for _, m := range b.Masters() { // the last one may hand the lock on after it was asked
			if m.TTL(name) > ttl*9/10 {
				confirmed++
			}
		}
		assert.GreaterOrEqual(b, confirmed, 2)
		assert.Positive(b, first.Fence())
		require.NoError(b, first.Release(b.Context()))
		second := b.handOff(fenced[0], fenced[1], func() {})
		assert.Less(b, second.Validity(), time.Second, "handed on with its fence")
		assert.Greater(b, second.Fence(), first.Fence())
		require.NoError(b, second.Release(b.Context()))
	})
}

// One master has stored a higher fence than the holder's, so it does not store the proposed one.
// The others do, and are a quorum.
func TestFenceOfHandOffIsFromMastersThatStoredIt(t *testing.T) {
	for high, direct := range map[int]bool{1: true, 2: false} {
		opts := quorum.Options{Fencing: true}
		bubbleWith(t, 3, opts, func(b *testbed) {
			waiter := b.otherManagers(1, opts)
			defer b.closeAll(waiter)
			b.warmUp(b.Manager)
			stored := time.Now().Add(time.Hour).UnixMicro()
			l := b.handOff(b.Manager, waiter[0], func() {
				for _, m := range b.Masters()[3-high:] {
					m.Set("redlock:aux:fence{"+name+"}", fmt.Sprint(stored), time.Hour)
					m.DelayRequests(time.Millisecond, 1) // the others answer first
				}
			})
			assert.Equal(b, direct, l.Validity() < time.Second, "%d masters store a higher fence", high)
			if !direct {
				assert.Greater(b, l.Fence(), stored)
			}
			require.NoError(b, l.Release(b.Context()))
		})
	}
}

// The holder's fence is far ahead of the masters' clocks. The fence that it proposes for the waiter
// is higher still, or the masters would not store it.
func TestNextFenceIsAboveTheHolders(t *testing.T) {
	opts := quorum.Options{Fencing: true}
	bubbleWith(t, 3, opts, func(b *testbed) {
		waiter := b.otherManagers(1, opts)
		defer b.closeAll(waiter)
		stored := time.Now().Add(30 * time.Second).UnixMicro()
		for _, m := range b.Masters() {
			m.Set("redlock:aux:fence{"+name+"}", fmt.Sprint(stored), time.Hour)
		}
		l := b.handOff(b.Manager, waiter[0], func() {})
		assert.Less(b, l.Validity(), time.Second, "handed on with its fence")
		assert.Equal(b, stored+2, l.Fence(), "the holder's is the first above")
		require.NoError(b, l.Release(b.Context()))
	})
}

// The record decides what a grant depends on, not the options of the client that releases: a waiter
// with a restart guard gets nothing from masters that the guard has not seen.
func TestWaitersGuardHoldsForHandOff(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		guarded := b.otherManagers(1, quorum.Options{RestartGuard: 2 * ttl})
		defer b.closeAll(guarded)
		l := b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, guarded[0], results)
		synctest.Wait()
		start := time.Now()
		require.NoError(b, l.Release(b.Context()))
		s := b.nextLock(results)
		assert.GreaterOrEqual(b, s.at.Sub(start), 2*ttl-time.Second, "the masters are quarantined first")
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// A caller that gives up while the masters hand the lock on either holds it or leaves nothing
// behind.
func TestCanceledHandOffLeavesNothing(t *testing.T) {
	for _, delay := range []time.Duration{0, 1, time.Microsecond, time.Millisecond} {
		bubble(t, 3, func(b *testbed) {
			waiter := b.otherManagers(1, quorum.Options{})
			defer b.closeAll(waiter)
			l := b.acquire()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			results := make(chan acquireResult, 1)
			b.startWaiter(ctx, 0, waiter[0], results)
			synctest.Wait()
			time.AfterFunc(time.Millisecond+delay, cancel)
			time.Sleep(time.Millisecond)
			require.NoError(b, l.Release(b.Context()))
			if s := <-results; s.err == nil {
				require.NoError(b, s.lock.Release(b.Context()))
			}
			time.Sleep(2 * time.Second)
			assert.Equal(b, 3, b.vacantMasters())
			assert.Equal(b, []int{0, 0, 0}, b.queueLengths())
		})
	}
}

// Databases of one server share their channels. A message about one of them is no grant of the
// others.
func TestMessageCountsForOneMasterOnly(t *testing.T) {
	t.Parallel() // it waits in real time
	proc := redisproc.Start(t, 1)[0]
	databases := make([]redis.UniversalClient, 3)
	for db := range databases {
		client := redis.NewClient(&redis.Options{ // with an address of its own, so that New accepts it
			Addr: fmt.Sprintf("db-%d:1", db), DB: db, MaintNotificationsConfig: quiet,
			Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, proc.Addr())
			},
		})
		defer func() { assert.NoError(t, client.Close()) }()
		databases[db] = client
	}
	holder, err := quorum.New(databases, patientOptions)
	require.NoError(t, err)
	unchecked := *patientOptions
	unchecked.AnyMasters = true
	alone, err := quorum.New(databases[:1], &unchecked)
	require.NoError(t, err)
	waiter, err := quorum.New(databases, patientOptions)
	require.NoError(t, err)
	held, err := holder.TryAcquire(patiently(t), "held", time.Minute)
	require.NoError(t, err)
	for _, db := range databases { // with two, there would be no quorum left below
		require.Eventually(t, func() bool {
			return db.Get(patiently(t), "held").Val() == held.Token()
		}, patience, time.Millisecond)
	}
	queued := make(chan *quorum.Lock, 1)
	go func() {
		l, err := waiter.Acquire(patiently(t), "held", time.Minute)
		assert.NoError(t, err)
		queued <- l
	}()
	require.Eventually(t, func() bool {
		i, err := holder.Inspect(patiently(t), "held")
		return err == nil && i.Waiting == 1
	}, patience, time.Millisecond)

	// The first database alone hands the lock on.
	require.NoError(t, databases[0].Del(patiently(t), "held").Err())
	other, err := alone.TryAcquire(patiently(t), "held", time.Minute)
	require.NoError(t, err)
	require.NoError(t, other.Release(patiently(t)))
	require.NoError(t, alone.Close())
	select {
	case l := <-queued:
		require.Fail(t, "two holders", "%v besides %v", l.Validity(), held.Validity())
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, held.Release(patiently(t)))
	l := <-queued
	require.NoError(t, l.Release(patiently(t)))
	require.NoError(t, holder.Close())
	require.NoError(t, waiter.Close())
}
