package wire

import "fmt"

// The codes that the scripts return. The scripts use the same names; see codes.
const (
	codeHeld        = 1  // HELD: the token has the key, or had it when a release arrived
	codeHandedOn    = 2  // HANDED_ON: the token had the key when a release arrived, and a waiter has it now
	codeAbsent      = 0  // ABSENT: nobody has the key
	codeTaken       = -1 // TAKEN: the key stores something else
	codeQuarantined = -2 // QUARANTINED: the restart guard lets the master grant nothing yet
)

// codes is the Lua source that defines the names of the codes.
var codes = fmt.Sprintf("local HELD, HANDED_ON, ABSENT, TAKEN, QUARANTINED = %d, %d, %d, %d, %d",
	codeHeld, codeHandedOn, codeAbsent, codeTaken, codeQuarantined)

// noKey is PTTL's reply if there is no key.
const noKey = -2
