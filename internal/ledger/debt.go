package ledger

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Debt is a release of one lock that one master may be owed. L identifies a lock.
//
// A caller makes one with the exported fields for the first try. For further tries it passes on
// what Take returned.
type Debt[L comparable] struct {
	Lock L
	// Token is the lock's token. It decides which of several debts comes first that are due at the
	// same time, so that a simulation can be replayed.
	Token string
	// Heir tells to whom the release hands the lock on. The ledger only hands it on itself.
	Heir string

	due     clock.Instant // not before
	expires clock.Instant // the key is gone by then; 0 until it is known
	doubt   time.Duration // the last pause after a release that may have come too early; 0 if none
	entered bool          // it is, or was, in the ledger
	hasKey  bool          // the master may store the token, other than in its queue
}

// Expires returns when the master has forgotten the token by itself: it is useless to try after
// that. It is meant for debts that Take returned.
func (d Debt[L]) Expires() clock.Instant { return d.expires }

// Answer is what became of one try to release a lock.
type Answer struct {
	// Gone: the master answered that it does not store the token.
	Gone bool
	// Sent: the release was sent, whatever became of it.
	Sent bool
	// Final: the release was not sent and never will be, because another one of the same lock was,
	// or because everything is being closed.
	Final bool
	// InDoubt: an earlier request that stores the token may still reach the master.
	InDoubt bool
	// MayStand: the master may store the token, or have it in its queue, as far as is known.
	MayStand bool
	// MayHaveKey is MayStand without the queue.
	MayHaveKey bool
	// Life is how long the master can keep the token from now on.
	Life time.Duration
}

// isDoubtful reports whether a release that found nothing may have come too early.
//
// Where an earlier request may still be under way, it proves nothing to have found the token
// either. A client may have sent that request twice, and the second try stored the token while the
// first is yet to come. So doubt ends with time, and never with an answer.
func (a Answer) isDoubtful() bool { return a.Gone && a.Sent && a.InDoubt } //mutant:doubtful-release

// Settled reports whether nothing is owed, and nothing was: as after nearly every first try. Then
// the token is gone, and the answer need not go to the ledger.
func (d Debt[L]) Settled(a Answer) bool {
	stands := !a.Gone && a.MayStand
	return !d.entered && !a.isDoubtful() && !stands
}

// Ended says that the care for a lock on this master has ended. Each first try that was not Settled
// leads to one, at once or later.
type Ended[L comparable] struct {
	Lock L
	// Gone: the master does not store the token any more.
	Gone bool
}
