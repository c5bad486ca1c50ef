package quorum

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// contention remembers which locks somebody waited for recently. A plain attempt at one of them is
// likely to fail, so a caller of Acquire joins the queues at once. It is a guess. A wrong guess
// costs a round trip.
type contention struct {
	mu    sync.Mutex               // guards until
	until map[string]clock.Instant // by key: how long the guess holds
}

const (
	// contendedFor is how long a lock counts as contended after a waiter was seen.
	contendedFor = time.Second
	// maxContended is how many locks are remembered.
	maxContended = 1024
)

// mark records that somebody waits for a lock.
func (c *contention) mark(key string, now clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until = map[string]clock.Instant{}
	}
	if len(c.until) >= maxContended {
		for key, until := range c.until {
			if until <= now {
				delete(c.until, key)
			}
		}
	}
	if _, ok := c.until[key]; ok || len(c.until) < maxContended {
		c.until[key] = now.Add(contendedFor)
	}
}

// contended reports whether somebody waited for a lock recently.
func (c *contention) contended(key string, now clock.Instant) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[key]
	return ok && now < until
}
