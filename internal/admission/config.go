package admission

import (
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

const (
	// minWindow is the shortest window of validity that is worth having.
	minWindow = 50 * time.Millisecond

	// shortestPeriod is how often a waiter asks a master if nobody waits before it. The more do,
	// the less often it asks, up to longestPeriod: a crowd must not overload the masters.
	shortestPeriod = time.Second
	longestPeriod  = 4 * time.Second

	// shortestLease and longestLease are how long a master keeps a waiter's entry. Two polls in a
	// row may get lost. If the waiter is dead, those behind it wait until its lease ends.
	shortestLease = 7 * shortestPeriod / 2
	longestLease  = 7 * longestPeriod / 2

	// firstRecheck and longestRecheck bound the pause before a master is asked again that will soon
	// have news. The pause doubles with each recheck.
	firstRecheck   = 8 * time.Millisecond
	longestRecheck = 128 * time.Millisecond
	maxRechecks    = 10
)

// Config holds the settings of an entry.
type Config struct {
	// System says how many masters there are, and which of them are a quorum.
	System vote.System
	// Permits is how many may hold the lock at once; 0 if each master decides by itself whether
	// there is room: for shared and exclusive locks.
	Permits int
	// Window returns the window of validity that a lease of the given length allows.
	Window func(lease time.Duration) time.Duration
	// TTL is for how long masters are asked to keep the entry if there is room. It is also the
	// longest lease, and so is Guard; 0 for no guard.
	TTL, Guard time.Duration
	// Patience is how long the entry stays where it stands while that is no quorum.
	Patience time.Duration
	// MinBackoff is the first pause before a master is asked again that has refused the entry.
	MinBackoff time.Duration
	// MaxBackoff bounds such pauses.
	MaxBackoff time.Duration
}

// bound keeps a lease within the restart guard, which does not cover what lasts longer, and within
// the TTL. Masters count whole milliseconds, and so must the waiter.
func (c *Config) bound(lease time.Duration) time.Duration {
	if c.Guard > 0 {
		lease = min(lease, c.Guard) //mutant:lease-guard
	}
	return max(min(lease, c.TTL).Truncate(time.Millisecond), time.Millisecond)
}
