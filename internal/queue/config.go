package queue

import (
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

const (
	// Lease is how long a master keeps a waiter's place in the queue that is not renewed. It is
	// three times the longest interval between renewals, so two in a row may get lost.
	Lease = 15 * time.Second

	// leastGrant and mostGrant bound how long a master grants a waiter the lock. A grant has to
	// outlast the confirmation. And everybody behind a dead waiter waits for it to expire.
	leastGrant = 500 * time.Millisecond
	mostGrant  = 2 * time.Second

	// shortestRenewal is how often the first in the queue renews its place, and so learns how
	// things stand. Those behind it do so less often, the more are before them: there is less to
	// learn, and a crowd of waiters must not keep the masters busy.
	shortestRenewal = 500 * time.Millisecond
	longestRenewal  = 5 * time.Second

	// patience is how long each waiter has to confirm a lock that nobody holds, before the next
	// one does.
	patience = time.Second

	// firstRecheck and longestRecheck bound how soon a master is asked again that is about to have
	// news. mostRechecks bounds the doublings in between; so many lead past longestRecheck.
	firstRecheck   = 8 * time.Millisecond
	longestRecheck = 100 * time.Millisecond
	mostRechecks   = 10
)

// Config holds what all waiters of one process have in common.
type Config struct {
	// System tells how many masters there are, and which of them are a quorum.
	System vote.System
	// AttemptTimeout is how long an attempt waits for the masters.
	AttemptTimeout time.Duration
	// MinBackoff and an eighth of Grant bound how often a master is asked that cannot tell the
	// waiter by message.
	MinBackoff time.Duration
}

// Grant returns for how long a master grants a waiter the lock, for it to confirm.
func (c Config) Grant() time.Duration {
	return min(max(c.AttemptTimeout, leastGrant), mostGrant) //mutant:grant-length
}

// grace is how long a waiter keeps grants that are too few. The masters that have yet to grant it
// the lock need a moment, and grants that lie unused hold everybody up.
func (c Config) grace() time.Duration { return c.Grant() / 8 }
