// Package ledger tracks the releases that one master is owed, and when to try each of them again.
//
// A master is owed a release that could not be delivered. It is also owed a release that found
// nothing, if an earlier request that stores the token may still be in flight. The release is tried
// again until the key would have expired by itself. Then nothing is left to do:
//
//	              Settle                       Take
//	a release ------------> owed until due ----------> being tried
//	    |                     |        ^                 |     |
//	    | delivered           |        | Settle: failed  |     | Settle: delivered
//	    |                     |        +-- or in doubt --+     |
//	    v                     v                                v
//	  Ended       Ended: too many are owed,                  Ended
//	              or the key has expired
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Time is an argument, and the
// same calls always lead to the same decisions. Callers must serialize all calls on a Ledger.
package ledger
