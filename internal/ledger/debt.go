package ledger

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Debt is a release of one lock that one master may be owed. L identifies the lock.
//
// For the first try, the caller makes a Debt from the exported fields. For later tries, it uses the
// Debt that Take returned.
type Debt[L comparable] struct {
	Lock L
	// Heir says to whom the release hands the lock on. The ledger only passes it on.
	Heir string

	due     clock.Instant // when to try again
	expires clock.Instant // when the key is gone at the latest; 0 if not known yet
	doubt   time.Duration // the last pause after a release in doubt; 0 if there was none
	entered bool          // it is, or was, in the ledger
	hasKey  bool          // the master may store the token as its key, not only in its queue
}

// Expires returns when the master has forgotten the token by itself. Trying after that is useless.
// Only debts that Take returned have an expiry.
func (d Debt[L]) Expires() clock.Instant { return d.expires }

// Answer is the result of one try to release a lock.
type Answer struct {
	// Gone means that the master answered that it does not store the token.
	Gone bool
	// Sent means that the release was sent, whatever its result.
	Sent bool
	// Final means that the release was not sent and never will be, because another release of the
	// same lock replaces it.
	Final bool
	// Closed means that the release was not sent and never will be, because everything is closed.
	Closed bool
	// InDoubt means that an earlier request that stores the token may still reach the master.
	InDoubt bool
	// DoubtEnds is when no such request can be executed anymore; clock.Never if that is unknown.
	DoubtEnds clock.Instant
	// MayStand means that the master may store the token, as its key or in its queue.
	MayStand bool
	// MayHaveKey means that the master may store the token as its key.
	MayHaveKey bool
	// Life is how long the master may still keep the token.
	Life time.Duration
}

// isDoubtful reports whether the release found nothing but may have come too early.
//
// Finding the token would prove nothing either if an earlier request may still be in flight. The
// client may have sent that request twice: the second try stored the token, and the first has yet
// to arrive. So doubt ends with time, and never with an answer. Usually that is the request's
// deadline, which the master checks. Without one, see longestDoubt.
func (a Answer) isDoubtful() bool { return a.Gone && a.Sent && a.InDoubt } //mutant:doubtful-release

// Settled reports whether nothing is owed and nothing was. That is so after nearly every first try.
// The token is gone then, and the ledger does not need the answer.
func (d Debt[L]) Settled(a Answer) bool {
	stands := !a.Gone && a.MayStand
	return !d.entered && !a.isDoubtful() && !stands
}

// Ended says that the ledger is done with a lock. Each first try that was not Settled leads to one
// Ended, at once or later.
type Ended[L comparable] struct {
	Lock L
	// Gone means that the master no longer stores the token.
	Gone bool
	// LeftToExpire means that the master may store the token as its key, and will not be told to
	// release it.
	LeftToExpire bool
}
