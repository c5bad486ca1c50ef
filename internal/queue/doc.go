// Package queue decides what a waiter does next that has queued up for a lock on the masters.
//
// Whoever releases a lock hands it on: on each master in one atomic step, to the waiter with the
// lowest ticket there. The master then tells that waiter. All goes well as long as the masters
// agree who is first and the messages arrive:
//
//	holder           masters                     first waiter
//	   |                |<------ wait, report ------->|   every 0.5 s to 5 s
//	   |--- release --->|                             |
//	   |                |------ message: granted ---->|   Granted
//	   |                |                             |   Step: Confirm, once a quorum granted it
//	   |                |<---------- acquire ---------|
//
// The rest of this package is for what goes wrong:
//
//   - A message is lost. The waiter asks each master how things stand now and then, and soon once
//     another master has granted the lock.
//   - The holder dies. Nobody hands the lock on, and its key expires. The first in the queue then
//     confirms a lock that nobody holds. If it does not, the next one does, a second later.
//   - The masters disagree who is first. Each of several waiters gets too few grants. It gives them
//     back after a moment, to those with lower tickets.
//   - The masters have no queues, or do not answer. The waiter makes plain attempts instead.
//
// None of this matters for safety. A grant is only a reason to confirm, and confirming is an
// acquire by the rules of any other: it wins with a quorum of votes or not at all.
//
// Everything here is pure. There is no I/O, no goroutine, no lock and no clock: the time is an
// argument, and the same calls lead to the same decisions. The caller serializes all calls on an
// Entry.
package queue
