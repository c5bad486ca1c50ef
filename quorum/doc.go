// Package quorum holds locks across N independent Redis masters: the Redlock algorithm, for work
// that one replica out of many is to do.
//
//	locks, err := quorum.Open([]string{"redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"}, nil)
//	...
//	defer locks.Close()
//
//	lock, err := locks.TryAcquire(ctx, "nightly-mail", 30*time.Second)
//	if errors.Is(err, quorum.ErrTaken) {
//		return nil // another replica holds the lock
//	}
//	...
//	defer lock.Release(ctx)
//
// A lock is a key with a random token on every master. It is held while a quorum of the masters,
// N/2 + 1, has granted the same token and less time than the TTL has passed. Masters that are down,
// hang or cannot be reached delay nobody and change nothing while a quorum answers. Any N from 1 on
// works. An odd N survives (N−1)/2 failures, and the even N after it no more than that.
//
// # The window of validity
//
// A Lock can be relied on within its window, by this process's own clock. The window counts from
// before the first request was sent, because a master starts to count when it carries that request
// out, which is never earlier:
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
// The formula is the Redis documentation's, with the drift of its reference implementations.
// Options.Drift changes it. A master whose clock is fast expires its key within the drift, not
// before. If nothing is left of the window when the quorum has answered, the attempt has failed.
// Extend opens a new window in the same way, provided that a quorum confirms before the old one
// closes. When the window closes, Lost is closed, whatever the network does. That is before the
// masters expire the key.
//
// # What is guaranteed
//
// At any moment at most one Lock of a name is inside its window, among all processes, if
//
//   - no master forgets a key that it granted before the key's time is up,
//   - no master's clock gains more on a holder's clock than the drift allows for, or jumps ahead,
//     and
//   - all clients of the name use the same set of masters and the same Options.Prefix; see
//     "Changing the masters".
//
// And no lock is held forever: unreleased locks expire.
//
// # What is not guaranteed
//
// Without Options.RestartGuard, a master that forgets can grant the same lock twice. A master
// forgets if it crashes before it has written the key to disk, if it is flushed, if it evicts keys,
// or if it is replaced by a replica that had not received the key yet. With N = 5, one such master
// and a holder that only just had its quorum are enough. With the guard, masters that restart, are
// flushed or are replaced do no harm, not even all of them at once. "The restart guard" below says
// what it does not see.
//
// A clock that is set ahead expires keys early. Let the masters' clocks be slewed, not stepped.
//
// Without Options.Fencing, a holder that is paused can do harm: by its garbage collector, its
// scheduler or its virtual machine, after it has looked at Validity and before it acts on what it
// saw. No lock that expires can prevent this. A fencing token can, if the resource itself compares
// it with the highest token that it has seen. Without one, make what a lock protects harmless when
// done twice.
//
// Fences increase from holder to holder. Two cases also depend on the masters' clocks. If a day, or
// twice the TTL, lies between two holders, a majority of the clocks must agree better than that.
// Across a master that forgot, the order needs the restart guard and clocks that agree to a quarter
// of it.
//
// Waiters are served roughly in the order in which they queued on the masters, by the masters'
// clocks. That is fairness, not a guarantee. Lost messages, masters that disagree for a moment, and
// clients of other libraries can change the order.
//
// # Why it is safe
//
// Each step names a test that fails without it. The tests of internal/sim try all of them together,
// against masters, networks and clients that fail.
//
//  1. A lock is held only if a majority has granted one token that was never used before, so the
//     majorities of two holders share a master (TestAttemptNeedsMajority, TestEachAttemptHasItsOwnToken).
//  2. That master granted the second token only once the first key was gone: it was released, after
//     its window was closed (TestReleaseContinuesAfterContextEnds), or it expired, which is later by
//     the holder's clock (TestValidityCountsFromBeforeFirstRequest, TestExtendMovesWindow, TestExtendNeverShortens).
//  3. Late messages do not change that. What is sent for one token to one master is carried out in
//     order, or repeated until it has been (TestRollbackNeverOvertakesItsAcquire,
//     TestReleaseIsRepeatedAfterOvertakingAcquire). A client that repeats a request makes two of
//     one, and the first may arrive after everything else
//     (TestLateFirstTryOfAcquireIsReleased). An answer to a call that a hook gave up is
//     no vote (TestRepliesToAbandonedCallAreNoVotes).
//  4. Queues and messages are never counted. A waiter has the lock when a majority granted its
//     token within one round (TestPublishedMessagesGrantNothing), and masters grant to waiters only
//     when a holder releases (TestRollingRestartWithWaiters).
//  5. With the restart guard, that master has not forgotten the first holder. A run of a server
//     that was not seen for the longest TTL grants nothing (TestForgetfulMastersCastNoVote,
//     TestQuarantinedMasterDoesNotHandOff), and is never taken for an earlier one
//     (TestMarkerTimeNeverDecreases). Nor does the same run with a replica's data
//     (TestGuardDetectsFailoverAndBack). Only a holder that a majority has just confirmed puts its
//     key back there (TestHolderRepairsKeyOnQuarantinedMaster).
//  6. With fencing, that master stored the first holder's fence while it stored its key
//     (TestSecondRoundComparesToken), and so did every master that kept the lock alive since
//     (TestExtendAndRepairCarryFence). The second holder's fence is above all that its majority had
//     stored (TestFenceIsAboveAllStoredByItsMajority), and a majority stores it before it is used
//     (TestAcquireFailsIfFenceIsNotStored).
//
// Work that outlasts the window is no longer protected by the lock. Do and AutoRenew extend it in
// time, and say so when they cannot.
//
// # Waiting
//
// Acquire and Do wait without polling. A caller that was refused takes a place in a queue on every
// master. When the holder releases the lock, each master hands it on to the first in its queue, in
// the same atomic step, and tells that waiter, which confirms it with one more round. Callers of
// one Manager wait for each other first, in order, and only one of them at a time is in the
// masters' queues. So the order across Managers is not that of their callers: a Manager with a
// hundred callers and one with a single caller take turns.
//
// A dead waiter costs those behind it a second or two, a dead holder its TTL. Where channels cannot
// be subscribed to, or auxiliary keys cannot be used, for lack of rights or behind a proxy, waiters
// poll with growing pauses. The queues' keys expire by themselves.
//
// # Choosing a TTL
//
// The TTL is how long everybody waits if a holder dies, and how long a holder has before it must
// extend. For short jobs, use several times their usual duration, so that they never need to
// extend. For long ones, use ten seconds to a minute, and extend when a third of it is over: two
// more tries are left then. Below a few hundred milliseconds, a slow network or a busy machine uses
// up the window.
//
// # Masters
//
// They must not be replicas of each other, and should not share a machine, a disk or a power
// supply. Let each write every command to its disk before it answers (appendonly yes, appendfsync
// always), or use Options.RestartGuard, or keep a crashed master away for longer than the longest
// TTL. With appendfsync everysec, a power cut makes it forget the grants of the last second, or
// more. Let maxmemory-policy be noeviction.
//
// # Changing the masters
//
// The guarantee holds among clients of one set of masters. A rolling deployment that edits the list
// runs clients of two sets side by side, and a majority of one set need not meet a majority of the
// other. Of masters A, B and C, an old client may have A and B, while a new one has C, D and E of
// five, or C and D of A, C and D (TestDifferentMastersOrPrefixesDoNotExclude). To change the set, or
// the prefix:
//
//  1. Stop all clients of the old set.
//  2. Wait until all that they may hold is over: for the longest TTL, or the longest period of
//     Once. With Options.Fencing wait for a minute at least, because the new masters have no fences
//     yet.
//  3. Start the clients of the new set.
//
// With Options.RestartGuard, masters that are new to it are quarantined for its time. Bootstrap
// spares them that only if every master of the set is new.
//
// # The restart guard
//
// Options.RestartGuard knows a master's memory by a marker, which names the ids of the server's run
// and of its replication history. A master with another marker or none is quarantined. The guard
// does not see
//
//   - two servers that play one master at a time. After a failover, the old primary may still
//     answer clients that have not heard of it. A master counts as replaced only once its
//     predecessor answers nobody anymore. Set min-replicas-to-write to 1, so that a primary that
//     was cut off accepts no more writes, and let the guard be at least the longest TTL +
//     min-replicas-max-lag.
//   - SWAPDB, DEBUG RELOAD, or a virtual machine that is reverted to a snapshot. The server forgets
//     and keeps its ids.
//   - keys that the master evicts, or that somebody deletes one by one.
//
// It also quarantines a master that forgot nothing when the replication id changes: when a first
// replica attaches, or redis-cli --rdb takes a backup as if it were one, and when the replication
// backlog is freed, by default an hour after the last replica left. Do that to one master at a
// time.
//
// # Access rights
//
// On masters with access control lists, a user with these rights can acquire, extend and release
// locks, and inspect them. It waits by polling:
//
//	ACL SETUSER locks reset on >password ~app:* +set +get +del +pttl +pexpire +time +eval +evalsha +select +client|setname
//
// A user with these can do everything: wait in queues and be told by message, use fencing and the
// restart guard, and bootstrap:
//
//	ACL SETUSER locks reset on >password ~app:* ~redlock:aux:* resetchannels &redlock:aux:* +set +get +del +pttl +pexpire +time +eval +evalsha +select +client|setname +exists +info +zadd +zrem +zrange +zrank +zcard +hset +hget +hdel +publish +subscribe +ping +pubsub|numsub
//
// Here app: is Options.Prefix. Without a prefix, name the locks instead, or write ~*. Redis 6.0 has
// no rights to channels: leave out resetchannels and the word that begins with &. A client made by
// Open needs select only for a URL with a database number, and client|setname only for one with a
// client_name. A client of your own may send CLIENT SETINFO as well. go-redis goes on when that is
// refused, but the ACL log names it.
//
// # Other clients
//
// A lock's key is its name, with Options.Prefix before it, and its value is the token. Redlock
// clients that SET the bare key, as redsync, node-redlock and redlock-py do, and this package
// exclude each other.
//
// # Reading
//
//   - The algorithm: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
//   - Registers on masters that fail, which fences are kept in: Attiya, Bar-Noy and Dolev, "Sharing
//     memory robustly in message-passing systems", 1995
//   - Why it needs fencing: Martin Kleppmann, "How to do distributed locking", 2016,
//     https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
package quorum
