package quorum

import "github.com/quorumlock/redlock/clock"

// Contention lets tests use a contention.
type Contention struct{ contention }

// Mark records that somebody waits for a lock.
func (c *Contention) Mark(key string, now clock.Instant) { c.mark(key, now) }

// Contended reports whether somebody waited for a lock recently.
func (c *Contention) Contended(key string, now clock.Instant) bool { return c.contended(key, now) }

// Remembered returns how many locks are remembered.
func (c *Contention) Remembered() int { return len(c.recent) + len(c.before) }
