package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/clock"
)

// TestTimeoutsEnd: somebody may wait for the end of any of them, whatever comes
// after it.
func TestTimeoutsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = time.Second
		var timeouts clock.Timeouts
		ended := 0
		ends := make(chan struct{})
		for range 1000 {
			deadline := time.Now().Add(d)
			ctx := timeouts.Context(t.Context(), d)
			told, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, deadline, told, "exact")
			go func() {
				<-ctx.Done()
				assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
				assert.GreaterOrEqual(t, time.Since(deadline), time.Duration(0), "not before its deadline")
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

func TestTimeoutsHeedTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timeouts clock.Timeouts
		_ = timeouts.Context(t.Context(), time.Second) // of another parent
		parent, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		ctx := timeouts.Context(parent, time.Second)
		deadline, _ := ctx.Deadline()
		assert.Equal(t, time.Now().Add(time.Millisecond), deadline, "the parent's is earlier")
		cancel()
		assert.ErrorIs(t, ctx.Err(), context.Canceled)
		assert.Error(t, timeouts.Context(parent, time.Second).Err(), "it has ended already")
		assert.NoError(t, timeouts.Context(t.Context(), time.Second).Err())
	})
}

// TestTimeoutsOfDifferentLengths: a long one before it does not make a short one long,
// and the other way round.
func TestTimeoutsOfDifferentLengths(t *testing.T) {
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
			<-started(timeouts.Context(parent, time.Second))
		}
	})
	b.Run("baseline=WithTimeout", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(parent, time.Second)
			<-started(ctx)
			cancel()
		}
	})
}

// started looks at a context as a client does before it sends anything.
func started(ctx context.Context) <-chan struct{} {
	select {
	case <-ctx.Done():
	default:
	}
	return closed
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
