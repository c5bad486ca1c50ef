package quorum_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
)

// places returns the place that an entry has on each master, or 0.
func (b *testbed) places(token string) (places []int64) {
	b.Helper()
	i, err := b.Inspect(b.Context(), name)
	require.NoError(b, err)
	for n, m := range i.Masters {
		places = append(places, 0)
		for _, e := range m.Entries {
			if e.Token == token {
				places[n] = e.Fence
			}
		}
	}
	return places
}

// Two masters of three have stored a fence that is ahead of the client. With the third, which has
// room at the place that the client asked for, there is no quorum. All have room at a higher one.
func TestOvertakenAttemptMovesUp(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		b.warmUp(b.Manager)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(ahead, ahead)
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		assert.Greater(b, l.Fence(), ahead)
		assert.Equal(b, []int64{l.Fence(), l.Fence(), l.Fence()}, b.places(l.Token()))
		require.NoError(b, l.Extend(b.Context(), ttl))
	})
}

// One master is down, and the first to answer. The others have room, but only behind others.
func TestOvertakenAttemptMovesUpWithMasterDown(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		b.warmUp(b.Manager)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(ahead, ahead)
		b.Master(2).Stop()
		b.Master(0).DelayReplies(time.Millisecond, 1)
		b.Master(1).DelayReplies(2*time.Millisecond, 1)
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		assert.Greater(b, l.Fence(), ahead)
	})
}

// A waiter that was moved up holds the lock at its last place, and renews it there. The first two
// masters, which agree on a lower place, are not heard first.
func TestWaiterHoldsAtThePlaceToWhichItMoved(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		b.warmUp(b.Manager)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(ahead, ahead, ahead+5_000)
		b.Master(0).DelayReplies(time.Millisecond, 10)
		l, err := b.Acquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		time.Sleep(time.Second)
		assert.Greater(b, l.Fence(), ahead+5_000)
		assert.Equal(b, []int64{l.Fence(), l.Fence(), l.Fence()}, b.places(l.Token()))
		require.NoError(b, l.Extend(b.Context(), ttl))
	})
}

// Of two permits, each is held on a bare quorum. Four masters have room for one more, but not
// together.
func TestAttemptCountsPermitsOfAllMasters(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		first, second := b.acquireOn(0, 1), b.acquireOn(2, 3)
		require.Equal(b, []int{2, 3, 4}, b.standsOn(first.Token()))
		require.Equal(b, []int{0, 1, 4}, b.standsOn(second.Token()))
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.ErrorIs(b, err, quorum.ErrNotAcquired)
		require.NoError(b, first.Extend(b.Context(), ttl))
		require.NoError(b, second.Extend(b.Context(), ttl))
	})
}

// A master has admitted another entry after it forgot the holder's. It never admits the holder's
// before that, so it is not asked again until the next extension.
func TestOvertakenRepairIsNotRepeated(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Minute, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		master := b.Master(2)
		master.Set(name, fmt.Sprintf("%s x %d another", wire.Ordered, time.Now().UnixMicro()+1000), time.Hour)
		before := master.Commands()
		require.NoError(b, l.Extend(b.Context(), time.Minute))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 2, master.Commands()-before, "the extension and one repair")
		assert.Equal(b, []int{0, 1}, b.standsOn(l.Token()))
	})
}

// managerWithWrongClock returns a Manager whose time of day is an hour ahead.
func (b *testbed) managerWithWrongClock(opts quorum.Options) *quorum.Manager {
	wall := func() time.Time { return time.Now().Add(time.Hour) }
	return b.otherManagers(1, withHooks(opts, testhook.Hooks{Wall: wall}))[0]
}

// A client that has not yet heard the masters' time asks for a place by its own clock. If that is
// wrong, the masters admit the entry at their time.
func TestWrongClockDoesNotPushFencesOfKindsAhead(t *testing.T) {
	for what, kind := range map[string]quorum.AcquireOption{
		"shared": quorum.Shared(), "exclusive": quorum.Exclusive(), "permit": quorum.Permits(2),
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
				m := b.managerWithWrongClock(quorum.Options{Fencing: true})
				l, err := m.TryAcquire(b.Context(), name, ttl, kind)
				require.NoError(b, err)
				assert.InDelta(b, time.Now().UnixMicro(), l.Fence(), float64(time.Minute.Microseconds()))
				require.NoError(b, m.Close())
			})
		})
	}
}
