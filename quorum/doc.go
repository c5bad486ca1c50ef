// Package quorum holds locks across N independent Redis masters, with the Redlock algorithm. It is
// for work that only one replica out of many should do.
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
// A lock is a key on every master, and the key stores a random token. A lock is held while a quorum
// of the masters, N/2 + 1, has granted the same token and less time than the TTL has passed.
// Masters that are down, hung or unreachable delay no one and change nothing while a quorum
// answers. Any N from 1 up works. An odd N survives (N−1)/2 failures. One more master, which makes
// N even, survives no more.
//
// # The window of validity
//
// A Lock can be relied on within its window, measured by this process's own clock. The window
// starts before the first request is sent. A master starts counting when it executes that request,
// which is never earlier:
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
// The formula is from the Redis documentation, with the drift of its reference implementations.
// Options.Drift changes the drift. A master with a fast clock expires its key within the drift, not
// before. If no time is left in the window when the quorum has answered, the attempt fails. Extend
// opens a new window in the same way, provided that a quorum confirms before the old one closes.
// When the window closes, Lost is closed, whatever the network does. That happens before the
// masters expire the key.
//
// # What is guaranteed
//
// At any moment, at most one Lock of a name is inside its window, across all processes, if
//
//   - no master forgets a key that it granted until the key's time is up,
//   - no master's clock gains more on a holder's clock than the drift allows, or jumps ahead,
//   - nobody breaks its lock, or deletes its keys by hand, and
//   - all clients of the name use the same Options.Prefix, and the same set of masters, or one of
//     two sets while others use both. Masters refuse clients of any other set, as far as they can
//     tell; see "Changing the masters".
//
// And no lock is held forever: unreleased locks expire.
//
// # What is not guaranteed
//
// Without Options.RestartGuard, a master that forgets can grant the same lock twice. A master
// forgets if it crashes before it writes the key to disk, if it is flushed, if it evicts keys, or
// if it is replaced by a replica that has not yet received the key. With N = 5, one such master is
// enough if the holder had no more than a bare quorum. With the guard, masters that restart, are
// flushed or are replaced do no harm, even if all of them do so at once. "The restart guard" below
// lists what the guard does not detect.
//
// A clock that is set ahead expires keys early. Slew the masters' clocks; do not step them.
//
// Without Options.Fencing, a paused holder can do harm. Its garbage collector, scheduler or virtual
// machine may pause it after it reads Validity and before it acts on the result. No lock that
// expires can prevent this. A fencing token can, if the resource itself compares it with the
// highest token it has seen. Without one, make sure that the protected work does no harm when done
// twice.
//
// Fences increase from holder to holder. Three cases also depend on the masters' clocks. If a day,
// or twice the TTL if that is longer, lies between two holders, a majority of the clocks must agree
// better than that. Across a master that forgot, the order needs the restart guard, and clocks that
// agree to within a quarter of the guard. Across a change to masters that are all new, the clocks
// must agree to within 20 seconds.
//
// Waiters are served roughly in the order in which they queued on the masters, by the masters'
// clocks. That is fairness, not a guarantee. Lost messages, masters that briefly disagree, and
// clients of other libraries can change the order.
//
// # Why it is safe
//
// Each step names a test that fails without it. The tests of internal/sim check all the steps
// together, against failing masters, networks and clients.
//
//  1. A lock is held only if a majority has granted one token that was never used before. So the
//     majorities of two holders share a master (TestAttemptNeedsMajority,
//     TestEachAttemptHasItsOwnToken).
//  2. That master granted the second token only once the first key was gone. Either the first
//     holder released the key, after its window was closed (TestReleaseContinuesAfterContextEnds).
//     Or the key expired, which by the holder's clock is later than the end of the window
//     (TestValidityCountsFromBeforeFirstRequest, TestExtendMovesWindow, TestExtendNeverShortens).
//  3. Late requests do not change that. Each master executes the requests for one token in order,
//     or they are repeated until it has (TestRollbackNeverOvertakesItsAcquire,
//     TestReleaseIsRepeatedAfterOvertakingAcquire). A client that repeats a request turns it into
//     two, and the first may arrive after everything else (TestLateFirstTryOfAcquireIsReleased).
//     The answer to a call that a hook abandoned is not a vote
//     (TestRepliesToAbandonedCallAreNoVotes).
//  4. A waiter to whom a majority has handed the lock on holds it like one that a majority has
//     granted it. Each of these masters stored the waiter's token in the step in which it executed
//     the previous holder's release, and only a release hands on (TestRollingRestartWithWaiters).
//     Each master's message counts for that master alone (TestMessageCountsForOneMasterOnly). The
//     waiter's window ends before the keys do, however late the messages are: it counts from a
//     question that the message names, and that the master had before it granted the lock
//     (TestLateMessageCountsFromNamedQuestion, TestWindowIsCoveredByMasters). Only grants that
//     still stand count (TestDeniedGrantDoesNotCount). Where that leaves too little time, or no
//     fence, the waiter confirms the lock with a round (TestHandOffWithoutFenceIsConfirmed).
//  5. With the restart guard, that master has not forgotten the first holder. A server run that has
//     not been seen for the longest TTL grants nothing (TestForgetfulMastersCastNoVote,
//     TestQuarantinedMasterDoesNotHandOff), and is never mistaken for an earlier run
//     (TestMarkerTimeNeverDecreases). The same run with a replica's data grants nothing either
//     (TestGuardDetectsFailoverAndBack). Only a holder that a majority has just confirmed puts its
//     key back there (TestHolderRepairsKeyOnQuarantinedMaster).
//  6. With fencing, that master stored the first holder's fence while it stored the holder's key
//     (TestSecondRoundComparesToken, TestFenceIsOfTheQuorumThatCounts). So did every master that
//     has kept the lock alive since (TestExtendAndRepairCarryFence). The second holder's fence is
//     above every fence that its majority had stored (TestFenceIsAboveAllStoredByItsMajority), and
//     a majority stores it before it is used (TestAcquireFailsIfFenceIsNotStored).
//  7. A lock that another process detached is resumed only while a majority stores its token
//     (TestResumeNeedsTheTokenOnAQuorum), and its window ends before their keys do
//     (TestResumedWindowIsCoveredByMasters). The process that detached it sends nothing more
//     (TestDetachEndsRenewals). With fencing, a majority stores the fence again before it is used
//     (TestResumedFenceIsOnAQuorum).
//  8. When a lock is broken, its holder may rely on its window once more, and no longer: the
//     masters that released its token give it nothing anymore, and the others are no majority
//     (TestBreakIsNotUndoneByRepairs).
//  9. Several locks that were acquired together are locks of their own, each with its own token.
//     The whole is valid for as long as the lock with the least validity (TestValidityIsTheLeast),
//     and over as soon as one of them is (TestLossOfOneIsTheLossOfAll). A call that loses a lock
//     while it waits for others does not return with it (TestLostPrefixIsAcquiredAgain).
//
// Work that outlasts the window is no longer protected by the lock. Do, Lead and AutoRenew extend
// the lock in time, and report when they cannot.
//
// # Waiting
//
// Acquire, Do and Lead wait without polling. A caller that is refused joins a queue on every
// master. When the holder releases the lock, each master hands it to the first waiter in its queue,
// in the same atomic step, and notifies that waiter. Once a majority has done so, the waiter holds
// the lock: a hand-off takes one round trip. The masters keep the lock for a waiter for a short
// time only, at most 2 s, so that a dead waiter does not cost its TTL. Validity says so. A few
// milliseconds later, the masters are asked in the background to keep the lock for its whole TTL,
// again and again while that short window is open. With fencing, the masters store the waiter's
// fence when they hand the lock on.
//
// Callers of one Manager wait for each other first, in order, and only one of them at a time is in
// the masters' queues; of those for a shared, exclusive or permit lock, sixteen. So the order
// across Managers is not the order of their callers: a Manager with a hundred callers and one with
// a single caller take turns.
//
// A message that hands the lock on is trusted as far as it names the waiter's token, which is
// secret, on a channel with a random name. Clients that can read the auxiliary keys of a majority,
// or the locks' own keys, or that can use MONITOR there, and that can publish on these channels,
// could forge one. Those who can write the locks' keys can do worse. Give rights to redlock:aux:*
// only to clients that use the locks; see "Access rights".
//
// A dead waiter costs those behind it a second or two, or with a shared, exclusive or permit lock
// the rest of its lease: 3.5 s, and up to 14 s if many waited before it. Several that died together
// cost more each, but at most the 15 s after which the masters forget them. A dead holder costs its
// TTL. Waiters poll with growing pauses if they lack the rights to subscribe to channels or to use
// auxiliary keys, or if a proxy prevents it. The queues' keys expire by themselves.
//
// # Shared locks and permits
//
// Shared, Exclusive and Permits make a lock that several may hold: many readers or one writer, or
// at most n holders. For these, a master grants nothing by itself, because grants of different
// masters add up to too many. It admits the clients' entries in one order, and tells each client
// which others are before it. A client holds the lock if there is room on a quorum:
//
//	client            each master                                       another client
//	   |--- admit ------->|  entries, in the order of their fences           |
//	   |<-- who is before |    [writer 101] [reader 105] [reader 107]        |
//	   |                  |<------------------- depart ----------------------| writer 101
//	   |<-- room ---------|  to both readers, in one message each            |
//
// So votes are never split, nobody starves, and a hand-off takes one round trip. The order is that
// of the masters' clocks, roughly. An entry never goes before one that has room already. If that
// one came first on some masters only, the entry is moved to the same place on all of them, or on a
// quorum. On the others, extensions put it right once that one has left; until then, a permit that
// is held by a bare quorum needs all of it. One that waits is kept for a few seconds, and renewed;
// one that holds the lock, for its TTL.
//
// The steps of the safety argument are those of package internal/admission. Each is tested there,
// by the simulation, and by these tests: a client counts a quorum on which its entry has one and
// the same place (TestEntryMovesUp); masters admit nobody before those that have room there
// (TestModelMatchesRedis, of internal/sim), not even in a repair
// (TestHolderIsNotPutBeforeReaderWithRoom); nothing that is late moves a holder's entry
// (TestLateGuessMovesNoHolder, TestLateFirstTryOfCheckedFenceMovesNoHolder), and its own repair
// never past one that might be waiting (TestOvertakenPermitIsPutRight); whoever may hold a
// permit counts (TestRoomAgainstBruteForce); the window counts from the lease that a request asked
// for (TestWindowIsOfTheLeaseThatWasAskedFor) and ends with the earliest of its quorum
// (TestWindowEndsWithTheEarliestLeaseOfItsQuorum); what was known before an entry may have expired
// counts no more (TestRoomIsForgottenIfTheEntryMayHaveExpired,
// TestRoomFromBeforeExpiryCountsNoMore).
//
// A plain lock of the same name and these exclude each other on each master: while there are
// entries, the lock's key holds a mark that is no token of a plain lock. Neither waits in the
// other's queue; they poll. Permits of two numbers, or beside shared and exclusive locks, are
// refused with ErrConflict. To change the number of permits, let the clients of the old one finish
// first.
//
// With Options.Fencing, the fence of an exclusive lock is above those of all exclusive and shared
// locks before it, and the fence of a shared lock is above those of all exclusive ones before it.
// Let the resource keep the highest fence of each. It should refuse readers below the highest
// writer, and writers below the highest of both, but not readers below other readers. Fences of
// permits say in which order the clients came, not in which order they held them. Fences of plain
// locks are not ordered with those of shared locks of the same name.
//
// While Options.RestartGuard quarantines a master, it counts for no such lock, not even for one
// that stood there before. So restart one master at a time, and wait for the guard in between.
// Without the guard, a permit that a master forgot does not count there for another TTL once its
// renewal has put it back; and if the TTLs of permits differ, a longer one may stay out until the
// shorter ones have left.
//
// # Leadership
//
// Lead is for work that one replica out of many does all the time, such as a scheduler. Each
// replica calls Lead with the same name, and one of them runs its function:
//
//	            acquired                          fn is done, ctx ended, or Close
//	campaign --------------> fn runs --> release ---------------------------------> Lead returns
//	   ^                                    |
//	   |                                    | fn failed, or the lock was lost
//	   +---------------- pause <------------+
//
// A leader that dies is replaced when its TTL is over. One that is told to stop, by the end of its
// context or by Close, is replaced as soon as its function has returned. One that is cut off, or
// was paused, learns from its own clock that its window is closed, before another can lead. It then
// campaigns again.
//
// With Options.Fencing, each term has a number that is higher than that of every earlier term:
// Lock.Fence. Pass it on to whatever the leader changes, and have that refuse lower numbers. Then a
// leader that acts late does no harm.
//
// While a leader stops, its lock is kept alive. So the time that the function takes to return is
// time without a leader, but never time with two, unless the lock was lost. MaxHold makes leaders
// take turns. A function that ignores the end of its context at MaxHold keeps others from leading
// until its lock has expired, and no longer.
//
// # Several locks
//
// TryAcquireAll and AcquireAll acquire the locks of several names, all or none, for work that
// touches several things at once. If nobody else holds any of them, that takes one round trip, and
// little longer than for one name: what is sent to a master for all names is one call. The names
// may be in any order. They are renewed, extended, released and lost as one: see Locks.
//
// A call of AcquireAll that has to wait keeps the locks with the lowest keys, and waits for the
// next one, in its turn. So no two calls wait for each other, in whatever processes and for
// whatever overlapping names (TestNoDeadlockInOppositeOrder). The call has one ticket for all its
// waits. When it has waited for one lock and then waits for another, it comes before all calls that
// began to wait later (TestCallThatHasWaitedGoesFirst). Otherwise a call for many contended names
// would wait in every queue anew, and take long. With Shared, Exclusive and Permits, it does: there
// an entry never goes before those that came to the masters long before it. It keeps its place
// among those that wait for the same name, and the locks that it has, so it is done at last.
//
// While a call waits, the locks that it keeps are idle. Under contention it helps if the names that
// most calls need sort last: then these locks are acquired last, and are idle least.
//
// Only a single call for all names rules out a deadlock. A program that holds one lock and calls
// Acquire or AcquireAll for another may still wait for a program that does the opposite.
//
// # On call
//
// A lock's token has the form random@owner, so that the lock's key tells who holds it, on any
// master: redis-cli GET name. Inspect tells it for all masters together, and since when; List does
// so for all locks; Held returns this Manager's own. Options.Owner defaults to the host's name and
// the process ID.
//
// Break takes a lock from a holder that is stuck, by the token that the operator looked at. It
// cannot reach the holder: the holder learns of it when it next renews the lock, and until then
// relies on its window. Two holders may believe in their locks for that long, and only a fence that
// the resource checks tells them apart. So stop the holder first if you can.
//
// Options.Events tells what happens, for logs (LogEvents), metrics and traces (the modules
// contrib/prometheus and contrib/otel).
//
// Check tries whether the masters can grant locks now. Call it when a program starts, and in its
// readiness probe: a minority that is down does not make it fail. Its error says what is wrong with
// each master, and what to do about it. Diagnose also tells of risks, such as masters that forget.
// Stats says what the Manager has noticed about each master by itself: whether it answers, votes
// and notifies waiters, and its last error.
//
// # Holding for less, or for more
//
// Three options change for how long a lock is taken. MaxHold bounds a hold, so that a job that
// hangs loses its lock. MinHold keeps a lock taken after an early release, for short jobs that are
// started on many replicas whose clocks differ: the masters then store the token with "released:"
// in front. It rests on the masters that answered the release; a master that stored the lock but
// could not be told lets it expire with its TTL. LockDelay makes masters keep a lock for longer
// than its window, so that a holder that was paused a little past its window is still alone. A
// release frees the lock at once. If a holder dies, or loses its lock, others wait for the delay
// longer. With a RestartGuard, it must cover the TTL and the LockDelay together, and MinHold.
//
// A lock can be handed to another process: Detach ends a Lock without a release, and Resume takes
// over the token that it returned. The new window counts from before the masters were asked for how
// long they will store the token, so it does not matter how long the token was on its way. The old
// process sends nothing for the token anymore; what it sent before, an extension or a repair, can
// only lengthen what the masters store.
//
// # Choosing a TTL
//
// The TTL is how long everyone waits if a holder dies, and how long a holder has before it must
// extend. For short jobs, use several times their usual duration, so that they never need to
// extend. For long jobs, use ten seconds to a minute, and extend when a third of it has passed.
// That leaves two more tries. Below a few hundred milliseconds, a slow network or a busy machine
// uses up the window.
//
// # Masters
//
// Masters must not be replicas of each other, and should not share a machine, a disk or a power
// supply. To keep masters from forgetting, make each one write every command to its disk before it
// answers (appendonly yes, appendfsync always), or use Options.RestartGuard, or keep a crashed
// master offline for longer than the longest TTL. With appendfsync everysec, a power failure makes
// a master forget the grants of the last second, or more. Set maxmemory-policy to noeviction.
//
// # Changing the masters
//
// A majority of one set of masters need not overlap a majority of another. Suppose the masters are
// A, B and C. A client may hold a lock on A and B, while one that was given five masters holds it
// on C, D and E (TestDifferentMastersOrPrefixesDoNotExclude). So each master has a record of the
// set that its clients use, and clients of another set are refused with ErrOtherMasters, before
// they are granted anything (TestManagerOfAnotherSetIsRefused). To change the set while clients
// run:
//
//  1. Prepare new masters, which are empty. With Options.RestartGuard, call Bootstrap with a
//     Manager that is given these alone. Otherwise, they are quarantined, and the others have to
//     wait for them. For anything else, do not use them alone before step 4.
//  2. Roll out both sets: the new one to New or Open, and the old one as Options.Joint. A lock then
//     needs a majority of each. Clients of the old set can go on beside these.
//  3. When no client uses the old set alone anymore, call DeclareMasters, with a Manager of both
//     sets. It waits until everything is over that was granted to clients of the old set alone: for
//     the longest TTL, period of Once or minimum hold that a Manager has asked for since it was
//     made, with Options.Fencing for a minute at least, and half a minute more. The masters know
//     how long.
//  4. Roll out the new set. Then the masters that have left may be switched off.
//
// Each step is safe beside the one before, in any order, and whoever comes too early or too late is
// refused (TestSetThatWasGivenUpStaysSo). A step can be taken back: before DeclareMasters by
// rolling out the old set again; after that by the same steps in the other direction. A master that
// is dead does not matter, as long as a majority of each set answers. If a majority of the old set
// is gone for good, stop all clients, wait as long as DeclareMasters would, delete the masters'
// records (the key redlock:aux:set{prefix}), and start the new set. Clients with different lists
// beside each other, without any of these steps, do no harm, but get locks only while the others
// have none (TestIdleMastersAreTakenOver).
//
// Why that is safe is in package internal/membership, with the tests. It rests on the following.
//
//   - The masters compare the record in the step in which they grant or keep something. It costs
//     them one command for each call of the script, and no round trip, except for the first
//     attempts on masters that have no record yet (TestFirstClientRecordsItsSet).
//   - Each master has a lease for its set, which outlasts everything that it has granted, and tells
//     when the set is over.
//   - A master without a record has forgotten it, or is new. It gets that of the others if all that
//     have one agree. So a master that forgets while the set is changed is one more way to forget.
//     And clients that find no record at all, because others have only masters that do not answer
//     now, or none of theirs, cannot know of each other: a set with no master in common is another
//     deployment. If both lists of such clients are then given to one Manager as two sets,
//     DeclareMasters leaves the second one, and waits for what it has granted
//     (TestNewMastersWereTried).
//   - A master that is in use as another set is not taken from it, unless nobody holds anything
//     there and the rest of that set is no majority (TestMasterOfOthersIsNotTaken).
//   - A master that has forgotten what it granted counts with the longest lease that another one
//     remembers, if the restart guard is on. If the others that know do not answer, and something
//     is still in force that was granted for longer than the guard, such as a period of Once, then
//     wait for that long before DeclareMasters (TestChangeWaitsForWhatOneForgot).
//   - Clients of other Redlock libraries, those with Options.AnyMasters, Cluster and Ring clients,
//     plain clients of servers in Cluster mode, and those whose user may not read redlock:aux:set*
//     are not refused. Change their masters while they do not run.
//
// The same masters may be known by other addresses to some clients. But a master that has forgotten
// its record can be told what it was called only by a client that knows it by the same address, or
// from before. Whoever calls DeclareMasters may know them by other addresses, too
// (TestChangeByOtherAddresses). Prefixes have records of their own.
//
// # The restart guard
//
// A period of Once may be longer than the guard: it is a guard of its own; see Once.
//
// Options.RestartGuard identifies a master's memory by a marker, which names the IDs of the
// server's run and of its replication history. A master with another marker, or none, is
// quarantined. The guard does not detect
//
//   - two servers that act as one master at the same time. After a failover, the old primary may
//     still answer clients that have not heard of it. A master counts as replaced only once its
//     predecessor no longer answers anyone. Set min-replicas-to-write to 1, so that a primary that
//     was cut off stops accepting writes, and set the guard to at least the longest TTL +
//     min-replicas-max-lag.
//   - SWAPDB, DEBUG RELOAD, or a virtual machine that is reverted to a snapshot. The server forgets
//     and keeps its IDs.
//   - keys that the master evicts, or that someone deletes one by one.
//
// The guard also quarantines a master that forgot nothing if its replication ID changes. The ID
// changes when a first replica attaches, when redis-cli --rdb takes a backup by posing as a
// replica, and when the replication backlog is freed, by default an hour after the last replica
// left. Do any of these to one master at a time.
//
// # Access rights
//
// On masters with access control lists, each of these lines lists all the rights that a user needs,
// and no other. The first user can acquire, extend, release and inspect locks. It waits by polling.
// Without the right to redlock:aux:broken*, its Manager could put back a lock that was broken.
// Without that to redlock:aux:set*, nobody notices if it uses another set of masters than others
// do:
//
//	ACL SETUSER plain reset on >password ~app:* ~redlock:aux:broken* ~redlock:aux:set* +set +get +del +pttl +pexpire +time +eval +evalsha +select
//
// This user also waits in queues, so that locks are handed on to it:
//
//	ACL SETUSER queue reset on >password ~app:* ~redlock:aux:* resetchannels &redlock:aux:* +set +get +del +pttl +pexpire +time +eval +evalsha +select +exists +zadd +zrem +zrange +zrank +zcard +hset +hget +hdel +publish +subscribe +ping +pubsub|numsub
//
// This user can do everything, also use shared locks and permits, fencing and the restart guard,
// and bootstrap:
//
//	ACL SETUSER full reset on >password ~app:* ~redlock:aux:* resetchannels &redlock:aux:* +set +get +del +pttl +pexpire +time +eval +evalsha +select +exists +zadd +zrem +zrange +zrank +zcard +zscore +zcount +zrangebyscore +pexpireat +hset +hget +hdel +publish +subscribe +ping +pubsub|numsub +info
//
// This user is for operators and their tools. It can inspect, list and break locks. Check and
// Diagnose try what the Manager's own user can do:
//
//	ACL SETUSER operator reset on >password ~app:* ~redlock:aux:* resetchannels &redlock:aux:* +set +get +del +pttl +time +eval +evalsha +select +exists +zrem +zrange +zcard +zscore +zcount +zrangebyscore +zrank +pexpireat +hget +hdel +publish +scan +strlen +info
//
// Here app: is Options.Prefix. Without a prefix, list the locks' names instead, or write ~*. Redis
// 6.0 has no rights to channels: leave out resetchannels and the word that begins with &. A client
// made by Open needs select only if its URL has a database number, and no right to set its name. A
// client of your own may also send CLIENT SETNAME and CLIENT SETINFO. go-redis carries on if the
// latter is refused, but the ACL log records it.
//
// # Testing
//
// Package quorumtest has masters that run inside a test and fail on demand, and a Fake for tests of
// code that takes a Locker.
//
// # Other clients
//
// A lock's key is its name with Options.Prefix in front, and its value is the token. This package
// and Redlock clients that SET the bare key, such as redsync, node-redlock and redlock-py, exclude
// each other.
//
// # Reading
//
//   - The algorithm: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
//   - Registers on masters that fail, which is how fences are stored: Attiya, Bar-Noy and Dolev,
//     "Sharing memory robustly in message-passing systems", 1995
//   - Why it needs fencing: Martin Kleppmann, "How to do distributed locking", 2016,
//     https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
package quorum
