package queue

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
)

const (
	// Lease is how long a master keeps a waiter's place in the queue without a renewal. Polls renew
	// it. It is three times the longest interval between polls, which is five quarters of
	// longestPeriod, so two polls in a row may get lost.
	Lease = 15 * time.Second

	// minWindow is the shortest window of validity that is worth having without a confirmation.
	minWindow = 50 * time.Millisecond

	// minGrant and maxGrant bound how long a master grants the lock to a waiter. A grant must
	// outlast the confirmation. But if the waiter is dead, everyone behind it waits until the grant
	// expires.
	minGrant = 500 * time.Millisecond
	maxGrant = 2 * time.Second

	// shortestPeriod is how often the first waiter in the queue polls a master at first. It renews
	// its place that way, and learns the lock's state. The more waiters are ahead of a waiter, the
	// less often it polls: it has less to learn, and a crowd of waiters must not overload the
	// masters. As long as a master says nothing new, the period doubles up to longestPeriod.
	// Polling finds what messages should have said. So if all messages are lost, the lock is idle
	// for about as long as the waiter has waited already, and for five quarters of longestPeriod at
	// most; see Entry.slot. With several masters it is less.
	shortestPeriod = 500 * time.Millisecond
	longestPeriod  = 4 * time.Second
	// maxQuiet bounds the doublings.
	maxQuiet = 3

	// slots is how many instants a period has at which masters are polled.
	slots = 20

	// turnLength is how long each waiter has to confirm a vacant lock before the next one does.
	turnLength = time.Second

	// firstRecheck and longestRecheck bound the pause before a master is polled again that will
	// soon have news. The pause doubles with each recheck. maxRechecks bounds the doublings; that
	// many exceed longestRecheck.
	firstRecheck   = 8 * time.Millisecond
	longestRecheck = 100 * time.Millisecond
	maxRechecks    = 10
)

// Config holds the settings shared by all waiters of a process.
type Config struct {
	// System says how many masters there are, and which of them are a quorum.
	System vote.System
	// AttemptTimeout is how long an attempt waits for the masters.
	AttemptTimeout time.Duration
	// Drift bounds how much a master's clock gains on the waiter's.
	Drift clock.Drift
	// Fencing says that a holder needs a fence.
	Fencing bool
	// MinBackoff is the first backoff between polls of a master whose messages cannot reach the
	// waiter. The backoff grows to an eighth of Grant, or stays at MinBackoff if that is longer.
	MinBackoff time.Duration
}

// Grant returns how long a master grants the lock to a waiter, which must extend or confirm it by
// then. A grant is no longer than the TTL that the waiter asks for, nor than the restart guard,
// which does not cover what lasts longer. guard is 0 for none. Masters count whole milliseconds,
// and so must the waiter.
func (c Config) Grant(ttl, guard time.Duration) time.Duration {
	grant := min(max(c.AttemptTimeout, minGrant), ttl, maxGrant) //mutant:grant-length
	if guard > 0 {
		grant = min(grant, guard) //mutant:grant-guard
	}
	return max(grant.Truncate(time.Millisecond), time.Millisecond) //mutant:grant-whole
}
