package vote

import "fmt"

// Outcome is what happened to an operation on one master.
type Outcome uint8

// The outcomes of an operation on one master.
const (
	// Unknown: the master has not answered (yet). It may or may not have carried the operation
	// out.
	Unknown Outcome = iota
	// Held: the master stores this lock's token.
	Held
	// Taken: the master stores another token.
	Taken
	// Absent: the master stores no token.
	Absent
	// Refused: the master answered with an error and changed nothing.
	Refused
	// Unsent: the operation never left this process.
	Unsent

	outcomes
)

// Outcomes is the number of different outcomes.
const Outcomes = outcomes

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	names := [outcomes]string{"unknown", "held", "taken", "absent", "refused", "unsent"}
	if o < outcomes {
		return names[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}
