package quorum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
)

func TestExtendMovesWindow(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		lost := l.Lost()
		time.Sleep(5 * time.Second)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, window, l.Validity())
		synctest.Wait()
		for _, m := range b.Masters() {
			assert.Equal(b, ttl, m.TTL(name))
		}
		time.Sleep(window - 1)
		assert.False(b, isLost(l))
		assert.Equal(b, lost, l.Lost())
		time.Sleep(time.Nanosecond)
		assert.True(b, isLost(l))
	})
}

// TestExtendNeverShortens also loses the replies to a short extension. The masters have executed
// it, while the holder still relies on its earlier, longer window.
func TestExtendNeverShortens(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		require.NoError(b, l.Extend(b.Context(), 100*time.Millisecond))
		assert.Equal(b, window, l.Validity(), "the longer window stays")
		for _, m := range b.Masters() {
			m.DropReplies(1)
		}
		assertReason(b, l.Extend(b.Context(), 100*time.Millisecond), quorum.ErrNoQuorum)
		assert.Equal(b, window-timeout, l.Validity())
		for _, m := range b.Masters() {
			assert.Equal(b, ttl-timeout, m.TTL(name), "no master was shortened")
		}
		time.Sleep(2 * time.Second)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
	})
}

func TestExtendSetsExpiryOfPersistentKey(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		l := b.acquire()
		b.Master(0).Set(name, l.Token(), 0)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, ttl, b.Master(0).TTL(name))
	})
}

// TestExtendConfirmedAfterWindowIsLoss delays the confirmations until after the window. The masters
// stored the token all along, but the holder did not know that in time.
func TestExtendConfirmedAfterWindowIsLoss(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		time.Sleep(window - 100*time.Millisecond)
		for _, m := range b.Masters() {
			m.DelayReplies(150*time.Millisecond, 1)
		}
		assert.Equal(b, 100*time.Millisecond, took(func() {
			assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		}))
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, isLost(l))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.vacantMasters(), "the extended keys are released")
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0), "a lost lock stays lost")
	})
}

func TestExtendWithoutQuorumKeepsWindow(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		b.hang(3)
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrNoQuorum)
		assert.Equal(b, window-timeout, l.Validity())
		assert.False(b, isLost(l), "a failed extension alone does not end the lock")
		b.resume()
		time.Sleep(timeout)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, window, l.Validity())
	})
}

// TestExtendReportsLossOnlyIfMajorityDenies removes or replaces the token on some masters. Only a
// majority of them ends the lock.
func TestExtendReportsLossOnlyIfMajorityDenies(t *testing.T) {
	for _, tt := range []struct {
		n, forgot, stolen int
		want              error
	}{
		{5, 2, 0, nil}, {5, 1, 1, nil}, {5, 3, 0, quorum.ErrLost}, {5, 0, 3, quorum.ErrLost}, {5, 2, 1, quorum.ErrLost},
		// Two of four masters cannot confirm the lock, but no other client can hold it either.
		{4, 2, 0, quorum.ErrNoQuorum}, {4, 3, 0, quorum.ErrLost}, {1, 1, 0, quorum.ErrLost},
	} {
		bubble(t, tt.n, func(b *testbed) {
			l := b.acquire()
			synctest.Wait()
			for i, m := range b.Masters() {
				if i < tt.forgot+tt.stolen {
					m.Del(name)
				}
				if i < tt.stolen {
					m.Set(name, "another", time.Hour)
				}
			}
			err := l.Extend(b.Context(), ttl)
			assertReason(b, err, tt.want)
			assert.Equal(b, tt.want == quorum.ErrLost, isLost(l), "%+v", tt) //nolint:errorlint // a table's sentinel
			synctest.Wait()
			assert.Equal(b, tt.stolen, b.mastersStoring("another"), "another client's key is not touched")
			if tt.want == quorum.ErrLost { //nolint:errorlint // a table's sentinel
				assert.LessOrEqual(b, l.Validity(), time.Duration(0))
				assert.Equal(b, tt.n-tt.forgot-tt.stolen, b.mastersStoring(l.Token()), "the remaining keys stay until the window would have closed")
				time.Sleep(window)
				synctest.Wait()
				assert.Zero(b, b.mastersStoring(l.Token()), "then they are released")
			}
		})
	}
}

func TestExtendWithEndedContextKeepsLock(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		err := l.Extend(endedContext(), ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.Canceled)
		assert.Equal(b, window, l.Validity(), "the lock is still held")
	})
}

func TestLostClosesWithWindow(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		lost := l.Lost()
		assert.Equal(b, window, took(func() { <-lost }))
		for _, m := range b.Masters() {
			_, stored := m.Get(name)
			assert.True(b, stored, "Lost must close before the key expires")
		}
		assert.Zero(b, l.Validity())
		time.Sleep(time.Second)
		assert.Equal(b, -time.Second, l.Validity())
	})
}

// TestLockExpiresDuringMachineSleep advances the clock while Go's timers stand still, as when a
// machine sleeps.
func TestLockExpiresDuringMachineSleep(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		l := b.acquire()
		longer, err := b.TryAcquire(b.Context(), "longer", time.Hour)
		require.NoError(b, err)
		lost := l.Lost()
		_ = longer.Lost()
		fake.Advance(window) // the machine sleeps
		assert.Zero(b, l.Validity(), "Validity knows at once")
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		<-lost // closed by the first call that notices
		assert.False(b, isLost(longer))

		unwatched := b.acquireNamed("unwatched") // Lost was not called
		fake.Advance(window)
		assertReason(b, unwatched.Release(b.Context()), quorum.ErrLost)
	})
}
