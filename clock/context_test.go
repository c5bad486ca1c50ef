package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/clock"
)

// Every context ends on time, no matter which contexts are made after it.
func TestTimeoutsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = time.Second
		var timeouts clock.Timeouts
		ended := 0
		ends := make(chan struct{})
		for range 1000 {
			deadline := time.Now().Add(d)
			ctx := timeouts.Context(t.Context(), d)
			got, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, deadline, got, "the deadline is exact")
			go func() {
				<-ctx.Done()
				assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
				assert.GreaterOrEqual(t, time.Since(deadline), time.Duration(0), "it does not end before its deadline")
				assert.LessOrEqual(t, time.Since(deadline), d/8)
				ends <- struct{}{}
			}()
			time.Sleep(d / 100)
		}
		for ; ended < 1000; ended++ {
			<-ends
		}
	})
}

func TestTimeoutsEndWithTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timeouts clock.Timeouts
		_ = timeouts.Context(t.Context(), time.Second) // has another parent
		parent, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		ctx := timeouts.Context(parent, time.Second)
		deadline, _ := ctx.Deadline()
		assert.Equal(t, time.Now().Add(time.Millisecond), deadline, "the parent's deadline is earlier")
		cancel()
		assert.ErrorIs(t, ctx.Err(), context.Canceled)
		assert.Error(t, timeouts.Context(parent, time.Second).Err(), "the parent has ended already")
		assert.NoError(t, timeouts.Context(t.Context(), time.Second).Err())
	})
}

// A context ends on time even if the context made before it had a longer or shorter timeout.
func TestTimeoutsOfDifferentLengthsEndOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timeouts clock.Timeouts
		for _, d := range []time.Duration{time.Hour, time.Second, time.Minute} {
			start, ctx := time.Now(), timeouts.Context(t.Context(), d)
			<-ctx.Done()
			assert.GreaterOrEqual(t, time.Since(start), d)
			assert.LessOrEqual(t, time.Since(start), d+d/8)
		}
	})
}

func BenchmarkTimeouts(b *testing.B) {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.Run("Timeouts", func(b *testing.B) {
		b.ReportAllocs()
		var timeouts clock.Timeouts
		for b.Loop() {
			<-checkDone(timeouts.Context(parent, time.Second))
		}
	})
	b.Run("baseline=WithTimeout", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(parent, time.Second)
			<-checkDone(ctx)
			cancel()
		}
	})
}

// checkDone checks a context as clients do before they send anything. It returns a closed channel.
func checkDone(ctx context.Context) <-chan struct{} {
	select {
	case <-ctx.Done():
	default:
	}
	return closed
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
