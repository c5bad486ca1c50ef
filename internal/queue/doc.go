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
//	   |                |                             |   Step: Confirm, once a quorum granted it
//	   |                |<---------- acquire ---------|
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
//
// None of this affects safety. A grant is only a reason to confirm. Confirming is an acquire under
// the usual rules: it wins with a quorum of votes or not at all.
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Time is an argument, and the
// same calls always lead to the same decisions. Callers must serialize all calls on an Entry.
package queue
