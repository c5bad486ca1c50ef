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

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
)

// acquireABC acquires the locks a, b and c together, and lets all masters answer.
func (b *testbed) acquireABC(opts ...quorum.AcquireOption) *quorum.Locks {
	b.Helper()
	locks, err := b.TryAcquireAll(b.Context(), []string{"a", "b", "c"}, ttl, opts...)
	require.NoError(b, err)
	synctest.Wait()
	return locks
}

// forget makes all masters forget a lock.
func (b *testbed) forget(name string) {
	for _, m := range b.Masters() {
		m.Del(name)
	}
}

// areLost reports whether the Lost channel of the whole is closed.
func areLost(s *quorum.Locks) bool {
	synctest.Wait()
	select {
	case <-s.Lost():
		return true
	default:
		return false
	}
}

func TestLocksAreExtendedTogether(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		time.Sleep(ttl / 2)
		require.NoError(b, locks.Extend(b.Context(), ttl))
		assert.Equal(b, window, locks.Validity())
		for _, l := range locks.All() {
			assert.Equal(b, window, l.Validity())
		}
		time.Sleep(ttl)
		assert.LessOrEqual(b, locks.Validity(), time.Duration(0))
		assertReason(b, locks.Extend(b.Context(), ttl), quorum.ErrLost)
	})
}

// TestValidityIsTheLeast extends a single lock, which does not lengthen the whole.
func TestValidityIsTheLeast(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		time.Sleep(ttl / 2)
		for _, name := range []string{"a", "c"} {
			require.NoError(b, locks.Lock(name).Extend(b.Context(), ttl))
			assert.Equal(b, window, locks.Lock(name).Validity())
			assert.Equal(b, window-ttl/2, locks.Validity())
		}
		require.NoError(b, locks.Lock("b").Extend(b.Context(), ttl))
		assert.Equal(b, window, locks.Validity())
	})
}

// TestExtensionOfSomeLocksIsFailure: masters have forgotten one of the locks. The others are
// extended, and the whole is over.
func TestExtensionOfSomeLocksIsFailure(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		time.Sleep(ttl / 2)
		b.forget("b")
		err := locks.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrDenied)
		failure := requireLocksError(b, err)
		require.Len(b, failure.Failures, 1)
		assert.Equal(b, "b", failure.Failures[0].Name)
		assert.ErrorContains(b, err, `quorum: extend 1 of 3 names failed: "b": lock lost: `)
		assert.Equal(b, window, locks.Lock("a").Validity())
		assert.LessOrEqual(b, locks.Validity(), time.Duration(0))
		before := b.commands()
		assertReason(b, locks.Extend(b.Context(), ttl), quorum.ErrLost)
		assert.Equal(b, before, b.commands(), "nothing is sent for a whole that is over")
	})
}

// TestExtensionWithoutQuorumKeepsTheWhole also mixes the reasons: for one name, masters answer with
// an error, and another name is lost.
func TestExtensionWithoutQuorumKeepsTheWhole(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		time.Sleep(time.Second)
		b.hang(2)
		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		err := locks.Extend(ctx, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		assert.Len(b, requireLocksError(b, err).Failures, 3)
		assert.NoError(b, locks.Err())
		assert.Equal(b, window-1100*time.Millisecond, locks.Validity())
		assertReason(b, locks.Extend(endedContext(), ttl), quorum.ErrNoQuorum)
		assert.Equal(b, timeout, took(func() { assertReason(b, locks.Extend(b.Context(), ttl), quorum.ErrNoQuorum) }))
		b.resume()
		synctest.Wait() // until they have answered the last request
		require.NoError(b, locks.Extend(b.Context(), ttl))
		assert.Equal(b, window, locks.Validity())

		b.forget("c")
		for _, m := range b.Masters()[:2] {
			m.Del("a")
			require.NoError(b, m.Client().LPush(b.Context(), "a", "a list").Err())
		}
		err = locks.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.Len(b, requireLocksError(b, err).Failures, 2)
		assert.Equal(b, "c", requireAttemptError(b, err).Name)
	})
}

// TestLocksAreRenewedTogether counts the commands that keep ten locks alive.
func TestLocksAreRenewedTogether(t *testing.T) {
	for _, wait := range []bool{false, true} {
		bubble(t, 3, func(b *testbed) {
			b.warmUp(b.Manager)
			names := numberedNames(10)
			_, held := b.rival("name-5")
			if !wait {
				require.NoError(b, held["name-5"].Release(b.Context()))
				synctest.Wait()
			}
			result := b.acquireAll(b.Context(), b.Manager, names, quorum.AutoRenew(0))
			if wait {
				time.Sleep(2 * ttl)
				require.NoError(b, held["name-5"].Release(b.Context()))
			}
			locks, err := result()
			require.NoError(b, err)
			time.Sleep(ttl)
			before := b.Master(0).Commands()
			time.Sleep(10 * ttl)
			assert.Positive(b, locks.Validity())
			assert.LessOrEqual(b, b.Master(0).Commands()-before, 2*4*10, "two commands or less for each renewal of all")
			assert.NoError(b, locks.Release(b.Context()))
		})
	}
}

// TestLossOfOneIsTheLossOfAll also checks that the other locks stay until the whole is released.
func TestLossOfOneIsTheLossOfAll(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		locks := b.acquireABC(quorum.AutoRenew(0))
		r.take()
		ctx, cancel := locks.Context(b.Context())
		defer cancel()
		assert.False(b, areLost(locks))
		b.forget("b")
		other, _ := b.rival("b")
		time.Sleep(ttl)
		assert.True(b, areLost(locks))
		for _, err := range []error{locks.Err(), context.Cause(ctx)} {
			assert.ErrorIs(b, err, quorum.ErrLost)
			assert.ErrorIs(b, err, quorum.ErrDenied)
			assert.EqualError(b, err, `quorum: lock "b" lost: a majority of the masters stores another token or none`)
		}
		assert.ErrorIs(b, ctx.Err(), context.Canceled)
		assert.LessOrEqual(b, locks.Validity(), time.Duration(0))
		lost := one[quorum.LostEvent](b, r)
		assert.Equal(b, "b", lost.Name)

		time.Sleep(ttl)
		assert.NoError(b, locks.Lock("a").Err(), "the others are renewed until the release")
		_, err := other.TryAcquireAll(b.Context(), []string{"a", "c"}, ttl)
		assertReason(b, err, quorum.ErrTaken)
		err = locks.Release(b.Context())
		assertReason(b, err, quorum.ErrLost)
		assert.Equal(b, "b", requireAttemptError(b, err).Name)
		b.assertStored("b")
		assert.Len(b, only[quorum.ReleasedEvent](r), 2)
		assert.EqualError(b, locks.Err(), `quorum: lock "b" lost: a majority of the masters stores another token or none`)
	})
}

// TestLossIsNoticedWithoutRenewals: nobody looks at the single locks, and nobody renews them.
func TestLossIsNoticedWithoutRenewals(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		require.NoError(b, locks.Lock("b").Extend(b.Context(), 2*ttl))
		lost := locks.Lost()
		ctx, cancel := locks.Context(b.Context())
		defer cancel()
		assert.InDelta(b, window, took(func() { <-lost }), float64(time.Millisecond))
		<-ctx.Done()
		assert.ErrorIs(b, locks.Err(), quorum.ErrExpired)
		assert.Equal(b, locks.Err(), context.Cause(ctx))
		assert.NoError(b, locks.Lock("b").Err())
		assert.True(b, areLost(locks), "also if it is asked for later")
		late, cancel := locks.Context(b.Context())
		defer cancel()
		assert.ErrorIs(b, late.Err(), context.Canceled)
	})
}

func TestLocksAreReleasedTogether(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		locks := b.acquireABC(quorum.AutoRenew(0))
		ctx, cancel := locks.Context(b.Context())
		defer cancel()
		lost := locks.Lost()
		require.NoError(b, locks.Release(ctx), "a context that ends with the locks does no harm")
		<-lost
		assert.Equal(b, quorum.ErrReleased, locks.Err())
		assert.Equal(b, quorum.ErrReleased, context.Cause(ctx))
		b.assertStored()
		assert.Empty(b, b.Held())
		assert.Len(b, only[quorum.ReleasedEvent](r), 3)
		assert.NoError(b, locks.Release(b.Context()), "again")
		assertReason(b, locks.Extend(b.Context(), ttl), quorum.ErrLost)
		assert.Empty(b, only[quorum.LostEvent](r))
	})
}

// TestReleaseOfAllWithoutQuorum is repeated once the masters answer again.
func TestReleaseOfAllWithoutQuorum(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		require.NoError(b, locks.Lock("a").Release(b.Context()))
		assert.ErrorIs(b, locks.Err(), quorum.ErrReleased)
		assert.EqualError(b, locks.Err(), `quorum: lock "a" lost: released`)
		b.hang(2)
		var err error
		assert.Equal(b, timeout, took(func() { err = locks.Release(b.Context()) }))
		assertReason(b, err, quorum.ErrNoQuorum)
		failure := requireLocksError(b, err)
		require.Len(b, failure.Failures, 2)
		assert.Equal(b, "b", failure.Failures[0].Name)
		assert.Equal(b, "c", failure.Failures[1].Name)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Millisecond)
		defer cancel()
		assert.ErrorIs(b, locks.Release(ctx), context.DeadlineExceeded)
		b.resume()
		assert.NoError(b, locks.Release(b.Context()))
		b.assertStored()
	})
}

// TestEndOfOneLockByItselfEndsTheWhole uses the methods of a single lock.
func TestEndOfOneLockByItselfEndsTheWhole(t *testing.T) {
	for what, tt := range map[string]struct {
		end     func(l *quorum.Lock) error
		why     error
		release error
		left    []string
	}{
		"release": {func(l *quorum.Lock) error { return l.Release(context.Background()) }, quorum.ErrReleased, nil, nil},
		"detach": {func(l *quorum.Lock) error {
			_, err := l.Detach(context.Background(), ttl)
			return err
		}, quorum.ErrDetached, quorum.ErrLost, []string{"b"}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				locks := b.acquireABC(quorum.AutoRenew(0))
				assert.False(b, areLost(locks))
				require.NoError(b, tt.end(locks.Lock("b")))
				assert.True(b, areLost(locks))
				assert.ErrorIs(b, locks.Err(), tt.why)
				assert.ErrorIs(b, locks.Err(), quorum.ErrLost)
				assert.NoError(b, locks.Lock("a").Err())
				err := locks.Release(b.Context())
				if tt.release == nil {
					assert.NoError(b, err)
				} else {
					assertReason(b, err, tt.release)
					assert.Equal(b, "b", requireAttemptError(b, err).Name)
				}
				b.assertStored(tt.left...)
			})
		})
	}
}

func TestCloseEndsAllLocks(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		lost := locks.Lost()
		require.NoError(b, b.Manager.Close())
		<-lost
		assert.ErrorIs(b, locks.Err(), quorum.ErrClosed)
		assert.ErrorIs(b, locks.Err(), quorum.ErrLost)
		assert.ErrorIs(b, locks.Extend(b.Context(), ttl), quorum.ErrClosed)
		assert.ErrorIs(b, locks.Release(b.Context()), quorum.ErrClosed)
		b.assertStored("a", "b", "c")
	})
}

// TestLocksExpireDuringMachineSleep advances the clock while Go's timers stand still.
func TestLocksExpireDuringMachineSleep(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		locks := b.acquireABC()
		lost := locks.Lost()
		ctx, cancel := locks.Context(b.Context())
		defer cancel()
		fake.Advance(window)
		assert.ErrorIs(b, ctx.Err(), context.Canceled)
		assert.LessOrEqual(b, locks.Validity(), time.Duration(0))
		assert.ErrorIs(b, locks.Err(), quorum.ErrExpired)
		<-lost
		err := locks.Release(b.Context())
		assertReason(b, err, quorum.ErrLost)
		assert.Len(b, requireLocksError(b, err).Failures, 3)
	})
}

// TestContextsOfLocksAreForgotten also checks that contexts are the caller's.
func TestContextsOfLocksAreForgotten(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		locks := b.acquireABC()
		type key struct{}
		parent, end := context.WithCancel(context.WithValue(b.Context(), key{}, "value"))
		ctx, cancel := locks.Context(parent)
		assert.Equal(b, "value", ctx.Value(key{}))
		assert.NoError(b, ctx.Err())
		other, cancelOther := locks.Context(parent)
		cancelOther()
		assert.ErrorIs(b, other.Err(), context.Canceled)
		assert.NoError(b, ctx.Err())
		end()
		assert.Equal(b, context.Canceled, context.Cause(ctx))
		cancel()
		assert.Zero(b, quorum.ContextsOfAll(locks))
		assert.NoError(b, locks.Err())
		var none context.Context
		assert.PanicsWithValue(b, "quorum: nil context", func() { locks.Context(none) })
		assert.PanicsWithValue(b, "quorum: nil context", func() { _ = locks.Extend(none, ttl) })
		assert.PanicsWithValue(b, "quorum: nil context", func() { _ = locks.Release(none) })
	})
}

// TestLocksAreSafeForConcurrentUse is for the race detector.
func TestLocksAreSafeForConcurrentUse(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, lose := range []bool{false, true} {
			locks := b.acquireABC(quorum.AutoRenew(0))
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					ctx, cancel := locks.Context(b.Context())
					defer cancel()
					_, _, _ = locks.Lost(), locks.Validity(), ctx.Err()
					time.Sleep(time.Duration(i) * time.Millisecond)
					_ = locks.Extend(b.Context(), ttl)
					switch {
					case i == 10 && lose:
						b.forget("b")
					case i == 12:
						_ = locks.Lock("a").Release(b.Context())
					case i > 14:
						_ = locks.Release(b.Context())
					}
					_ = fmt.Sprint(locks, locks.Err(), locks.Names(), locks.All())
				})
			}
			all.Wait()
			assert.Error(b, locks.Err())
			b.assertStored()
		}
	})
}
