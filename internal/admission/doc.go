// Package admission decides what a client does that waits for a lock of an ordered kind: shared,
// exclusive, or one of several permits.
//
// Masters admit entries in rising order of their fences. A master never refuses an entry because it
// conflicts with another one. It tells each client whether the entries before its own leave room:
//
//	waiter           masters                        holder
//	   |---- admit ----->|                             |
//	   |<--- blocked ----|                             |
//	   |                 |<----------- depart ---------|
//	   |<--- message ----|                             |
//	   |   Advanced; Step: Hold, once a quorum has room
//	   |---- renew ----->|   a little later
//
// The client holds the lock if there is a quorum of masters on which its entry stands and before
// whose entries there is room. So nothing has to be granted, and votes are never split.
//
// # Safety
//
// Take two entries that must not both hold the lock, and suppose that both are believed to. Each
// stands on a quorum, so some master M counts for both.
//
//   - M admitted them in the order of their fences. The second was not before the first, because M
//     admits nothing below a fence that stands there.
//   - So when M admitted the second, the first stood there, or M has admitted it again since. But M
//     does not do that while the second stands.
//   - So every report of M on the second, from its admission on, names the first, or says that there
//     is no room. The second's client counts M, so it knows.
//
// Of n + 1 entries for n permits, the one with the highest fence has the n others before it, each
// of them on some master that counts. So what counts is the union of what these masters name.
//
//   - A report may be late. While an entry stands, those before it only become fewer. So of two
//     reports, what both name is true of both times. Reports from before the entry was admitted
//     again do not count.
//   - A token that was released is named in vain: its client had stopped using the lock before.
//   - An entry stands until its lease ends, by the master's clock. The lease counts from when the
//     master got the request, so the window counts from before it was sent. Different requests ask
//     for different leases. A message says nothing of the lease.
//   - A master that forgot everything could admit them the other way round. The restart guard keeps
//     it from admitting any until all leases that it granted before are over. A holder's entry is
//     exempt, and is admitted again like a new one: in order, and with what is before it.
//
// # Liveness
//
//   - A waiter whose entry was admitted by too few masters, because others overtook it, leaves and
//     tries again, with a higher fence.
//   - A waiter's entry has a short lease, which its polls renew. A dead one is removed when its
//     lease ends, by the next request that reaches the master.
//   - If a message is lost, a poll finds what it would have said.
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Time is an argument, and the
// same calls always lead to the same decisions. Callers must serialize all calls on an Entry.
package admission
