package wire

import "fmt"

// The codes that the scripts answer with. The scripts know them by the same names; see codes.
const (
	codeHeld        = 1  // HELD: the token has the key, or a release found it there
	codeHandedOn    = 2  // HANDED_ON: a release found it there, and a waiter has the key now
	codeAbsent      = 0  // ABSENT: nobody has the key
	codeTaken       = -1 // TAKEN: something else is stored there
	codeQuarantined = -2 // QUARANTINED: the restart guard lets the master grant nothing yet
)

// codes is the Lua source that gives the codes their names.
var codes = fmt.Sprintf("local HELD, HANDED_ON, ABSENT, TAKEN, QUARANTINED = %d, %d, %d, %d, %d",
	codeHeld, codeHandedOn, codeAbsent, codeTaken, codeQuarantined)

// noKey is what PTTL answers where there is no key.
const noKey = -2
