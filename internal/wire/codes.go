package wire

import (
	"strconv"
	"strings"
)

// The codes in the results of operations. The script uses the same names; see codes.
const (
	codeHeld        = 1  // HELD: the token has the key, or had it when a release arrived
	codeStored      = 3  // STORED: like HELD, and the proposed fence was stored
	codeHandedOn    = 2  // HANDED_ON: the token had the key when a release arrived, and a waiter has it now
	codeAbsent      = 0  // ABSENT: nobody has the key
	codeTaken       = -1 // TAKEN: the key stores something else
	codeQuarantined = -2 // QUARANTINED: the restart guard lets the master grant nothing yet
	codeExpired     = -3 // EXPIRED: the operation came after its deadline, and changed nothing
	codeFailed      = -4 // FAILED: an error; its text follows
	codeBlocked     = -5 // BLOCKED: the entry stands, but others before it leave no room
	codeOvertaken   = -6 // OVERTAKEN: others that exclude this entry got room first, or the entry does not count yet
	codeConflict    = -7 // CONFLICT: the name is in use with another kind of lock
	codeForeign     = -8 // FOREIGN: the client does not accept this master's record of the set that it belongs to
)

// codes replaces the names of the codes in the script, and those of other constants. As variables
// of the script, they would cost each call of it more than an operation.
var codes = strings.NewReplacer(
	"HELD", strconv.Itoa(codeHeld), "STORED", strconv.Itoa(codeStored), "HANDED_ON", strconv.Itoa(codeHandedOn),
	"ABSENT", strconv.Itoa(codeAbsent), "TAKEN", strconv.Itoa(codeTaken), "QUARANTINED", strconv.Itoa(codeQuarantined),
	"EXPIRED", strconv.Itoa(codeExpired), "FAILED", strconv.Itoa(codeFailed), "BLOCKED", strconv.Itoa(codeBlocked), "OVERTAKEN", strconv.Itoa(codeOvertaken),
	"CONFLICT", strconv.Itoa(codeConflict), "FOREIGN", strconv.Itoa(codeForeign), "ORDERED", "'"+Ordered+"'", "LONE", "'"+Ordered+" '", "AUX", "'"+AuxPrefix+"'", "MARKER", "'"+MarkerKey+"'",
	"RELEASED", "'"+Released+"'", "BROKEN", "'"+AuxPrefix+"broken'",
)

// noKey is PTTL's reply if there is no key.
const noKey = -2
