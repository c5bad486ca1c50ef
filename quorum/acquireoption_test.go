package quorum_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// acquisitions are all ways to acquire a lock that take options. Each releases it again.
func (b *testbed) acquisitions() map[string]func(context.Context, time.Duration, ...quorum.AcquireOption) error {
	release := func(l *quorum.Lock, err error) error {
		if err == nil {
			err = l.Release(b.Context())
		}
		return err
	}
	releaseAll := func(l *quorum.Locks, err error) error {
		if err == nil {
			err = l.Release(b.Context())
		}
		return err
	}
	return map[string]func(context.Context, time.Duration, ...quorum.AcquireOption) error{
		"TryAcquire": func(ctx context.Context, ttl time.Duration, opts ...quorum.AcquireOption) error {
			return release(b.TryAcquire(ctx, name, ttl, opts...))
		},
		"Acquire": func(ctx context.Context, ttl time.Duration, opts ...quorum.AcquireOption) error {
			return release(b.Acquire(ctx, name, ttl, opts...))
		},
		"TryAcquireAll": func(ctx context.Context, ttl time.Duration, opts ...quorum.AcquireOption) error {
			return releaseAll(b.TryAcquireAll(ctx, []string{name}, ttl, opts...))
		},
		"AcquireAll": func(ctx context.Context, ttl time.Duration, opts ...quorum.AcquireOption) error {
			return releaseAll(b.AcquireAll(ctx, []string{name}, ttl, opts...))
		},
		"Do": func(ctx context.Context, ttl time.Duration, opts ...quorum.AcquireOption) error {
			return b.Do(ctx, name, ttl, func(context.Context, *quorum.Lock) error { return nil }, opts...)
		},
	}
}

func TestNoWaitReturnsAtOnce(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		for how, acquire := range b.acquisitions() {
			var err error
			assert.Zero(b, took(func() { err = acquire(b.Context(), ttl, quorum.NoWait()) }), how)
			assertReason(b, err, quorum.ErrTaken)
			assert.ErrorIs(b, err, quorum.ErrNotAcquired)
			err = acquire(b.Context(), ttl, quorum.WaitAtMost(0))
			assertReason(b, err, quorum.ErrTaken)
		}
		for _, m := range b.Masters() {
			m.Del(name)
		}
		for how, acquire := range b.acquisitions() {
			assert.NoError(b, acquire(b.Context(), ttl, quorum.NoWait()), how)
		}
	})
}

// TestWaitAtMostBoundsTheWait also checks that the error does not look like the end of the caller's
// context, which has not ended.
func TestWaitAtMostBoundsTheWait(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		for _, how := range []string{"Acquire", "AcquireAll", "Do"} {
			var err error
			acquire := b.acquisitions()[how]
			assert.Equal(b, 5*time.Second, took(func() { err = acquire(b.Context(), ttl, quorum.WaitAtMost(5*time.Second)) }))
			assertReason(b, err, quorum.ErrTaken)
			assert.ErrorIs(b, err, quorum.ErrNotAcquired)
			assert.ErrorIs(b, err, quorum.ErrWaitExceeded)
			assert.NotErrorIs(b, err, context.DeadlineExceeded)
			assert.NotErrorIs(b, err, context.Canceled)
			assert.ErrorContains(b, err, `quorum: acquire "nightly-mail": taken by another: waited for 5s`)
		}
	})
}

// TestWaitAtMostLeavesCallersContext ends the caller's context while it waits.
func TestWaitAtMostLeavesCallersContext(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := b.Acquire(ctx, name, ttl, quorum.WaitAtMost(time.Minute))
		assertReason(b, err, quorum.ErrTaken)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
	})
}

// TestWaitAtMostDoesNotBoundTheHold holds the lock for much longer than the bound on the wait.
func TestWaitAtMostDoesNotBoundTheHold(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupyFor(2, 3*time.Second)
		err := b.Do(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			time.Sleep(time.Minute)
			assert.NoError(b, ctx.Err())
			assert.Positive(b, l.Validity())
			return nil
		}, quorum.WaitAtMost(5*time.Second))
		assert.NoError(b, err)
	})
}

// TestWaitAtMostBoundsTheLocalWait waits for another caller of the same Manager.
func TestWaitAtMostBoundsTheLocalWait(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = b.Acquire(ctx, name, ttl)
		}()
		synctest.Wait()
		var err error
		assert.Equal(b, 2*time.Second, took(func() { _, err = b.Acquire(b.Context(), name, ttl, quorum.WaitAtMost(2*time.Second)) }))
		assertReason(b, err, quorum.ErrTaken)
		assert.NotErrorIs(b, err, context.DeadlineExceeded)
		cancel()
		<-done
	})
}

func TestMaxHoldEndsExtendedLock(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.MaxHold(15*time.Second))
		require.NoError(b, err)
		time.Sleep(5 * time.Second)
		require.NoError(b, l.Extend(b.Context(), time.Minute))
		assert.Equal(b, 10*time.Second, l.Validity(), "no longer than the bound")
		time.Sleep(10 * time.Second)
		assert.ErrorIs(b, l.Err(), quorum.ErrHoldLimit)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
	})
}

// TestContradictoryOptionsAreErrors checks that nothing is coerced and nothing is sent.
func TestContradictoryOptionsAreErrors(t *testing.T) {
	both := []string{"Acquire", "Do", "TryAcquire", "AcquireAll", "TryAcquireAll"}
	for what, tt := range map[string]struct {
		opts []quorum.AcquireOption
		how  []string
		want string
	}{
		"negative wait":      {[]quorum.AcquireOption{quorum.WaitAtMost(-1)}, both, "WaitAtMost -1ns is negative"},
		"wait, no wait":      {[]quorum.AcquireOption{quorum.WaitAtMost(1), quorum.NoWait()}, []string{"Acquire", "Do"}, "NoWait contradicts WaitAtMost 1ns"},
		"negative maximum":   {[]quorum.AcquireOption{quorum.MaxHold(-1)}, both, "MaxHold -1ns is negative"},
		"negative minimum":   {[]quorum.AcquireOption{quorum.MinHold(-1)}, both, "MinHold -1ns is negative"},
		"two maxima":         {[]quorum.AcquireOption{quorum.AutoRenew(time.Hour), quorum.MaxHold(time.Minute)}, both, "MaxHold 1m0s contradicts another bound of 1h0m0s"},
		"minimum of maximum": {[]quorum.AcquireOption{quorum.MaxHold(time.Second), quorum.MinHold(2 * time.Second)}, both, "MinHold 2s is over the bound of 1s on the hold"},
		"minimum over TTL":   {[]quorum.AcquireOption{quorum.MinHold(ttl + 1)}, []string{"TryAcquire", "Acquire"}, "MinHold 10.001s is over the TTL 10s, and the lock is not renewed"},
		"try waits":          {[]quorum.AcquireOption{quorum.WaitAtMost(time.Second)}, []string{"TryAcquire"}, "TryAcquire does not wait, so WaitAtMost 1s makes no sense"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				for _, how := range tt.how {
					err := b.acquisitions()[how](b.Context(), ttl, tt.opts...)
					assert.EqualError(b, err, `quorum: acquire "nightly-mail": `+tt.want)
					assert.ErrorIs(b, err, quorum.ErrNotAcquired)
				}
				b.assertNoCommands()
			})
		})
	}
}

// TestEveryFailureToAcquireIsErrNotAcquired also counts calls that are wrong, or too late.
func TestEveryFailureToAcquireIsErrNotAcquired(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		try := func(want error) {
			b.Helper()
			for how, acquire := range b.acquisitions() {
				ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
				err := acquire(ctx, ttl)
				cancel()
				assert.ErrorIs(b, err, quorum.ErrNotAcquired, how)
				assert.ErrorIs(b, err, want, how)
			}
			_, err := b.Once(b.Context(), name, ttl, func(context.Context) error { return errors.New("ran") })
			if err != nil { // nil if another has the period
				assert.ErrorIs(b, err, quorum.ErrNotAcquired)
				assert.ErrorIs(b, err, want)
			}
		}
		b.occupy(2)
		try(quorum.ErrTaken)
		b.hang(2)
		try(quorum.ErrNoQuorum)
		b.resume()
		require.NoError(b, b.Manager.Close())
		try(quorum.ErrClosed)
		_, err := b.TryAcquire(b.Context(), "", ttl)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		_, err = b.TryAcquire(b.Context(), name, 0)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		assert.ErrorIs(b, b.Do(b.Context(), name, ttl, nil), quorum.ErrNotAcquired)
	})
}

// TestErrorAfterFnRanIsNotErrNotAcquired lets a caller retry without running fn twice.
func TestErrorAfterFnRanIsNotErrNotAcquired(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		err := b.Do(b.Context(), name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
			b.hang(2)
			<-ctx.Done()
			return errJob
		})
		assert.ErrorIs(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, errJob)
		assert.NotErrorIs(b, err, quorum.ErrNotAcquired)
		b.resume()
	})
}
