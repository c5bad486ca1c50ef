package vote

import "fmt"

// Outcome is the result of a request on one master.
type Outcome uint8

// The outcomes of a request on one master.
const (
	// Unknown means that the master has not answered. It may or may not have executed the request.
	Unknown Outcome = iota
	// Held means that the master stores this lock's token.
	Held
	// Taken means that the master stores another token.
	Taken
	// Absent means that the master stores no token.
	Absent
	// Refused means that the master answered with an error and changed nothing.
	Refused
	// Unsent means that the request never left this process.
	Unsent
	// Expired means that the request reached the master after its deadline, and changed nothing.
	// If the client sent it more than once, an earlier try may have been executed in time.
	Expired
	// Blocked means that the master has admitted this lock's entry, but others before it leave no
	// room.
	Blocked
	// Overtaken means that the master has room for the entry, but with another fence than the
	// client asked for, because it had admitted others first. A lock that a master forgot is not
	// admitted again then. Or it was, but does not count yet.
	Overtaken

	outcomes
)

// Outcomes is the number of outcomes.
const Outcomes = outcomes

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	names := [outcomes]string{"unknown", "held", "taken", "absent", "refused", "unsent", "expired", "blocked", "overtaken"}
	if o < outcomes {
		return names[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}
