package quorum_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
)

var errJob = errors.New("job failed")

func TestDoKeepsLockWhileFnRuns(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		err := b.Do(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			for range 10 {
				time.Sleep(ttl)
				assert.NoError(b, ctx.Err())
				assert.Equal(b, 5, b.mastersStoring(l.Token()))
			}
			return errJob
		})
		assert.ErrorIs(b, err, errJob)
		assert.NotErrorIs(b, err, quorum.ErrLost)
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestConcurrentDoCallsRunOneAtATime(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		running, ran := 0, 0
		done := make(chan error)
		for range 10 {
			go func() {
				done <- b.Do(context.Background(), name, ttl, func(context.Context, *quorum.Lock) error {
					running++
					assert.Equal(b, 1, running)
					time.Sleep(50 * time.Millisecond)
					running--
					ran++
					return nil
				})
			}()
		}
		for range 10 {
			assert.NoError(b, <-done)
		}
		assert.Equal(b, 10, ran)
	})
}

// ending is a way to end the context that Do gives to fn.
type ending struct {
	end    func(b *testbed, cancel context.CancelCauseFunc)
	cause  error
	lost   bool          // the lock is lost, too
	within time.Duration // after end, the context ends within this time
}

// TestDoReportsWhyContextEnded checks the cause of fn's context and the error of Do.
func TestDoReportsWhyContextEnded(t *testing.T) {
	caller := errors.New("deploy")
	for how, tt := range map[string]ending{
		"expired":    {func(b *testbed, _ context.CancelCauseFunc) { b.hang(3) }, quorum.ErrExpired, true, window},
		"taken over": {func(b *testbed, _ context.CancelCauseFunc) { b.occupy(3) }, quorum.ErrDenied, true, ttl / 3},
		"forgotten": {func(b *testbed, _ context.CancelCauseFunc) {
			for _, m := range b.Masters()[:3] {
				m.FlushAll()
			}
		}, quorum.ErrDenied, true, ttl / 3},
		"manager closed":   {func(b *testbed, _ context.CancelCauseFunc) { go func() { _ = b.Manager.Close() }() }, quorum.ErrClosed, true, 0},
		"caller's context": {func(_ *testbed, cancel context.CancelCauseFunc) { cancel(caller) }, caller, false, 0},
	} {
		t.Run(how, func(t *testing.T) {
			for _, result := range []error{nil, errJob, context.Canceled} {
				bubble(t, 5, func(b *testbed) { doUntil(b, tt, result) })
			}
		})
	}
}

// doUntil calls Do with an fn that waits for the end of its context and returns result.
func doUntil(b *testbed, tt ending, result error) {
	ctx, cancel := context.WithCancelCause(b.Context())
	defer cancel(nil)
	err := b.Do(ctx, name, ttl, func(ctx context.Context, l *quorum.Lock) error {
		synctest.Wait()
		tt.end(b, cancel)
		start := time.Now()
		<-ctx.Done()
		assert.LessOrEqual(b, time.Since(start), tt.within)
		assert.ErrorIs(b, ctx.Err(), context.Canceled)
		assert.ErrorIs(b, context.Cause(ctx), tt.cause)
		assert.Equal(b, tt.lost, errors.Is(context.Cause(ctx), quorum.ErrLost))
		assert.Equal(b, tt.lost, l.Validity() <= 0)
		return result
	})
	switch isCanceled := errors.Is(result, context.Canceled); {
	case isCanceled && tt.lost: // callers commonly ignore that error, and would ignore the loss with it
		assert.NotErrorIs(b, err, result)
		assert.ErrorContains(b, err, "lock lost")
		assert.ErrorContains(b, err, "the function returned: context canceled")
	case result != nil:
		assert.ErrorIs(b, err, result)
	}
	assert.Equal(b, tt.lost, errors.Is(err, quorum.ErrLost), "%v", err)
	if tt.lost || result == context.Canceled { //nolint:errorlint // a table's value
		assert.ErrorIs(b, err, tt.cause)
	}
	for _, other := range []error{quorum.ErrExpired, quorum.ErrDenied, quorum.ErrClosed, quorum.ErrHoldLimit} {
		if !errors.Is(tt.cause, other) {
			assert.NotErrorIs(b, err, other)
		}
	}
	b.resume()
	time.Sleep(5 * time.Second)
	assert.Zero(b, len(b.storedTokens())-b.vacantMasters()-b.mastersStoring("another"), "masters still store the lock's token")
}

// TestDoReturnsErrLostThoughFnSucceeds has fn return nil after the lock was lost. The caller must
// learn that the work was not protected to its end.
func TestDoReturnsErrLostThoughFnSucceeds(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		err := b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			b.hang(2)
			time.Sleep(2 * ttl)
			b.resume()
			return nil
		})
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrExpired)
	})
}

// TestDoContextSeesExpiryBeforeTimersFire advances only the clock, as when a process was stopped.
// The context must know of the expiry before any timer fires.
func TestDoContextSeesExpiryBeforeTimersFire(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		for _, ask := range []func(context.Context) error{
			context.Context.Err,
			context.Cause,
			func(ctx context.Context) error {
				child, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				return context.Cause(child)
			},
		} {
			err := b.Do(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
				require.NoError(b, ask(ctx))
				fake.Advance(2 * ttl)
				assert.Error(b, ask(ctx))
				assert.ErrorIs(b, context.Cause(ctx), quorum.ErrExpired)
				assert.LessOrEqual(b, l.Validity(), time.Duration(0))
				return nil
			})
			assertReason(b, err, quorum.ErrLost)
		}
	})
}

func TestDoReleasesWhenFnPanics(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		assert.PanicsWithValue(b, "oh no", func() {
			_ = b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { panic("oh no") })
		})
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestDoReleasesAfterContextEnds(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		ctx, cancel := context.WithCancel(b.Context())
		err := b.Do(ctx, name, ttl, func(context.Context, *quorum.Lock) error {
			cancel()
			return nil
		})
		assert.NoError(b, err, "fn succeeded and the release was confirmed")
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
	})
}

func TestDoAllowsReleaseInFn(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.NoError(b, b.Do(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			err := l.Release(ctx)
			assert.Error(b, ctx.Err())
			return err
		}))
	})
}

func TestDoDoesNotRunFnWithoutLock(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		err := b.Do(ctx, name, ttl, func(context.Context, *quorum.Lock) error {
			assert.Fail(b, "fn ran without the lock")
			return nil
		})
		assertReason(b, err, quorum.ErrTaken)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		idle := func(context.Context, *quorum.Lock) error { return nil }
		assert.Error(b, b.Do(ctx, "", ttl, idle))
		assert.ErrorContains(b, b.Do(ctx, "other", ttl, nil), "the function to run is nil")
		_, err = b.Once(ctx, "other", ttl, nil)
		assert.ErrorContains(b, err, "the function to run is nil")
		_, stored := b.Master(0).Get("other")
		assert.False(b, stored, "a call without a function acquired the lock")
		require.NoError(b, b.Manager.Close())
		assertReason(b, b.Do(b.Context(), name, ttl, idle), quorum.ErrClosed)
	})
}

// TestCloseWaitsForDoToRelease calls Close while fn runs. Close ends fn's context, waits for fn to
// return, and then the lock is released.
func TestCloseWaitsForDoToRelease(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		started, done := make(chan bool), make(chan error)
		go func() {
			done <- b.Do(context.Background(), name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
				close(started)
				<-ctx.Done()
				time.Sleep(time.Second) // clean up
				return nil
			})
		}()
		<-started
		assert.Equal(b, time.Second, took(func() { require.NoError(b, b.Manager.Close()) }))
		err := <-done
		assert.ErrorIs(b, err, quorum.ErrClosed)
		assert.ErrorIs(b, err, quorum.ErrLost)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// TestDoEndsFnAtMaxHold checks that both fn and the caller of Do learn the reason.
func TestDoEndsFnAtMaxHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		start := time.Now()
		err := b.Do(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			<-ctx.Done()
			assert.Equal(b, 25*time.Second, time.Since(start))
			assert.ErrorIs(b, context.Cause(ctx), quorum.ErrHoldLimit)
			assert.LessOrEqual(b, l.Validity(), time.Duration(0))
			return nil
		}, quorum.MaxHold(25*time.Second))
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrHoldLimit)
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
	})
}
