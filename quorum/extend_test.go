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

func TestExtendMovesTheWindow(t *testing.T) {
	bubble(t, 5, func(b *bench) {
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
		assert.False(b, closed(l))
		assert.Equal(b, lost, l.Lost())
		time.Sleep(time.Nanosecond)
		assert.True(b, closed(l))
	})
}

// TestExtendNeverShortens: a short extension whose answers are lost was applied
// by the masters, and its holder goes on trusting the window it had.
func TestExtendNeverShortens(t *testing.T) {
	bubble(t, 5, func(b *bench) {
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

func TestExtendGivesAnEndlessKeyAnEnd(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		l := b.acquire()
		b.Master(0).Set(name, l.Token(), 0)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, ttl, b.Master(0).TTL(name))
	})
}

// TestExtendMustBeConfirmedBeforeTheWindowEnds: the masters had the token all
// the time, but nobody knew.
func TestExtendMustBeConfirmedBeforeTheWindowEnds(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		time.Sleep(window - 100*time.Millisecond)
		for _, m := range b.Masters() {
			m.DelayReplies(150*time.Millisecond, 1)
		}
		assert.Equal(b, 100*time.Millisecond, took(func() {
			assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		}))
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, closed(l))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.count(""), "what the masters were told to keep is released")
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0), "it does not come back to life")
	})
}

func TestExtendWithoutQuorumKeepsTheWindow(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquire()
		b.hang(3)
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrNoQuorum)
		assert.Equal(b, window-timeout, l.Validity())
		assert.False(b, closed(l), "a failed extension alone ends nothing")
		b.resume()
		time.Sleep(timeout)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, window, l.Validity())
	})
}

// TestExtendLearnsOfTheLoss: a majority that denies the token ends the lock, and
// fewer do not.
func TestExtendLearnsOfTheLoss(t *testing.T) {
	for _, tt := range []struct {
		n, forgot, stolen int
		want              error
	}{
		{5, 2, 0, nil}, {5, 1, 1, nil}, {5, 3, 0, quorum.ErrLost}, {5, 0, 3, quorum.ErrLost}, {5, 2, 1, quorum.ErrLost},
		// With 2 of 4 the lock cannot be confirmed, and nobody else can have it.
		{4, 2, 0, quorum.ErrNoQuorum}, {4, 3, 0, quorum.ErrLost}, {1, 1, 0, quorum.ErrLost},
	} {
		bubble(t, tt.n, func(b *bench) {
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
			assert.Equal(b, tt.want == quorum.ErrLost, closed(l), "%+v", tt) //nolint:errorlint // a table's sentinel
			synctest.Wait()
			assert.Equal(b, tt.stolen, b.count("another"), "another's key is not touched")
			if tt.want == quorum.ErrLost { //nolint:errorlint // a table's sentinel
				assert.LessOrEqual(b, l.Validity(), time.Duration(0))
				assert.Equal(b, tt.n-tt.forgot-tt.stolen, b.count(l.Token()), "what is left keeps others out while the window would be open")
				time.Sleep(window)
				synctest.Wait()
				assert.Zero(b, b.count(l.Token()), "then it is released")
			}
		})
	}
}

func TestExtendOnAnEndedContext(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		err := l.Extend(ended(), ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.Canceled)
		assert.Equal(b, window, l.Validity(), "the lock is still held")
	})
}

func TestLostClosesWhenTheWindowDoes(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		lost := l.Lost()
		assert.Equal(b, window, took(func() { <-lost }))
		for _, m := range b.Masters() {
			_, there := m.Get(name)
			assert.True(b, there, "before the masters let the key expire")
		}
		assert.Zero(b, l.Validity())
		time.Sleep(time.Second)
		assert.Equal(b, -time.Second, l.Validity())
	})
}

// TestMachineSleep: Go's timers stood still while the clock went on.
func TestMachineSleep(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
		l, other := b.acquire(), func() *quorum.Lock {
			l, err := b.TryAcquire(b.Context(), "other", time.Hour)
			require.NoError(b, err)
			return l
		}()
		lost := l.Lost()
		_ = other.Lost()
		fake.Advance(window) // the machine slept
		assert.Zero(b, l.Validity(), "Validity knows at once")
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		<-lost // closed by whoever asks first
		assert.False(b, closed(other))

		unasked := b.acquireNamed("unasked")
		fake.Advance(window)
		assertReason(b, unasked.Release(b.Context()), quorum.ErrLost)
	})
}
