// Package fakeclock has a clock that stands still, for tests.
package fakeclock

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Clock is a clock.Clock that moves when it is told to. Its zero value is ready for use.
type Clock struct {
	mu  sync.Mutex // guards now
	now clock.Instant
}

// Now returns the instant that the calls of Advance add up to.
func (c *Clock) Now() clock.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on by d. It panics if d is negative: a monotonic clock never goes back,
// and a test that needs it to tests nothing real.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("fakeclock: negative duration")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
