// Package quorum holds locks across N independent Redis masters: the Redlock
// algorithm, for work that one replica out of many is to do.
//
//	locks, err := quorum.Open([]string{"redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"}, nil)
//	...
//	defer locks.Close()
//
//	lock, err := locks.TryAcquire(ctx, "nightly-mail", 30*time.Second)
//	if errors.Is(err, quorum.ErrTaken) {
//		return nil // another replica is at it
//	}
//	...
//	defer lock.Release(ctx)
//
// A lock is a key with a random token on every master. It is held while a quorum
// of them, N/2 + 1, has granted the same token, and less time than the TTL has
// passed. Masters that are down, hang, or cannot be reached delay nobody and
// change nothing, so long as a quorum answers. Any N from 1 on works; an odd one
// survives (N−1)/2 failures, and the even one after it no more than that.
//
// # The window of validity
//
// A Lock can be relied on within its window, by this process's own clock. It
// counts from before the first request was sent, because a master starts to count
// when it carries that request out, which is never earlier:
//
//	first          a quorum                     window          an exact clock
//	request        has answered                 closes          expires the keys
//	   |                |                          |               |
//	---+----------------+--------------------------+---------------+----> time
//	   |<-- elapsed --->|<------- Validity ------->|<--- drift --->|
//	   |<----------------------------- TTL ----------------------->|
//
//	Validity = TTL − elapsed − drift,  drift = TTL × 1% + 2 ms
//
// That is the formula of the Redis documentation, with the drift of its reference
// implementations; Options.Drift changes it. A master whose clock is fast expires
// its key within the drift, not before. If nothing is left of the window when the
// quorum has answered, the attempt has failed.
// Extend opens a new window in the same way, provided that a quorum confirms
// before the old one closes. At its end Lost is closed, whatever the network
// does: before the masters let go, not after.
//
// # What is guaranteed
//
// At any moment at most one Lock of a name is inside its window, among all
// processes, if
//
//   - no master forgets a key that it granted before the key's time is up, and
//   - no master's clock gains more on a holder's than the drift allows for, or
//     jumps ahead.
//
// And no lock is held for ever: what nobody releases expires.
//
// # What is not guaranteed
//
// A master that forgets can grant the same lock twice. That is one that crashed
// without having written the key to its disk, that was flushed, that evicts keys,
// or that was replaced by a replica which had not got the key yet. With N = 5,
// one master that forgets and a holder that only just had its quorum are enough.
//
// A clock that is set ahead expires keys early. Let the masters' clocks be slewed,
// not stepped.
//
// A process can be paused, by its garbage collector, its scheduler or its virtual
// machine, after it has looked at Validity and before it acts on that. No lock
// that expires can help against this; a fencing token, which the resource itself
// compares with the highest that it has seen, can. Lock.Fence is where it will
// be; it is 0 so far. Until then, let what a lock protects be harmless when done
// twice, or have it checked where it is stored.
//
// Work that outlasts the window is not protected by the lock any more. Do and
// AutoRenew extend it in time, and say so when they cannot.
//
// # Choosing a TTL
//
// The TTL is how long everybody waits if a holder dies, and how long a holder has
// before it must extend. Short jobs take several times what they normally last, so
// that they never need to extend. Long ones take ten seconds to a minute, and
// extend when a third of it is over: two more tries are left then. Below a few
// hundred milliseconds a slow network or a busy machine eats the window up.
//
// # Masters
//
// They must not be replicas of each other, and should not share a machine, a disk
// or a power supply. Let each either write every command to its disk before it
// answers (appendonly yes, appendfsync always), or stay away for longer than the
// longest TTL whenever it has crashed (delayed restart). With appendfsync everysec
// a power cut makes it forget the grants of the last second, or more. Let maxmemory-policy be noeviction.
//
// # Other clients
//
// A lock's key is its name, with Options.Prefix before it, and its value is the
// token. Redlock clients that SET the bare key, as redsync, node-redlock and
// redlock-py do, and this package exclude each other.
//
// # Reading
//
//   - The algorithm: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
//   - Why it needs fencing: Martin Kleppmann, "How to do distributed locking", 2016,
//     https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
package quorum
