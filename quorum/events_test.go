package quorum_test

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// recorder records all events.
type recorder struct {
	mu  sync.Mutex
	all []any
}

// events returns Events whose every handler records what it is told.
func (r *recorder) events() (e quorum.Events) {
	fields := reflect.ValueOf(&e).Elem()
	for i := range fields.NumField() {
		handler := fields.Field(i)
		handler.Set(reflect.MakeFunc(handler.Type(), func(args []reflect.Value) []reflect.Value {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, args[0].Interface())
			return nil
		}))
	}
	return e
}

// take returns the events since the last call, once everything else has happened.
func (r *recorder) take() []any {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// only returns the events of one type since the last call.
func only[E any](r *recorder) (events []E) {
	for _, e := range r.take() {
		if e, ok := e.(E); ok {
			events = append(events, e)
		}
	}
	return events
}

// one returns the only event of its type since the last call.
func one[E any](b *testbed, r *recorder) E {
	b.Helper()
	events := only[E](r)
	require.Len(b, events, 1)
	return events[0]
}

// observed runs a test whose Manager's events are recorded.
func observed(t *testing.T, opts quorum.Options, test func(b *testbed, r *recorder)) {
	t.Helper()
	r := &recorder{}
	opts.Events = r.events()
	bubbleWith(t, 3, opts, func(b *testbed) { test(b, r) })
}

// TestEventsOfOneHold follows a lock from its acquisition to its release.
func TestEventsOfOneHold(t *testing.T) {
	observed(t, quorum.Options{Fencing: true, Owner: "web-3:4711"}, func(b *testbed, r *recorder) {
		type key struct{}
		ctx := context.WithValue(b.Context(), key{}, "trace")
		b.occupyFor(2, 3*time.Second)
		l, err := b.Acquire(ctx, name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		var acquired quorum.AcquiredEvent
		for _, e := range r.take() {
			switch e := e.(type) {
			case quorum.AcquiredEvent:
				acquired = e
			case quorum.AttemptFailedEvent:
				assert.Equal(b, name, e.Name)
				assert.ErrorIs(b, e.Err, quorum.ErrTaken)
				assert.Equal(b, "trace", e.Context.Value(key{}))
			default:
				assert.Fail(b, "unexpected event", "%#v", e)
			}
		}
		assert.Equal(b, name, acquired.Name)
		assert.Equal(b, l.Fence(), acquired.Fence)
		assert.InDelta(b, 3*time.Second, acquired.Waited, float64(100*time.Millisecond))
		assert.Equal(b, l.Validity(), acquired.Validity)
		assert.False(b, acquired.HandedOn)
		assert.Equal(b, "trace", acquired.Context.Value(key{}))
		assert.Equal(b, time.Now(), acquired.Time)
		random, _, _ := strings.Cut(l.Token(), "@")
		assert.Equal(b, random[:6]+"…@web-3:4711", acquired.Token, "not the secret")

		time.Sleep(ttl / 3)
		renewed := only[quorum.RenewedEvent](r)
		require.NotEmpty(b, renewed)
		assert.Equal(b, acquired.Acquisition, renewed[0].Acquisition)
		assert.Equal(b, window, renewed[0].Validity)

		require.NoError(b, l.Release(b.Context()))
		released := one[quorum.ReleasedEvent](b, r)
		assert.Equal(b, acquired.Acquisition, released.Acquisition)
		assert.Equal(b, ttl/3, released.Held)
		assert.Zero(b, released.Took)
		assert.NoError(b, released.Err)
		assert.False(b, released.LeftToExpire)
		require.NoError(b, l.Release(b.Context()))
		assert.Empty(b, r.take(), "told once")
	})
}

// TestEventsOfHandOff looks from both sides.
func TestEventsOfHandOff(t *testing.T) {
	for what, kind := range map[string][]quorum.AcquireOption{"plain": nil, "exclusive": {quorum.Exclusive()}, "permit": {quorum.Permits(1)}} {
		t.Run(what, func(t *testing.T) { testEventsOfHandOff(t, kind...) })
	}
}

func testEventsOfHandOff(t *testing.T, kind ...quorum.AcquireOption) {
	t.Helper()
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		l, err := b.TryAcquire(b.Context(), name, ttl, kind...)
		require.NoError(b, err)
		synctest.Wait()
		theirs := &recorder{}
		waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Events: theirs.events()})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := waiter.Acquire(b.Context(), name, ttl, kind...)
			assert.NoError(b, err)
		}()
		time.Sleep(time.Second)
		r.take()
		require.NoError(b, l.Release(b.Context()))
		<-done
		handedOn := one[quorum.HandedOnEvent](b, r)
		assert.Equal(b, name, handedOn.Name)
		acquired := one[quorum.AcquiredEvent](b, theirs)
		assert.True(b, acquired.HandedOn)
		assert.InDelta(b, time.Second, acquired.Waited, float64(50*time.Millisecond))
		require.NoError(b, waiter.Close())
	})
}

// TestEntryThatMovesUpIsNotToldOf has two masters that have stored a higher fence than the client
// asks for. Nobody else has the lock, or has had it.
func TestEntryThatMovesUpIsNotToldOf(t *testing.T) {
	observed(t, quorum.Options{Fencing: true}, func(b *testbed, r *recorder) {
		b.warmUp(b.Manager)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(ahead, ahead)
		r.take()
		_, err := b.Acquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		for _, e := range r.take() {
			switch e := e.(type) {
			case quorum.AttemptFailedEvent:
				b.Errorf("nobody was in the way: %v", e)
			case quorum.AcquiredEvent:
				assert.False(b, e.HandedOn)
			}
		}
	})
}

// TestLossIsToldWithItsReason also loses a lock that nobody looks at.
func TestLossIsToldWithItsReason(t *testing.T) {
	for how, tt := range map[string]struct {
		opts []quorum.AcquireOption
		end  func(b *testbed, l *quorum.Lock)
		why  error
		held time.Duration
	}{
		"expired":    {nil, func(*testbed, *quorum.Lock) { time.Sleep(ttl) }, quorum.ErrExpired, window},
		"hold limit": {[]quorum.AcquireOption{quorum.AutoRenew(12 * time.Second)}, func(*testbed, *quorum.Lock) { time.Sleep(20 * time.Second) }, quorum.ErrHoldLimit, 12 * time.Second},
		"denied": {nil, func(b *testbed, l *quorum.Lock) {
			time.Sleep(time.Second)
			b.occupy(3)
			assert.Error(b, l.Extend(b.Context(), ttl))
		}, quorum.ErrDenied, time.Second},
		"found by the release": {nil, func(b *testbed, l *quorum.Lock) {
			time.Sleep(time.Second)
			b.occupy(3)
			assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		}, quorum.ErrDenied, time.Second},
		"closed": {nil, func(b *testbed, _ *quorum.Lock) {
			time.Sleep(time.Second)
			require.NoError(b, b.Manager.Close())
		}, quorum.ErrClosed, time.Second},
	} {
		t.Run(how, func(t *testing.T) {
			observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
				l, err := b.TryAcquire(b.Context(), name, ttl, tt.opts...)
				require.NoError(b, err)
				synctest.Wait()
				tt.end(b, l)
				all := r.take()
				lost := 0
				for _, e := range all {
					switch e := e.(type) {
					case quorum.LostEvent:
						lost++
						assert.ErrorIs(b, e.Err, tt.why)
						assert.Equal(b, tt.held, e.Held)
						assert.Equal(b, name, e.Name)
					case quorum.ReleasedEvent:
						assert.Fail(b, "a lost lock is not released")
					}
				}
				assert.Equal(b, 1, lost, "%v", all)
				_ = l.Release(b.Context())
				assert.Empty(b, only[quorum.ReleasedEvent](r))
			})
		})
	}
}

// TestCallsThatDoNotAcquireAreTold covers the ways to fail.
func TestCallsThatDoNotAcquireAreTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		b.occupy(2)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.Error(b, err)
		failed := one[quorum.NotAcquiredEvent](b, r)
		assert.Equal(b, err, failed.Err)
		assert.Equal(b, name, failed.Name)
		assert.Zero(b, failed.Waited)

		_, err = b.Acquire(b.Context(), name, ttl, quorum.WaitAtMost(3*time.Second))
		require.Error(b, err)
		failed = one[quorum.NotAcquiredEvent](b, r)
		assert.Equal(b, 3*time.Second, failed.Waited)
		assert.ErrorIs(b, failed.Err, quorum.ErrTaken)

		err = b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { return nil }, quorum.NoWait())
		require.Error(b, err)
		assert.ErrorIs(b, one[quorum.NotAcquiredEvent](b, r).Err, quorum.ErrTaken)

		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		require.False(b, ran)
		assert.NoError(b, one[quorum.NotAcquiredEvent](b, r).Err, "another has the period")
	})
}

// TestFailingAttemptsOfWaiterAreTold waits for masters that refuse everything: events are the only
// sign of life.
func TestFailingAttemptsOfWaiterAreTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		for _, m := range b.Masters() {
			m.Fail("WRONGPASS invalid username-password pair or user is disabled.")
		}
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		_, err := b.Acquire(ctx, name, ttl)
		require.Error(b, err)
		failed := only[quorum.AttemptFailedEvent](r)
		require.NotEmpty(b, failed)
		assert.ErrorContains(b, failed[0].Err, "WRONGPASS")
		assert.Less(b, failed[0].Time.Sub(time.Now().Add(-10*time.Second)), time.Second)
	})
}

func TestOncesPeriodIsToldAsLeftToExpire(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		_, err := b.Once(b.Context(), name, time.Minute, func(context.Context) error {
			time.Sleep(2 * time.Second)
			return nil
		})
		require.NoError(b, err)
		released := one[quorum.ReleasedEvent](b, r)
		assert.True(b, released.LeftToExpire)
		assert.Equal(b, 2*time.Second, released.Held)
		time.Sleep(time.Hour)
		assert.Empty(b, only[quorum.LostEvent](r))

		_, err = b.Once(b.Context(), "failing", time.Minute, func(context.Context) error { return errJob }, quorum.GiveBack())
		require.ErrorIs(b, err, errJob)
		assert.False(b, one[quorum.ReleasedEvent](b, r).LeftToExpire)
		_, err = b.Once(b.Context(), "long", time.Second, func(context.Context) error {
			time.Sleep(time.Minute)
			assert.NotContains(b, fmt.Sprint(b.Held()), "long")
			return nil
		})
		require.NoError(b, err)
		for _, e := range r.take() {
			switch e := e.(type) {
			case quorum.LostEvent:
				assert.Fail(b, "a period that ends is no loss")
			case quorum.ReleasedEvent:
				assert.True(b, e.LeftToExpire)
				assert.Equal(b, time.Minute, e.Held)
			}
		}
	})
}

// TestEachAcquisitionHasOneEnd covers calls of Once that end in unusual ways.
func TestEachAcquisitionHasOneEnd(t *testing.T) {
	for what, fn := range map[string]func(b *testbed) error{
		"outlives its period": func(*testbed) error { time.Sleep(ttl + 1); return nil },
		"fails late":          func(*testbed) error { time.Sleep(ttl + 1); return errJob },
		"closed":              func(b *testbed) error { go func() { _ = b.Manager.Close() }(); time.Sleep(time.Second); return nil },
		"fails":               func(*testbed) error { return errJob },
	} {
		for _, opts := range [][]quorum.OnceOption{nil, {quorum.GiveBack()}} {
			t.Run(what, func(t *testing.T) {
				observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
					_, _ = b.Once(b.Context(), name, ttl, func(context.Context) error { return fn(b) }, opts...)
					assert.Len(b, only[quorum.ReleasedEvent](r), 1)
				})
			})
		}
	}
}

// TestResumedLockIsToldLost resumes a lock that nobody looks at again.
func TestResumedLockIsToldLost(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		token, err := b.acquire().Detach(b.Context(), ttl)
		require.NoError(b, err)
		_, err = b.Resume(b.Context(), name, token)
		require.NoError(b, err)
		time.Sleep(ttl)
		assert.ErrorIs(b, one[quorum.LostEvent](b, r).Err, quorum.ErrExpired)
	})
}

// TestHandlerThatEndsItsGoroutineHarmsNobody does what a test's FailNow does.
func TestHandlerThatEndsItsGoroutineHarmsNobody(t *testing.T) {
	r := &recorder{}
	events := r.events()
	events.Acquired = func(quorum.AcquiredEvent) { runtime.Goexit() }
	bubbleWith(t, 3, quorum.Options{Events: events}, func(b *testbed) {
		require.NoError(b, b.acquire().Release(b.Context()))
		all := r.take()
		require.Len(b, all, 2)
		assert.Equal(b, "Acquired", all[0].(quorum.HandlerPanickedEvent).Event)
		require.NoError(b, b.acquire().Release(b.Context()))
		assert.Len(b, only[quorum.ReleasedEvent](r), 1)
	})
}

// TestFailingRenewalIsTold has too few masters answer for a while.
func TestFailingRenewalIsTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		synctest.Wait()
		r.take()
		for _, m := range b.Masters()[:2] {
			m.Fail("LOADING Redis is loading the dataset in memory")
		}
		time.Sleep(6 * time.Second)
		failed := only[quorum.RenewalFailedEvent](r)
		require.GreaterOrEqual(b, len(failed), 2)
		assert.ErrorIs(b, failed[0].Err, quorum.ErrNoQuorum)
		assert.ErrorContains(b, failed[0].Err, "LOADING")
		assert.Greater(b, failed[0].Validity, failed[1].Validity)
		for _, m := range b.Masters() {
			m.Heal()
		}
		time.Sleep(2 * time.Second)
		events := r.take()
		assert.IsType(b, quorum.RenewedEvent{}, events[len(events)-1])
		assert.NoError(b, l.Err())
	})
}

func TestRepairIsTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		l := b.acquire()
		b.Master(1).FlushAll()
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(100 * time.Millisecond) // it has forgotten its record, too
		repaired := one[quorum.RepairedEvent](b, r)
		assert.Equal(b, b.Master(1).Addr(), repaired.Master)
		assert.Equal(b, name, repaired.Name)
	})
}

// TestOwedReleasesAreTold has a master miss a release, and then never be told of it.
func TestOwedReleasesAreTold(t *testing.T) {
	observed(t, quorum.Options{MaxPendingReleases: 1}, func(b *testbed, r *recorder) {
		first, second := b.acquireNamed("first"), b.acquireNamed("second")
		b.Master(0).Fail("LOADING Redis is loading the dataset in memory")
		require.NoError(b, first.Release(b.Context()))
		owed := one[quorum.ReleaseOwedEvent](b, r)
		assert.Equal(b, "first", owed.Name)
		assert.Equal(b, b.Master(0).Addr(), owed.Master)
		require.NoError(b, second.Release(b.Context()))
		time.Sleep(time.Second)
		given := only[quorum.ReleaseGivenUpEvent](r)
		require.Len(b, given, 1)
		assert.Equal(b, b.Master(0).Addr(), given[0].Master)
		b.Master(0).Heal()
	})
}

// TestUnconfirmedReleaseOfDoIsAnEvent is no failure of Do: fn succeeded inside its window.
func TestUnconfirmedReleaseOfDoIsAnEvent(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		assert.NoError(b, b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			b.hang(2)
			return nil
		}))
		released := one[quorum.ReleasedEvent](b, r)
		assertReason(b, released.Err, quorum.ErrNoQuorum)
		b.resume()
		time.Sleep(5 * time.Second)
		assert.Equal(b, 3, b.vacantMasters(), "the release is repeated")
	})
}

func TestBreakIsTold(t *testing.T) {
	observed(t, quorum.Options{Owner: "operator"}, func(b *testbed, r *recorder) {
		l := b.acquire()
		require.NoError(b, b.Break(b.Context(), name, l.Token()))
		broken := one[quorum.BrokenEvent](b, r)
		assert.Equal(b, name, broken.Name)
		assert.True(b, strings.HasSuffix(broken.Token, "…@operator"), broken.Token)
		assert.ErrorIs(b, b.Break(b.Context(), name, l.Token()), quorum.ErrNotHeld)
		assert.Empty(b, only[quorum.BrokenEvent](r))
	})
}

// TestSlowHandlerHarmsNobody has a handler that blocks. Locks work as usual, Close does not wait
// for it, and what could not be delivered is counted and told.
func TestSlowHandlerHarmsNobody(t *testing.T) {
	var block chan struct{} // made in the bubble
	var dropped chan quorum.EventsDroppedEvent
	opts := quorum.Options{Events: quorum.Events{
		Acquired:      func(quorum.AcquiredEvent) { <-block },
		Released:      func(quorum.ReleasedEvent) {},
		EventsDropped: func(e quorum.EventsDroppedEvent) { dropped <- e },
	}}
	bubbleWith(t, 3, opts, func(b *testbed) {
		block, dropped = make(chan struct{}), make(chan quorum.EventsDroppedEvent, 10)
		const holds = 1000
		for range holds {
			assert.Zero(b, took(func() { require.NoError(b, b.acquire().Release(b.Context())) }))
		}
		assert.EqualValues(b, 2*holds-1001, b.Stats().EventsDropped, "one is being handled, a thousand wait")
		close(block)
		assert.Equal(b, b.Stats().EventsDropped, (<-dropped).Count)
		block = make(chan struct{})
		b.acquire()
		assert.LessOrEqual(b, took(func() { require.NoError(b, b.Manager.Close()) }), 200*time.Millisecond)
		close(block)
	})
}

// TestPanickingHandlerHarmsNobody also lets HandlerPanicked panic.
func TestPanickingHandlerHarmsNobody(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := &recorder{}
		events := r.events()
		events.Acquired = func(quorum.AcquiredEvent) { panic("oh no") }
		if again {
			events.HandlerPanicked = func(quorum.HandlerPanickedEvent) { panic("oh no, again") }
		}
		bubbleWith(t, 3, quorum.Options{Events: events}, func(b *testbed) {
			require.NoError(b, b.acquire().Release(b.Context()))
			all := r.take()
			if again {
				assert.EqualValues(b, 2, b.Stats().HandlerPanics)
				require.Len(b, all, 1)
			} else {
				assert.EqualValues(b, 1, b.Stats().HandlerPanics)
				assert.Equal(b, quorum.HandlerPanickedEvent{Time: time.Now(), Event: "Acquired", Value: "oh no"}, all[0])
			}
			assert.IsType(b, quorum.ReleasedEvent{}, all[len(all)-1], "the next event is delivered")
		})
	}
}

// TestHandlersMayCallTheManager calls everything from handlers, Close included.
func TestHandlersMayCallTheManager(t *testing.T) {
	var b *testbed
	var closed atomic.Bool
	opts := quorum.Options{Events: quorum.Events{
		Acquired: func(quorum.AcquiredEvent) {
			assert.Len(b, b.Held(), 1)
			assert.Equal(b, 1, b.Stats().Held)
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrTaken)
			_, err = b.Inspect(b.Context(), name)
			assert.NoError(b, err)
			assert.NoError(b, b.Held()[0].Release(b.Context()))
		},
		Released: func(quorum.ReleasedEvent) {
			assert.NoError(b, b.Manager.Close())
			closed.Store(true)
		},
	}}
	bubbleWith(t, 3, opts, func(bed *testbed) {
		b = bed
		l := b.acquire()
		<-l.Lost()
		time.Sleep(time.Second)
		assert.True(b, closed.Load())
	})
}

// TestEveryHandlerHasItsOwnEventType keeps the contract of Events.
func TestEveryHandlerHasItsOwnEventType(t *testing.T) {
	events := reflect.TypeFor[quorum.Events]()
	for i := range events.NumField() {
		field := events.Field(i)
		require.Equal(t, 1, field.Type.NumIn(), field.Name)
		assert.Equal(t, field.Name+"Event", field.Type.In(0).Name())
		_, hasTime := field.Type.In(0).FieldByName("Time")
		assert.True(t, hasTime, field.Name)
	}
}

// TestEventsAreDeliveredInOrder acquires and releases many locks.
func TestEventsAreDeliveredInOrder(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		for i := range 100 {
			require.NoError(b, b.acquireNamed(fmt.Sprint(i)).Release(b.Context()))
		}
		all := r.take()
		require.Len(b, all, 200)
		for i := range 100 {
			assert.Equal(b, fmt.Sprint(i), all[2*i].(quorum.AcquiredEvent).Name)
			assert.Equal(b, fmt.Sprint(i), all[2*i+1].(quorum.ReleasedEvent).Name)
		}
	})
}

// TestCloseDeliversItsEvents ends a lock by closing the Manager.
func TestCloseDeliversItsEvents(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		b.acquire()
		require.NoError(b, b.Manager.Close())
		r.mu.Lock()
		defer r.mu.Unlock()
		lost, ok := r.all[len(r.all)-1].(quorum.LostEvent)
		require.True(b, ok)
		assert.ErrorIs(b, lost.Err, quorum.ErrClosed)
	})
}

// TestReleasesGivenUpByCloseAreTold closes a Manager whose releases do not reach a master.
func TestReleasesGivenUpByCloseAreTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		l := b.acquire()
		b.Master(0).Fail("LOADING Redis is loading the dataset in memory")
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Manager.Close())
		given := only[quorum.ReleaseGivenUpEvent](r)
		require.Len(b, given, 1)
		assert.Equal(b, b.Master(0).Addr(), given[0].Master)
	})
}

// TestHandlerKeepsItsOwnError changes the error that a call returned. Run with -race.
func TestHandlerKeepsItsOwnError(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		b.occupy(2)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		requireAttemptError(b, err).Masters[0].Master = "changed"
		for _, e := range r.take() {
			if e, ok := e.(quorum.NotAcquiredEvent); ok {
				assert.NotContains(b, e.String(), "changed")
				assert.NotEqual(b, "changed", requireAttemptError(b, e.Err).Masters[0].Master)
			}
		}
	})
}

// TestAcquiredIsToldBeforeLost has locks that are lost right after their acquisition.
func TestAcquiredIsToldBeforeLost(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		for range 50 {
			_, err := b.TryAcquire(b.Context(), name, ttl, quorum.MaxHold(time.Millisecond))
			require.NoError(b, err)
			time.Sleep(time.Second)
		}
		acquired := 0
		for _, e := range r.take() {
			switch e.(type) {
			case quorum.AcquiredEvent:
				acquired++
			case quorum.LostEvent:
				acquired--
			}
			assert.GreaterOrEqual(b, acquired, 0)
		}
		assert.Zero(b, acquired)
	})
}
