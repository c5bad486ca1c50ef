// Package membership decides which masters a Manager may use together. Each master keeps a record
// of the set of masters that its clients use. A Manager of another set must not lock beside them: a
// quorum of one set need not meet a quorum of the other.
//
// # Records
//
// A record says which set the clients of a master use, or between which two sets they change:
//
//	{S}       clients that use S may use the master: those of S alone, and those of S and another
//	{S -> *}  of a master that is not in S: clients that use S and another set may
//	{S -> T}  only clients that use both S and T may; the change from S to T has begun
//	{T}       as {S}, and the past set S, if somebody has declared the change
//
// It also says what the master is called in these sets, because Managers may know the masters by
// different addresses.
//
// Clients compare records before a master grants or keeps anything for them: each request carries
// the tag of the record that its Manager accepts, and the script executes it only if the master has
// that record. Comparison and grant are one step.
//
// A record has a generation, which grows with each change of masters. A master also knows until
// when what it has granted may last: its lease. It outlasts every lock that was granted or kept,
// and every place in a queue.
//
// # A change
//
// A change to a new set T, with the generation g, has three steps:
//
//  1. Seal. The records of all masters of both sets become {S -> T} with generation g, which is
//     higher than theirs. Each master notes its lease: after that, everything is over that it has
//     granted to clients of S alone.
//  2. Wait, until a majority of S is sealed with generation g, and the noted leases of a majority
//     of these masters are over. A master that the restart guard knows to have forgotten something
//     counts with the longest lease that any of S remembers.
//  3. Open. Each {S -> T} of generation g becomes {T}, on the masters of T.
//
// A Manager of S and T leaves S. It does not begin before a majority of S and one of T has
// answered, and a record says that S is in use. A change by a Manager of T alone leaves the set of
// the latest record. It does so by itself if everything is over that a majority of S has granted,
// as far as its masters answer, and nobody has declared that T was left.
//
// Clients of S alone can run until the seal, those of T alone from then on when a majority is open,
// and those of both all the time. Masters that are in T only have {S -> *} before the change
// begins. So no client of T alone may use them yet.
//
// # Safety
//
// Say that a set is live when a majority of its masters have records of that set alone. Only then
// can clients of it alone acquire a lock or keep it.
//
//   - When T is opened with generation g, some majority M of S was sealed with g, and the leases of
//     its masters were over (TestSetsExcludeEachOther). Each lock of a client of S alone has a
//     quorum, which shares a master with M. That one granted or kept the lock before it was sealed,
//     so its lease outlasted the lock. So all locks are over that were acquired or kept before M
//     was sealed, and S is not live.
//   - S is live again only if another change, to S with generation h, opens masters of M. It had
//     found a majority of the set that it leaves sealed with h. If it leaves T, and g < h: a quorum
//     of T shares a master K with that majority. If K was opened with g before it was sealed with
//     h, then h waited for the lease of K, and everything is over that T had granted. If K was
//     sealed with h first, it is not opened with g afterwards, because only a record of generation
//     g is, and no lower generation replaces a higher one. If h < g, exchange S and T.
//   - Two changes of the same generation replace none of each other's records. If both leave S,
//     only one finds a majority of it. If one goes from S to T and the other back, each can find a
//     majority of the set that it leaves, but then finds none of the other's to open.
//   - A change that leaves S does not begin while another one is known that leaves S for a third
//     set: that one might already have found its majority.
//
// Generations say nothing about records that come from no common one: two deployments, or somebody
// who has tried a master alone.
//
//   - {T} says that the change is done only if S is its past set, some master is sealed with the
//     same generation, or S cannot be live, because of the other records. Otherwise, clients of T
//     began beside those of S. Then S is sealed.
//   - A change does not begin while a master of T has the record of a third set X, and writes to
//     none that has. There are two exceptions, both only as soon as that master's lease is over: X
//     has no majority without the master, so that X is not live without it; or the record has a
//     lower generation than {S} or {T}, so that the master probably has missed a change.
//
// A client of two sets needs quorums of both, and so shares a master with each other client that
// uses one of them; see vote.System.
//
// A record may be brought forward: {T} of generation g may replace any record of a lower
// generation, and {S -> T} of the same, because {T} says that step 2 is done. If the Manager knows
// nothing of the record's set, it waits until the master's lease is over: it might be the set of
// others.
//
// A master without a record has forgotten it, or is new. It gets that of the others if a quorum has
// answered, and all that have one agree. If none has one, the set of the first client that asks
// becomes the record. It claims a majority of the masters first, and none of its masters may be
// claimed for another set. So the first client of a set is trusted. And a master that forgets does
// not remember that it was sealed: while a change is under way, that is one more way to forget.
//
// The package is pure: it has no I/O, goroutines, locks or clocks. Callers must serialize all calls
// on a Book.
package membership
