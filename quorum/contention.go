package quorum

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// contention remembers which locks somebody waited for recently. A plain attempt at one of them is
// likely to fail, so a caller of Acquire joins the queues at once. It is a guess. A wrong guess
// costs a round trip.
//
// The locks are in two maps: those marked since turned, and those marked before. A whole map is
// dropped when it is too old. So nobody has to look for single locks to forget, however many there
// are.
type contention struct {
	mu             sync.Mutex               // guards all below
	recent, before map[string]clock.Instant // by key: how long the guess holds
	turned         clock.Instant            // when recent was made
}

const (
	// contendedFor is how long a lock counts as contended after a waiter was seen.
	contendedFor = time.Second
	// maxContended is how many locks each map remembers.
	maxContended = 1024
)

// mark records that somebody waits for a lock.
func (c *contention) mark(key string, now clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent == nil || now.Sub(c.turned) >= contendedFor {
		c.recent, c.before, c.turned = map[string]clock.Instant{}, c.recent, now
	}
	if _, ok := c.recent[key]; ok || len(c.recent) < maxContended { //mutant:contended-bound
		c.recent[key] = now.Add(contendedFor)
	}
}

// contended reports whether somebody waited for a lock recently.
func (c *contention) contended(key string, now clock.Instant) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now < max(c.recent[key], c.before[key])
}
