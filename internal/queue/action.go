package queue

import (
	"fmt"

	"github.com/quorumlock/redlock/clock"
)

// Action is what a waiter does next.
type Action uint8

// The actions. Confirm and GiveBack use up the entry's token, so the waiter needs another entry
// after them. Attempt uses a token of its own, and the entry stays.
const (
	// Stay does nothing yet, besides asking masters.
	Stay Action = iota
	// Confirm acquires the lock with the entry's token, which a quorum granted or nobody keeps
	// from it.
	Confirm
	// GiveBack releases what too few masters granted, to waiters with lower tickets.
	GiveBack
	// Attempt tries to acquire the lock as if there were no queue.
	Attempt

	actions
)

// String returns the action's name in lower case.
func (a Action) String() string {
	names := [actions]string{"stay", "confirm", "give back", "attempt"}
	if a < actions {
		return names[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Retry says when a waiter may try again what failed before. It belongs to the waiter and not to
// an Entry, because a waiter's next entry has to observe it too.
type Retry struct {
	// Confirm is the earliest time to confirm a lock that no quorum has granted.
	Confirm clock.Instant
	// Attempt is the earliest time of the next plain attempt.
	Attempt clock.Instant
}
