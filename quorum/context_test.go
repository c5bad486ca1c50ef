package quorum_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
)

// The panic names the mistake, and comes before any argument is checked and before anything is
// sent.
func TestNilContextPanicsBeforeAnythingElse(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var none context.Context
		l := b.acquire()
		before := b.storedTokens()
		calls := map[string]func(m *quorum.Manager, name string){
			"TryAcquire": func(m *quorum.Manager, name string) { _, _ = m.TryAcquire(none, name, ttl) },
			"Acquire":    func(m *quorum.Manager, name string) { _, _ = m.Acquire(none, name, ttl) },
			"Do":         func(m *quorum.Manager, name string) { _ = m.Do(none, name, ttl, nil) },
			"Once":       func(m *quorum.Manager, name string) { _, _ = m.Once(none, name, ttl, nil) },
			"Inspect":    func(m *quorum.Manager, name string) { _, _ = m.Inspect(none, name) },
			"Break":      func(m *quorum.Manager, name string) { _ = m.Break(none, name, "token") },
			"Resume":     func(m *quorum.Manager, name string) { _, _ = m.Resume(none, name, "token") },
			"Context":    func(*quorum.Manager, string) { _, _ = l.Context(none) },
			"Bootstrap":  func(m *quorum.Manager, _ string) { _ = m.Bootstrap(none) },
			"Extend":     func(*quorum.Manager, string) { _ = l.Extend(none, -1) },
			"Release":    func(*quorum.Manager, string) { _ = l.Release(none) },
		}
		for method, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, "") }, method)
		}
		assert.Equal(b, before, b.storedTokens())
		assert.Positive(b, l.Validity())
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Manager.Close(), "no call counts as under way")
		for method, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, name) }, "%s after Close", method)
		}
	})
}

func TestContextEndsWithTheLock(t *testing.T) {
	for how, tt := range map[string]struct {
		end   func(b *testbed, l *quorum.Lock)
		cause error
	}{
		"released": {func(b *testbed, l *quorum.Lock) { require.NoError(b, l.Release(b.Context())) }, quorum.ErrReleased},
		"expired":  {func(*testbed, *quorum.Lock) { time.Sleep(window) }, quorum.ErrExpired},
		"denied": {func(b *testbed, l *quorum.Lock) {
			b.occupy(2)
			assert.Error(b, l.Extend(b.Context(), ttl))
		}, quorum.ErrDenied},
		"closed": {func(b *testbed, _ *quorum.Lock) { require.NoError(b, b.Manager.Close()) }, quorum.ErrClosed},
		"detached": {func(b *testbed, l *quorum.Lock) {
			_, err := l.Detach(b.Context(), ttl)
			require.NoError(b, err)
		}, quorum.ErrDetached},
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				l := b.acquire()
				assert.NoError(b, l.Err())
				type key struct{}
				first, cancel := l.Context(context.WithValue(b.Context(), key{}, "value"))
				defer cancel()
				second, cancel2 := l.Context(b.Context())
				defer cancel2()
				assert.Equal(b, "value", first.Value(key{}))
				assert.NoError(b, first.Err())
				tt.end(b, l)
				for _, ctx := range []context.Context{first, second} {
					<-ctx.Done()
					assert.ErrorIs(b, ctx.Err(), context.Canceled)
					assert.ErrorIs(b, context.Cause(ctx), tt.cause)
				}
				assert.ErrorIs(b, l.Err(), tt.cause)
				assert.ErrorIs(b, l.Err(), quorum.ErrLost)
				late, cancel3 := l.Context(b.Context())
				defer cancel3()
				<-late.Done()
				assert.ErrorIs(b, context.Cause(late), tt.cause)
			})
		})
	}
}

// TestContextIsForgottenWhenCanceled makes many contexts of one lock that is held for long.
func TestContextIsForgottenWhenCanceled(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		kept, cancelKept := l.Context(b.Context())
		defer cancelKept()
		for range 100 {
			ctx, cancel := l.Context(b.Context())
			cancel()
			assert.ErrorIs(b, ctx.Err(), context.Canceled)
			assert.ErrorIs(b, context.Cause(ctx), context.Canceled)
		}
		assert.Equal(b, 1, quorum.Contexts(l))
		assert.NoError(b, kept.Err())
		assert.Positive(b, l.Validity(), "a canceled context does not end the lock")
	})
}

// TestContextEndsWithItsParent keeps the parent's cause, and the lock.
func TestContextEndsWithItsParent(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		parent, cancelParent := context.WithCancelCause(b.Context())
		ctx, cancel := l.Context(parent)
		defer cancel()
		cancelParent(errJob)
		<-ctx.Done()
		assert.ErrorIs(b, context.Cause(ctx), errJob)
		assert.NoError(b, l.Err())
	})
}

// TestContextOfSleepingMachineIsCorrectAtOnce advances the clock while Go's timers stand still.
func TestContextOfSleepingMachineIsCorrectAtOnce(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		l := b.acquire()
		ctx, cancel := l.Context(b.Context())
		defer cancel()
		fake.Advance(ttl)
		assert.ErrorIs(b, context.Cause(ctx), quorum.ErrExpired)
		assert.ErrorIs(b, l.Err(), quorum.ErrExpired)
	})
}
