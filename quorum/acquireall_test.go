package quorum_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// stored returns the locks' tokens that each master stores, by name.
func (b *testbed) stored() []map[string]string {
	all := make([]map[string]string, len(b.Masters()))
	for i, m := range b.Masters() {
		all[i] = map[string]string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			if token, ok := m.Get(name); ok {
				all[i][name] = token
			}
		}
	}
	return all
}

// assertStored asserts that every master stores the locks of these names and no others.
func (b *testbed) assertStored(names ...string) {
	b.Helper()
	synctest.Wait()
	for i, stored := range b.stored() {
		var found []string
		for name := range stored {
			found = append(found, name)
		}
		assert.ElementsMatch(b, names, found, "master %d", i)
	}
}

// rival returns another Manager that holds locks of its own.
func (b *testbed) rival(names ...string) (m *quorum.Manager, held map[string]*quorum.Lock) {
	b.Helper()
	m = newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock})
	b.Cleanup(func() { assert.NoError(b, m.Close()) })
	held = map[string]*quorum.Lock{}
	for _, name := range names {
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		held[name] = l
	}
	synctest.Wait()
	return m, held
}

// acquireAll calls AcquireAll in the background, and returns once it waits.
func (b *testbed) acquireAll(ctx context.Context, m *quorum.Manager, names []string, opts ...quorum.AcquireOption) (result func() (*quorum.Locks, error)) {
	b.Helper()
	done := make(chan struct{})
	var locks *quorum.Locks
	var err error
	go func() {
		defer close(done)
		locks, err = m.AcquireAll(ctx, names, ttl, opts...)
	}()
	time.Sleep(20 * time.Millisecond)
	return func() (*quorum.Locks, error) { <-done; return locks, err }
}

// requireLocksError returns the LocksError in err. There must be one.
func requireLocksError(tb testing.TB, err error) *quorum.LocksError {
	tb.Helper()
	var failure *quorum.LocksError
	require.ErrorAs(tb, err, &failure)
	return failure
}

func TestAllNamesAreAcquired(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {Fencing: true}, {Prefix: "app:"}, {LockDelay: time.Second}} {
		bubbleWith(t, 5, opts, func(b *testbed) {
			for how, acquire := range map[string]func(context.Context, []string, time.Duration, ...quorum.AcquireOption) (*quorum.Locks, error){
				"TryAcquireAll": b.TryAcquireAll, "AcquireAll": b.AcquireAll,
			} {
				given := []string{"b", "c", "a"}
				locks, err := acquire(b.Context(), given, ttl)
				require.NoError(b, err, how)
				given[0] = "changed"
				assert.Equal(b, []string{"b", "c", "a"}, locks.Names(), "in the order of the call")
				assert.Equal(b, window, locks.Validity())
				assert.NoError(b, locks.Err())
				synctest.Wait()
				tokens := map[string]bool{}
				for i, l := range locks.All() {
					assert.Equal(b, locks.Names()[i], l.Name())
					assert.Same(b, l, locks.Lock(l.Name()))
					assert.Equal(b, window, l.Validity())
					assert.Equal(b, opts.Fencing, l.Fence() > 0)
					tokens[l.Token()] = true
					for _, m := range b.Masters() {
						token, _ := m.Get(opts.Prefix + l.Name())
						assert.Equal(b, l.Token(), token)
						assert.Equal(b, ttl+opts.LockDelay, m.TTL(opts.Prefix+l.Name()))
					}
				}
				assert.Len(b, tokens, 3, "each name has its own token")
				assert.Nil(b, locks.Lock("changed"))
				require.NoError(b, locks.Release(b.Context()))
				b.assertStored()
			}
		})
	}
}

// TestTakenNameRollsBackAll also checks that the error is that of the taken name.
func TestTakenNameRollsBackAll(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.rival("b")
		locks, err := b.TryAcquireAll(b.Context(), []string{"c", "b", "a"}, ttl)
		assert.Nil(b, locks)
		assertReason(b, err, quorum.ErrTaken)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		assert.ErrorContains(b, err, `quorum: acquire 1 of 3 names failed: "b": taken by another (quorum 3 of 5 masters`)
		failure := requireLocksError(b, err)
		assert.Equal(b, 3, failure.Total)
		require.Len(b, failure.Failures, 1)
		assert.Equal(b, "b", failure.Failures[0].Name)
		assert.Equal(b, "b", requireAttemptError(b, err).Name)
		b.assertStored("b")
		l, err := b.TryAcquireAll(b.Context(), []string{"c", "a"}, ttl)
		require.NoError(b, err, "they are free at once")
		assert.NoError(b, l.Release(b.Context()))
	})
}

// TestGrantsOfFailedAttemptAreHandedOn: somebody begins to wait for a lock that the attempt at all
// names has won for a moment.
func TestGrantsOfFailedAttemptAreHandedOn(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		other, _ := b.rival("b")
		b.warmUp(b.Manager)
		b.delayReplies(100*time.Millisecond, 1)
		start := time.Now()
		failed := make(chan error)
		go func() {
			_, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl)
			failed <- err
		}()
		synctest.Wait()
		result := b.acquireAll(b.Context(), other, []string{"a"})
		assertReason(b, <-failed, quorum.ErrTaken)
		locks, err := result()
		require.NoError(b, err)
		assert.Less(b, time.Since(start), 150*time.Millisecond, "handed on, not polled for")
		assert.NoError(b, locks.Release(b.Context()))
	})
}

func TestWrongNamesAreErrors(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, tt := range []struct {
			names []string
			want  string
		}{
			{nil, "quorum: acquire: no names"},
			{[]string{"a", ""}, "quorum: acquire: empty name"},
			{[]string{"a", "redlock:aux:b"}, `quorum: acquire: name "redlock:aux:b" begins with "redlock:aux:", which is reserved for auxiliary keys`},
			{[]string{"a", "b", "a"}, `quorum: acquire: name "a" occurs twice`},
		} {
			for _, acquire := range []func(context.Context, []string, time.Duration, ...quorum.AcquireOption) (*quorum.Locks, error){b.TryAcquireAll, b.AcquireAll} {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				locks, err := acquire(ctx, tt.names, ttl)
				cancel()
				assert.Nil(b, locks)
				assert.EqualError(b, err, tt.want)
				assert.ErrorIs(b, err, quorum.ErrNotAcquired)
			}
		}
		_, err := b.AcquireAll(b.Context(), []string{"a", "b", "c", "d", "e"}, 0)
		assert.EqualError(b, err, `quorum: acquire "a", "b", "c" and 2 more: TTL 0s is under 1ms`)
		_, err = b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl, quorum.WaitAtMost(time.Second))
		assert.EqualError(b, err, `quorum: acquire "a", "b": TryAcquireAll does not wait, so WaitAtMost 1s makes no sense`)
		b.assertNoCommands()
	})
}

// numberedNames returns n names.
func numberedNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("name-", i)
	}
	return names
}

// TestNamesShareCommands counts the commands that each master gets for hundreds of names. One
// command carries 64 names, and all commands are sent together.
func TestNamesShareCommands(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 3, opts, func(b *testbed) {
			b.warmUp(b.Manager)
			warm, err := b.TryAcquireAll(b.Context(), numberedNames(65), ttl) // makes connections for pipelines
			require.NoError(b, err)
			require.NoError(b, warm.Release(b.Context()))
			time.Sleep(time.Second) // so that fences rise
			const rtt = 4 * time.Millisecond
			for _, m := range b.Masters() {
				m.DelayRequests(rtt, quorumtest.Always)
			}
			for n, commands := range map[int]int{1: 1, 10: 1, 64: 1, 65: 2, 300: 5} {
				names := numberedNames(n)
				each := func(what string, do func() error) {
					b.Helper()
					before := b.commands()
					assert.Equal(b, rtt, took(func() { require.NoError(b, do()) }), "%s %d names takes one round trip", what, n)
					synctest.Wait()
					for i, after := range b.commands() {
						assert.Equal(b, commands, after-before[i], "%s %d names on master %d", what, n, i)
					}
				}
				var locks *quorum.Locks
				each("acquire", func() (err error) {
					locks, err = b.TryAcquireAll(b.Context(), names, ttl)
					return err
				})
				each("extend", func() error { return locks.Extend(b.Context(), ttl) })
				each("release", func() error { return locks.Release(b.Context()) })
				_, there := b.Master(0).Get("name-0")
				assert.False(b, there)
				time.Sleep(time.Second)
			}
		})
	}
}

// TestWindowOfAllCountsFromBeforeFirstRequest lets an answer be late.
func TestWindowOfAllCountsFromBeforeFirstRequest(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 3, opts, func(b *testbed) {
			b.warmUp(b.Manager)
			for _, m := range b.Masters() {
				m.DelayReplies(300*time.Millisecond, 1)
			}
			start := time.Now()
			locks, err := b.AcquireAll(b.Context(), []string{"a", "b", "c"}, ttl)
			require.NoError(b, err)
			require.GreaterOrEqual(b, time.Since(start), 300*time.Millisecond)
			assert.Equal(b, window-time.Since(start), locks.Validity())
			for _, l := range locks.All() {
				assert.Equal(b, locks.Validity(), l.Validity())
			}
		})
	}
}

// TestAllIsFailureWithoutValidity: the machine sleeps while the masters answer.
func TestAllIsFailureWithoutValidity(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(10*time.Millisecond, 1)
		}
		time.AfterFunc(5*time.Millisecond, func() { fake.Advance(window) })
		_, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Len(b, requireLocksError(b, err).Failures, 2)
		time.Sleep(time.Second)
		b.assertStored()
	})
}

func TestHungMinorityDoesNotDelayAll(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		b.hang(2)
		locks, err := b.TryAcquireAll(b.Context(), []string{"a", "b", "c"}, ttl)
		require.NoError(b, err)
		assert.Equal(b, window, locks.Validity())
		assert.NoError(b, locks.Extend(b.Context(), ttl))
		assert.NoError(b, locks.Release(b.Context()))
		b.resume()
		time.Sleep(ttl)
		b.assertStored()
	})
}

// TestHungMajorityIsNoQuorumForAll also tries names that are taken: their error decides.
func TestHungMajorityIsNoQuorumForAll(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		b.hang(2)
		var err error
		assert.Equal(b, timeout, took(func() { _, err = b.TryAcquireAll(b.Context(), []string{"a", "b", "c", "d"}, ttl) }))
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Len(b, requireLocksError(b, err).Failures, 4)
		assert.ErrorContains(b, err, `quorum: acquire 4 of 4 names failed: "a": no quorum (quorum 2 of 3 masters: `)
		assert.ErrorContains(b, err, "; and 1 more")
		b.resume()
		time.Sleep(ttl)
		b.assertStored()
	})
}

// TestTakenNameDecidesReason: one name is taken, another has no quorum because its masters store
// something else.
func TestTakenNameDecidesReason(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters()[:2] {
			m.Set("b", "another", time.Hour)
			require.NoError(b, m.Client().LPush(b.Context(), "a", "a list").Err())
		}
		_, err := b.TryAcquireAll(b.Context(), []string{"a", "b", "c"}, ttl)
		assertReason(b, err, quorum.ErrTaken)
		assert.Equal(b, "b", requireAttemptError(b, err).Name)
		failure := requireLocksError(b, err)
		assert.Len(b, failure.Failures, 2, "the others are told too")
		assert.ErrorContains(b, err, `quorum: acquire 2 of 3 names failed: "b": taken by another (`)
		assert.ErrorContains(b, err, "; and 1 more")
		_, err = b.TryAcquireAll(b.Context(), []string{"a", "c"}, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
	})
}

// TestManyFailuresDoNotAddUp: each of many names fails for a reason that a hung master might tell
// more about. They are waited for together.
func TestManyFailuresDoNotAddUp(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		names := numberedNames(50)
		for _, name := range names {
			for _, m := range b.Masters()[1:3] {
				m.Set(name, "another", time.Hour)
			}
			require.NoError(b, b.Master(3).Client().LPush(b.Context(), name, "a list").Err())
		}
		b.hang(1)
		var err error
		assert.LessOrEqual(b, took(func() { _, err = b.TryAcquireAll(b.Context(), names, ttl) }), 30*time.Millisecond)
		assertReason(b, err, quorum.ErrNoQuorum)
		b.resume()
	})
}

func TestContextEndsAttemptAtAll(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		_, err := b.TryAcquireAll(endedContext(), []string{"a", "b"}, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.Canceled)
		b.assertStored()
		b.hang(2)
		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		assert.Equal(b, 100*time.Millisecond, took(func() { _, err = b.TryAcquireAll(ctx, []string{"a", "b"}, ttl) }))
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		b.resume()
		time.Sleep(ttl)
		b.assertStored()
	})
}

// TestRetiredTokensDoNotBlockAll is TestRetiredTokenDoesNotBlockNextAttempt for several names.
func TestRetiredTokensDoNotBlockAll(t *testing.T) {
	for _, how := range []string{"TryAcquireAll", "AcquireAll"} {
		bubble(t, 2, func(b *testbed) {
			b.warmUp(b.Manager)
			b.Master(0).Set("a", "another", time.Hour)
			b.Master(0).Set("b", "another", time.Hour)
			b.Master(1).DelayReplies(time.Millisecond, 1) // it grants the locks, but the attempt fails before
			_, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl)
			assertReason(b, err, quorum.ErrTaken)
			b.Master(0).Del("a")
			b.Master(0).Del("b")
			acquire := b.TryAcquireAll
			if how == "AcquireAll" {
				acquire = b.AcquireAll
			}
			locks, err := acquire(b.Context(), []string{"c", "b", "a"}, ttl)
			require.NoError(b, err)
			assert.Greater(b, locks.Validity(), window-10*time.Millisecond, "at once")
			assert.NoError(b, locks.Release(b.Context()))
		})
	}
}

// TestWaitKeepsPrefixOnly: while a call waits for the first lock that is taken, it keeps those
// before and gives back those after it. Nobody is told, and when it has all, they are extended to
// their whole TTL together.
func TestWaitKeepsPrefixOnly(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		b.warmUp(b.Manager)
		_, held := b.rival("c")
		r.take()
		result := b.acquireAll(b.Context(), b.Manager, []string{"d", "c", "b", "a"})
		b.assertStored("a", "b", "c")
		time.Sleep(3 * ttl) // longer than the locks last that it keeps
		b.assertStored("a", "b", "c")
		assert.Empty(b, b.Held())
		events := r.take()
		require.Len(b, events, 1, "%#v", events)
		assert.Equal(b, "c", events[0].(quorum.AttemptFailedEvent).Name)

		require.NoError(b, held["c"].Release(b.Context()))
		locks, err := result()
		require.NoError(b, err)
		assert.Equal(b, []string{"d", "c", "b", "a"}, locks.Names())
		assert.Len(b, b.Held(), 4)
		assert.Positive(b, locks.Validity())
		var acquired []string
		for _, e := range only[quorum.AcquiredEvent](r) {
			acquired = append(acquired, e.Name)
			assert.Greater(b, e.Waited, 3*ttl)
		}
		assert.ElementsMatch(b, locks.Names(), acquired)
		time.Sleep(20 * time.Millisecond)
		for _, l := range locks.All() {
			assert.Equal(b, window-10*time.Millisecond, l.Validity(), "all are extended 10 ms after the wait")
		}
		time.Sleep(ttl)
		assert.ErrorIs(b, locks.Err(), quorum.ErrExpired, "nobody renews it")
		assert.Empty(b, only[quorum.RenewedEvent](r))
	})
}

// TestNoDeadlockInOppositeOrder: two calls name the same locks in opposite orders, and each is
// first in the queue for one of them.
func TestNoDeadlockInOppositeOrder(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		_, held := b.rival("a", "b")
		managers := b.otherManagers(2, quorum.Options{})
		defer b.closeAll(managers)
		ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
		defer cancel()
		one := b.acquireAll(ctx, managers[0], []string{"a", "b"})
		two := b.acquireAll(ctx, managers[1], []string{"b", "a"})
		require.NoError(b, held["a"].Release(b.Context()))
		require.NoError(b, held["b"].Release(b.Context()))
		for _, result := range []func() (*quorum.Locks, error){one, two} {
			locks, err := result()
			require.NoError(b, err)
			assert.NoError(b, locks.Release(b.Context()))
		}
	})
}

// TestOverlappingSetsAreAllServed lets callers of several Managers acquire random sets of names, in
// random orders, some of them without waiting. All that wait are served.
func TestOverlappingSetsAreAllServed(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 3, opts, func(b *testbed) {
			const callers, rounds = 15, 6
			managers := b.otherManagers(6, opts)
			defer b.closeAll(managers)
			start := time.Now()
			var history quorumtest.History
			var all sync.WaitGroup
			served := make([]int, callers)
			for i := range callers {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				all.Go(func() {
					for range rounds {
						names := []string{"a", "b", "c", "d", "e", "f", "g"}
						random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
						names = names[:1+random.IntN(4)]
						m := managers[i%len(managers)]
						if i%4 == 0 {
							if locks, err := m.TryAcquireAll(b.Context(), names, ttl); err == nil {
								assert.NoError(b, locks.Release(b.Context()))
							}
						}
						locks, err := m.AcquireAll(b.Context(), names, ttl)
						if !assert.NoError(b, err) {
							return
						}
						from := time.Since(start)
						time.Sleep(time.Duration(random.IntN(5000)) * time.Microsecond)
						assert.NoError(b, locks.Err())
						to := time.Since(start)
						for _, l := range locks.All() {
							history.Add(quorumtest.Hold{Name: l.Name(), Holder: fmt.Sprint(i), Token: l.Token(), From: from, To: to, Fence: l.Fence()})
						}
						assert.NoError(b, locks.Release(b.Context()))
						served[i]++
					}
				})
			}
			all.Wait()
			assert.Equal(b, slices.Repeat([]int{rounds}, callers), served)
			assert.NoError(b, history.Check())
			assert.Less(b, time.Since(start), 3*time.Minute)
		})
	}
}

// TestCallThatHasWaitedGoesFirst: a call that has waited for one lock comes before younger calls
// when it then waits for another, be they of another process or of its own.
func TestCallThatHasWaitedGoesFirst(t *testing.T) {
	for _, same := range []bool{false, true} {
		bubble(t, 3, func(b *testbed) {
			other, held := b.rival("a", "b")
			older := b.acquireAll(b.Context(), b.Manager, []string{"a", "b"})
			younger := other
			if same {
				younger = b.Manager
			}
			first := b.acquireAll(b.Context(), younger, []string{"b"})
			second := b.acquireAll(b.Context(), younger, []string{"b"})
			time.Sleep(time.Second)
			require.NoError(b, held["a"].Release(b.Context()))
			time.Sleep(time.Second) // now all three wait for b
			require.NoError(b, held["b"].Release(b.Context()))
			for _, next := range []func() (*quorum.Locks, error){older, first, second} {
				locks, err := next()
				require.NoError(b, err)
				time.Sleep(time.Second)
				require.NoError(b, locks.Release(b.Context()))
			}
		})
	}
}

// TestLostPrefixIsAcquiredAgain: masters forget a lock that a waiting call keeps, and another
// client takes it. The call must not return with it.
func TestLostPrefixIsAcquiredAgain(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		other, held := b.rival("c")
		r.take()
		result := b.acquireAll(b.Context(), b.Manager, []string{"a", "b", "c"})
		for _, m := range b.Masters() {
			m.Del("b")
		}
		taken, err := other.TryAcquire(b.Context(), "b", time.Hour)
		require.NoError(b, err)
		time.Sleep(ttl) // it notices when it renews b
		b.assertStored("a", "b", "c")
		require.NoError(b, held["c"].Release(b.Context()))
		time.Sleep(time.Second)
		b.assertStored("a", "b")
		stored, _ := b.Master(0).Get("b")
		assert.Equal(b, taken.Token(), stored)
		assert.Empty(b, only[quorum.AcquiredEvent](r))
		require.NoError(b, taken.Release(b.Context()))
		locks, err := result()
		require.NoError(b, err)
		assert.NoError(b, locks.Err())
		assert.Empty(b, only[quorum.LostEvent](r), "nobody had it")
		assert.NoError(b, locks.Release(b.Context()))
	})
}

// TestCallGivesUpWaiting ends the wait in several ways. Nothing is kept.
func TestCallGivesUpWaiting(t *testing.T) {
	for what, kind := range map[string][]quorum.AcquireOption{"plain": nil, "exclusive": {quorum.Exclusive()}, "permit": {quorum.Permits(1)}} {
		t.Run(what, func(t *testing.T) { testCallGivesUpWaiting(t, kind) })
	}
}

func testCallGivesUpWaiting(t *testing.T, kind []quorum.AcquireOption) {
	t.Helper()
	for what, tt := range map[string]struct {
		opts    []quorum.AcquireOption
		timeout time.Duration
		want    []error
		took    time.Duration
	}{
		"ctx":        {nil, 3 * time.Second, []error{context.DeadlineExceeded}, 3 * time.Second},
		"WaitAtMost": {[]quorum.AcquireOption{quorum.WaitAtMost(3 * time.Second)}, time.Hour, []error{quorum.ErrWaitExceeded}, 3 * time.Second},
		"NoWait":     {[]quorum.AcquireOption{quorum.NoWait()}, time.Hour, nil, 0},
	} {
		t.Run(what, func(t *testing.T) {
			observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
				b.rival("b")
				r.take()
				ctx, cancel := context.WithTimeout(b.Context(), tt.timeout)
				defer cancel()
				var err error
				assert.Equal(b, tt.took, took(func() { _, err = b.AcquireAll(ctx, []string{"c", "b", "a"}, ttl, append(kind, tt.opts...)...) }))
				assertReason(b, err, quorum.ErrTaken)
				assert.ErrorIs(b, err, quorum.ErrNotAcquired)
				for _, want := range tt.want {
					assert.ErrorIs(b, err, want)
				}
				if what != "ctx" {
					assert.NotErrorIs(b, err, context.DeadlineExceeded)
				}
				assert.Equal(b, "b", requireAttemptError(b, err).Name)
				assert.ErrorContains(b, err, `quorum: acquire 1 of 3 names failed: "b": taken by another`)
				b.assertStored("b")
				told := one[quorum.NotAcquiredEvent](b, r)
				assert.Equal(b, "b", told.Name)
				assert.Equal(b, tt.took, told.Waited)
			})
		})
	}
}

// TestEndedPartEndsWholeAtOnce looks at the whole while another goroutine is about to tell it.
func TestEndedPartEndsWholeAtOnce(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		s, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl)
		require.NoError(b, err)
		quorum.EndUntold(s.All()[1], quorum.ErrExpired)
		assert.ErrorIs(b, s.Err(), quorum.ErrExpired)
		assert.ErrorIs(b, s.Release(b.Context()), quorum.ErrExpired)
	})
}

// TestLimitsOfAllCountFromCompletion: MinHold, MaxHold and AutoRenew apply to the whole, and not to
// the time during which the first locks are kept.
func TestLimitsOfAllCountFromCompletion(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Minute} {
		bubble(t, 3, func(b *testbed) {
			acquire := func(opts ...quorum.AcquireOption) *quorum.Locks {
				b.Helper()
				_, held := b.rival("b")
				if wait == 0 {
					require.NoError(b, held["b"].Release(b.Context()))
					synctest.Wait()
				}
				result := b.acquireAll(b.Context(), b.Manager, []string{"a", "b"}, opts...)
				if wait > 0 {
					time.Sleep(wait)
					require.NoError(b, held["b"].Release(b.Context()))
				}
				locks, err := result()
				require.NoError(b, err)
				return locks
			}
			locks := acquire(quorum.AutoRenew(20 * time.Second))
			time.Sleep(15 * time.Second)
			assert.Positive(b, locks.Validity())
			assert.LessOrEqual(b, locks.Validity(), 5*time.Second)
			time.Sleep(5 * time.Second)
			assert.ErrorIs(b, locks.Err(), quorum.ErrHoldLimit)
			time.Sleep(time.Second)
			b.assertStored()

			locks = acquire(quorum.MinHold(5 * time.Second))
			time.Sleep(time.Second)
			require.NoError(b, locks.Release(b.Context()))
			b.assertStored("a", "b")
			time.Sleep(3 * time.Second)
			b.assertStored("a", "b")
			time.Sleep(time.Second)
			b.assertStored()
		})
	}
}

// TestGivenBackPrefixRestsNotAtAll: a minimum hold does not apply to locks that nobody held.
func TestGivenBackPrefixRestsNotAtAll(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.rival("b")
		_, err := b.AcquireAll(b.Context(), []string{"a", "b"}, ttl, quorum.MinHold(5*time.Second), quorum.WaitAtMost(time.Second))
		assertReason(b, err, quorum.ErrTaken)
		b.assertStored("b")
	})
}

// TestFencesOfAllIncrease: each lock's fence is above those of earlier holders, whether it was
// acquired at once, minted in a second round, or handed on.
func TestFencesOfAllIncrease(t *testing.T) {
	bubbleWith(t, 5, quorum.Options{Fencing: true}, func(b *testbed) {
		other := b.otherManagers(1, quorum.Options{Fencing: true})
		defer b.closeAll(other)
		last := map[string]int64{}
		check := func(locks *quorum.Locks, err error) {
			b.Helper()
			require.NoError(b, err)
			for _, l := range locks.All() {
				assert.Greater(b, l.Fence(), last[l.Name()])
				last[l.Name()] = l.Fence()
			}
		}
		locks, err := b.TryAcquireAll(b.Context(), []string{"a", "b", "c"}, ttl)
		check(locks, err)
		require.NoError(b, locks.Release(b.Context()))
		for _, m := range b.Masters()[:3] { // the clocks of a majority are wrong
			m.AdvanceClock(-time.Hour)
		}
		synctest.Wait()
		before := b.commands()
		locks, err = b.TryAcquireAll(b.Context(), []string{"a", "b", "c"}, ttl)
		check(locks, err)
		synctest.Wait()
		assert.Equal(b, 2, b.commands()[4]-before[4], "the fences are stored together")
		result := b.acquireAll(b.Context(), other[0], []string{"c", "b", "a"})
		time.Sleep(time.Second)
		require.NoError(b, locks.Release(b.Context()))
		check(result())
	})
}

func TestQuarantinedMastersRefuseAll(t *testing.T) {
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		_, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		b.assertStored()
		result := b.acquireAll(b.Context(), b.Manager, []string{"a", "b"})
		locks, err := result()
		require.NoError(b, err, "once the quarantine is over")
		assert.NoError(b, locks.Release(b.Context()))
	})
}

// TestCloseEndsWaitForAll: what the call kept is released.
func TestCloseEndsWaitForAll(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		b.rival("b")
		result := b.acquireAll(b.Context(), b.Manager, []string{"a", "b", "c"})
		b.assertStored("a", "b")
		require.NoError(b, b.Manager.Close())
		_, err := result()
		assertReason(b, err, quorum.ErrClosed)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		b.assertStored("b")
		_, err = b.AcquireAll(b.Context(), []string{"a"}, ttl)
		assertReason(b, err, quorum.ErrClosed)
		assert.Empty(b, only[quorum.LostEvent](r))
	})
}

// TestNamesMayHaveDifferentSlots: each name of a Cluster is on another node.
func TestNamesMayHaveDifferentSlots(t *testing.T) {
	t.Parallel() // it waits in real time
	c := embedded(t, 2)
	slots := func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{
			{End: 8191, Nodes: []redis.ClusterNode{{Addr: c.Master(0).Addr()}}},
			{Start: 8192, End: 16383, Nodes: []redis.ClusterNode{{Addr: c.Master(1).Addr()}}},
		}, nil
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{ClusterSlots: slots, MaintNotificationsConfig: quiet})
	defer func() { assert.NoError(t, cluster.Close()) }()
	m, err := quorum.New([]redis.UniversalClient{cluster}, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, m.Close()) }()
	locks, err := m.AcquireAll(patiently(t), []string{"a", "b", "c", "d"}, ttl)
	require.NoError(t, err)
	on := [2]int{len(c.Master(0).Keys()), len(c.Master(1).Keys())}
	assert.Equal(t, 4, on[0]+on[1])
	assert.Positive(t, on[0])
	assert.Positive(t, on[1])
	require.NoError(t, locks.Extend(patiently(t), ttl))
	require.NoError(t, locks.Release(patiently(t)))
	assert.Empty(t, append(c.Master(0).Keys(), c.Master(1).Keys()...))
}

// TestMastersThatForgetDoNotStopCall: masters keep losing what a waiting call keeps. It goes on.
func TestMastersThatForgetDoNotStopCall(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		_, held := b.rival("b")
		result := b.acquireAll(b.Context(), b.Manager, []string{"a", "b"})
		for range 5 {
			for _, m := range b.Masters() {
				m.Del("a")
			}
			time.Sleep(ttl)
			b.assertStored("a", "b")
		}
		require.NoError(b, held["b"].Release(b.Context()))
		locks, err := result()
		require.NoError(b, err)
		assert.NoError(b, locks.Release(b.Context()))
	})
}

// TestAcquireAllWithNilContextPanics also checks that Close does not wait for the call.
func TestAcquireAllWithNilContextPanics(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var none context.Context
		assert.PanicsWithValue(b, "quorum: nil context", func() { _, _ = b.AcquireAll(none, []string{"a"}, ttl) })
		assert.NoError(b, b.Manager.Close())
	})
}
