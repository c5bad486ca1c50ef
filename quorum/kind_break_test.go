package quorum_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// A master refused a waiter, which therefore asks it again and again to admit its entry. Such a
// request is under way when the entry is broken.
func TestBreakIsNotUndoneByAdmission(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Minute, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		b.Master(2).Fail("MISCONF it cannot write")
		waiter, gates := b.gatedManager(quorum.Options{})
		got := make(chan acquireResult, 1)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, ttl, quorum.Exclusive())
			got <- acquireResult{lock: l, err: err}
		}()
		time.Sleep(2 * time.Second) // then Break need not wait
		token := b.waiterOn(0)
		require.Equal(b, []int{0, 1}, b.standsOn(token))
		gates[0].shut.Store(true) // the waiter does not learn of Break before the end
		gates[1].shut.Store(true)
		b.Master(2).Heal()
		b.Master(2).DelayRequests(900*time.Millisecond, 1)
		time.Sleep(600 * time.Millisecond) // the longest pause is over, so it has been sent
		require.Equal(b, []int{0, 1}, b.standsOn(token))
		require.NoError(b, b.Break(b.Context(), name, token))
		synctest.Wait()
		for range 50 {
			time.Sleep(20 * time.Millisecond)
			require.Empty(b, b.standsOn(token))
		}
		gates[0].shut.Store(false)
		gates[1].shut.Store(false)
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		assert.NotEqual(b, token, s.lock.Token())
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, waiter.Close())
	})
}

// An operator reaches only three masters of five. One of these three had forgotten the entry, and
// the request that admits it again is under way. With the other two, that would be a quorum.
func TestBreakIsNotUndoneByReadmission(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		time.Sleep(2 * time.Second)
		forgetful := b.Master(2)
		forgetful.Del(name)
		time.AfterFunc(time.Millisecond, func() { forgetful.DelayRequests(400*time.Millisecond, 1) })
		forgetful.DelayReplies(2*time.Millisecond, 1) // to the extension, which the readmission follows
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(10 * time.Millisecond)
		require.Equal(b, []int{0, 1, 3, 4}, b.standsOn(l.Token()))
		operator := b.managerThatReaches(3, quorum.Options{Owner: "operator"})
		require.NoError(b, operator.Break(b.Context(), name, l.Token()))
		time.Sleep(400 * time.Millisecond)
		assert.Equal(b, []int{3, 4}, b.standsOn(l.Token()))
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		require.ErrorIs(b, l.Err(), quorum.ErrDenied)
		require.NoError(b, operator.Close())
	})
}

// Inspect lists a hundred readers. Break finds the others too.
func TestBreakFindsEntriesThatInspectDoesNotList(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var last *quorum.Lock
		for range 105 {
			var err error
			last, err = b.TryAcquire(b.Context(), name, time.Hour, quorum.Shared())
			require.NoError(b, err)
			time.Sleep(time.Millisecond) // or else they would be in any order
		}
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.Len(b, i.Holders, 100)
		require.NoError(b, b.Break(b.Context(), name, last.Token()))
		assert.ErrorIs(b, last.Extend(b.Context(), ttl), quorum.ErrDenied)
	})
}

// acquireOn acquires one of two permits while some masters refuse it.
func (b *testbed) acquireOn(refusing ...int) *quorum.Lock {
	b.Helper()
	for _, i := range refusing {
		b.Master(i).Fail("MISCONF it cannot write")
	}
	l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
	require.NoError(b, err)
	synctest.Wait()
	for _, i := range refusing {
		b.Master(i).Heal()
	}
	return l
}

// A Break that reached too few masters fails. What they tell waiters must not say that the permit
// is free, because its holder has it on a quorum of the others.
func TestFailedBreakFreesNoPermit(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		first := b.acquireOn()
		second := b.acquireOn(2, 3)
		waiter := b.otherManagers(1, quorum.Options{})[0]
		got := make(chan acquireResult, 1)
		go func() {
			l, err := waiter.Acquire(b.Context(), name, ttl, quorum.Permits(2))
			got <- acquireResult{lock: l, err: err}
		}()
		time.Sleep(2 * time.Second)
		require.Empty(b, got)
		for _, m := range b.Masters()[2:] {
			m.Fail("MISCONF it cannot write")
		}
		assertReason(b, b.operator().Break(b.Context(), name, first.Token()), quorum.ErrNoQuorum)
		synctest.Wait()
		for _, m := range b.Masters()[2:] {
			m.Heal()
		}
		require.Equal(b, []int{2, 3, 4}, b.standsOn(first.Token()))
		time.Sleep(time.Second)
		require.Empty(b, got, "both permits are held")
		require.NoError(b, first.Extend(b.Context(), ttl))
		require.NoError(b, second.Extend(b.Context(), ttl))
		require.NoError(b, second.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, waiter.Close())
	})
}
