// Package fakeclock provides a clock for tests that moves only when told to.
package fakeclock

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Clock is a clock.Clock that moves only when Advance is called. Its zero value is ready to use.
type Clock struct {
	mu  sync.Mutex // guards now
	now clock.Instant
}

// Now returns the sum of the calls to Advance.
func (c *Clock) Now() clock.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward by d. It panics if d is negative: a monotonic clock never goes
// back, so a test that needs it to go back tests nothing real.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("fakeclock: negative duration")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
