package queue

import (
	"fmt"

	"github.com/quorumlock/redlock/clock"
)

// Action is what a waiter does next.
type Action uint8

// The actions. Confirm, Hold and GiveBack use up the entry's token, so the waiter needs a new entry
// afterwards. Attempt uses a token of its own, so the entry stays in use.
const (
	// Stay keeps waiting, and polls masters.
	Stay Action = iota
	// Confirm acquires the lock with the entry's token. A quorum has granted the lock to the entry,
	// or its key is vacant.
	Confirm
	// GiveBack releases grants to waiters with lower tickets, because too few masters granted the
	// lock.
	GiveBack
	// Attempt tries to acquire the lock as if there were no queue.
	Attempt
	// Hold takes the lock, which a quorum has granted to the entry, without asking again; see
	// Entry.Window.
	Hold

	actions
)

// String returns the action's name in lower case.
func (a Action) String() string {
	names := [actions]string{"stay", "confirm", "give back", "attempt", "hold"}
	if a < actions {
		return names[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Retry says when a waiter may retry actions that failed. It belongs to the waiter rather than to
// an Entry, because the waiter's next entry must observe it too.
type Retry struct {
	// Confirm is the earliest time to confirm a lock that no quorum has granted.
	Confirm clock.Instant
	// Attempt is the earliest time for the next plain attempt.
	Attempt clock.Instant
}
