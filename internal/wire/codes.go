package wire

import "fmt"

// The codes in the results of operations. The script uses the same names; see codes.
const (
	codeHeld        = 1  // HELD: the token has the key, or had it when a release arrived
	codeHandedOn    = 2  // HANDED_ON: the token had the key when a release arrived, and a waiter has it now
	codeAbsent      = 0  // ABSENT: nobody has the key
	codeTaken       = -1 // TAKEN: the key stores something else
	codeQuarantined = -2 // QUARANTINED: the restart guard lets the master grant nothing yet
	codeExpired     = -3 // EXPIRED: the operation came after its deadline, and changed nothing
	codeFailed      = -4 // FAILED: an error; its text follows
)

// codes returns the Lua source that defines the names of the codes, and of the marker's key.
func codes() string {
	return fmt.Sprintf("local HELD, HANDED_ON, ABSENT, TAKEN, QUARANTINED, EXPIRED, FAILED = %d, %d, %d, %d, %d, %d, %d\n"+
		"local MARKER = '%s'",
		codeHeld, codeHandedOn, codeAbsent, codeTaken, codeQuarantined, codeExpired, codeFailed, MarkerKey)
}

// noKey is PTTL's reply if there is no key.
const noKey = -2
