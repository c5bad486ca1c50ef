// Package ledger keeps which releases one master is owed, and when to try each again.
//
// A release is owed if it could not be delivered, or if it found nothing while an earlier request
// may still be under way that stores the token. It is tried again until the key would have expired
// by itself. Then nobody has to care any more:
//
//	              Settle                       Take
//	a release ------------> owed until due ----------> being tried
//	    |                     |        ^                 |     |
//	    | delivered           |        |   Settle: no,   |     | Settle: delivered
//	    |                     |        +--- or perhaps --+     |
//	    v                     v                                v
//	  Ended      Ended: too many are owed,                   Ended
//	             or the key has expired
//
// Everything here is pure. There is no I/O, no goroutine, no lock and no clock: the time is an
// argument, and the same calls lead to the same decisions. The caller serializes all calls on a
// Ledger.
package ledger
