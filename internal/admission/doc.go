// Package admission decides what a client does that waits for a lock of an ordered kind: shared,
// exclusive, or one of several permits.
//
// Each master has all entries in the order of their fences. It never refuses an entry because it
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
// The client holds the lock if there is a quorum of masters on which its entry stands, with one and
// the same fence, and before whose entries there is room. So nothing has to be granted, and votes
// are never split.
//
// A client asks for the masters' time as its fence. Its entry goes before later ones that wait on a
// master, so that requests may overtake each other on the way. But it never goes before one that
// has room there, because that one's client may have been told so. It gets the next fence instead.
// Then the client moves its entry up: it asks all masters for the lowest fence that a quorum can
// still have. No waiter's entry moves down. One that holds the lock stays where a quorum has it:
// all that was ever asked for it is lower. Where it was overtaken by others, its repair puts it
// right once they have left, so that any minority of the masters may fail. (So clocks propose the
// order, as in Lamport's, and the masters agree on it, as in Skeen's total order multicast.)
//
// # Safety
//
// Take two entries that must not both hold the lock, X with the lower fence and Y, and suppose that
// both are believed to. Each counts a quorum on which it stands with its fence, so some master M
// counts for both.
//
//   - Take a report of M that says that there is room before Y with its fence. When M made it, X
//     was there, or it was not. If it was, it had a lower fence than Y, because it has now, and no
//     entry comes down past one that has room. If it was not, M admitted X later, and not before Y,
//     which had room. So X had a higher fence than Y's, and cannot have come down either.
//   - So every report of M on Y with that fence names X, or says that there is no room. Reports on
//     Y with an earlier fence do not count. Y's client counts M, so it knows.
//   - An entry that has room keeps it for as long as it stands with that fence, because nothing
//     goes before it. So it need not be known who was told what. There is one exception: the permit
//     of a holder that is admitted again by its repair goes before those of other holders that
//     were, if there is room for all. Until its TTL is over, or the quarantine, the master says
//     that such a permit does not count, and nothing goes before it afterwards. So every report
//     that counts names who is before it. Other holders may not be passed: their extensions may
//     count what one master said before, together with what another one says that has lost the
//     entry since.
//   - A master may admit an entry with a lower fence than was asked for, if that was the client's
//     guess, or has to be near the master's time. The lock may be held with the lower one. So such
//     a request never moves an entry that stands: it may be late.
//   - No two entries that exclude each other stand on M with the same fence.
//
// Of n + 1 entries for n permits, take the one with the highest fence. Each of the n others stands
// on a quorum, and those of its masters that count for the first name it. So an entry counts if it
// may stand on a quorum: on the masters that name it, and on those that do not count. And while the
// window lasts, no other entry can come before this one on the masters that count, because its
// entry stands there.
//
//   - A report may be late. Once an entry has room, and for as long as it stands with that fence,
//     those before it only become fewer: others are admitted behind it, and move up. So of two
//     reports that there is room, what both name is true of both times. Reports from before the
//     entry was admitted again do not count. An entry that may have expired may have been admitted
//     again by a late try of a request, so reports from before that do not count either. If only a
//     message has told of an entry, it may expire one lease after the request that the message
//     names.
//   - A token that was released is named in vain: its client had stopped using the lock before.
//   - An entry stands until its lease ends, by the master's clock. The lease counts from when the
//     master got the request, so the window counts from before it was sent. Different requests ask
//     for different leases. A message says nothing of the lease.
//   - A master that forgot everything could admit them the other way round. The restart guard keeps
//     it from admitting any until all leases that it granted before are over. A holder's entry is
//     exempt. It is admitted again with its own fence, or not at all, and told what is before it.
//
// With fencing, a master stores an entry's fence when it has room for it. Whoever is admitted there
// later gets a higher one. So the fences of holders that exclude each other increase: the masters
// that count for two of them share one.
//
// # Liveness
//
//   - Every master admits every entry. Two contenders do not keep each other out, however far away
//     they are: moving up takes a round, and again one for each master that was heard of late.
//   - An entry goes before others that wait only if its fence is hardly older than the latest
//     one's. Otherwise, a client that is ahead of the masters' time could wait forever while others
//     come and go.
//   - A waiter's entry has a short lease, which its polls renew. A dead one is removed when its
//     lease ends, by the next request that reaches the master.
//   - If a message is lost, a poll finds what it would have said.
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Time is an argument, and the
// same calls always lead to the same decisions. Callers must serialize all calls on an Entry.
package admission
