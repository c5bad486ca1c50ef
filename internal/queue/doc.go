// Package queue decides what a waiter does next. A waiter is a client that has queued up for a lock
// on the masters.
//
// Releasing a lock hands it on. In one atomic step, each master grants the lock to the waiter with
// the lowest ticket in its own queue, and sends that waiter a message. This is all it takes if the
// masters agree on who is first and the messages arrive:
//
//	holder           masters                     first waiter
//	   |                |<------ wait / report ------>|   every 0.5 s to 5 s
//	   |--- release --->|                             |
//	   |                |------ message: granted ---->|   Granted
//	   |                |                             |   Step: Hold, once a quorum granted it
//	   |                |<---------- extend ----------|   a little later
//
// The rest of the package handles failures:
//
//   - A message is lost, and nobody notices. The waiter polls each master every few seconds, one
//     after the other. If one of them has granted the lock or stores nobody's token anymore, the
//     waiter polls the others soon. So the lock is idle for 5 s at most.
//   - The waiter knows that messages cannot reach it. It polls several times within a grant.
//   - The holder dies. Nobody hands the lock on, and its key expires. The first waiter in the queue
//     then confirms the vacant lock. If it does not, the next one does, one second later.
//   - The masters disagree on who is first. Several waiters then get too few grants each. They soon
//     give them back, to waiters with lower tickets.
//   - The masters have no queues, or do not answer. The waiter makes plain attempts instead.
//   - Messages are late. The waiter confirms the lock instead of holding it at once.
//
// # Safety
//
// Confirming is an acquire under the usual rules: it wins with a quorum of votes or not at all. So
// anything may be a reason to confirm.
//
// Holding the lock without asking again is safe if a quorum of the masters keeps its key for the
// waiter's token until the window ends. Nobody else gives that token up. So all depends on the term
// of each grant, which must not end after the master's key expires:
//
//	               asked                            message comes       term
//	waiter    -------|------------------------------------|--------------|-------->
//	                  \ question                         / question, age
//	master    ----------|------------ age ----------|----------- length -----|---->
//	                 arrives                     granted                  expires
//
// So term = asked + age + length:
//
//   - The waiter knows when it was about to send the question that the message names. The question
//     arrived later than that, and the grant came the age later still.
//   - When the message comes does not matter: it may be late, and the grant over.
//   - Neither does it matter which question was sent or answered last. The grant may be older.
//   - If the master's clock is fast, the age is shorter than it says, and the grant ends earlier.
//     Drift is deducted from both.
//   - An answer that the waiter has the key, with some time left, counts from its question too.
//   - A grant that is over, or that the master has denied since, does not count.
//
// The window ends when fewer than a quorum of these terms are left. Its end is not the latest of
// them.
//
// A fence that a master stored together with its grant is this lock's fence if all masters that
// count for the window stored the same one. Any other quorum shares a master with them, so the next
// holder's fence is higher. Otherwise the waiter confirms, and gets a fence that way.
//
// Messages are believed if they name the token. Whoever can read tokens and publish messages on a
// master can forge its grants.
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Time is an argument, and the
// same calls always lead to the same decisions. Callers must serialize all calls on an Entry.
package queue
