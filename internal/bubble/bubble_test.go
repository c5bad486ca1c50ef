package bubble_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/bubble"
	"github.com/quorumlock/redlock/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestInside(t *testing.T) {
	assert.False(t, bubble.Inside())
	synctest.Test(t, func(t *testing.T) {
		assert.True(t, bubble.Inside())
		other := make(chan bool)
		go func() { other <- bubble.Inside() }()
		assert.True(t, <-other, "in another goroutine")
		time.Sleep(10 * 365 * 24 * time.Hour)
		assert.True(t, bubble.Inside(), "ten years later")
	})
	assert.False(t, bubble.Inside())
}

// A wall clock that is set between two readings looks like a bubble's, but only once.
func TestSetClockIsNoBubble(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, 25 * time.Hour, -50 * 365 * 24 * time.Hour} {
		readings := 0
		assert.False(t, bubble.InsideBy(func() (time.Time, bool) {
			readings++
			if readings == 1 {
				return time.Now().Add(by), true
			}
			return time.Now(), true
		}))
	}
	assert.False(t, bubble.InsideBy(func() (time.Time, bool) { return time.Time{}, false }), "no clock")
	assert.True(t, bubble.InsideBy(func() (time.Time, bool) { return time.Now().Add(25 * time.Hour), true }))
}

func BenchmarkInside(b *testing.B) {
	for b.Loop() {
		bubble.Inside()
	}
}
