package vote

import "fmt"

// Op is the kind of a request. Each kind has its own rule for which answers count as votes; see
// Tally.Verdict.
type Op uint8

// The kinds of requests.
const (
	// Acquire asks for the key: plainly, or as a waiter that confirms its grants.
	Acquire Op = iota
	// Extend asks a master to keep the key for the token that has it.
	Extend
	// Repair is Extend, and also gives a vacant key to the token.
	Repair
	// Release gives the key and the place in the queue up.
	Release
	// Wait keeps a waiter's place in the queue and reports.
	Wait
	// Inspect reports.
	Inspect
	// Bootstrap declares a new master empty.
	Bootstrap

	ops
)

// String returns the kind's name in lower case.
func (o Op) String() string {
	names := [ops]string{"acquire", "extend", "repair", "release", "wait", "inspect", "bootstrap"}
	if o < ops {
		return names[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}
