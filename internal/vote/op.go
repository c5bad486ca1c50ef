package vote

import "fmt"

// Op is the kind of a request. Each kind has its own rule for what counts as a vote; see
// Tally.Verdict.
type Op uint8

// The kinds of requests.
const (
	// Acquire takes the key if it is vacant, or confirms a waiter's grant.
	Acquire Op = iota
	// Extend extends the key if it stores the token.
	Extend
	// Repair is like Extend, but also takes a vacant key.
	Repair
	// Release gives up the key and the place in the queue.
	Release
	// Wait renews a waiter's place in the queue and reports the lock's state.
	Wait
	// Inspect reports the lock's state.
	Inspect
	// Bootstrap declares a new master empty.
	Bootstrap
	// Break releases another client's token, and bars it from the key.
	Break
	// Members reads or replaces the record of the set that the master belongs to.
	Members

	ops
)

// String returns the kind's name in lower case.
func (o Op) String() string {
	names := [ops]string{"acquire", "extend", "repair", "release", "wait", "inspect", "bootstrap", "break", "members"}
	if o < ops {
		return names[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}
