// Package quorumtest runs Redis masters in the process of a test, and breaks them on demand.
//
// A [Cluster] is a set of N independent masters, as a quorum needs. Each [Master] is a miniredis
// whose keys expire in real time. Its methods simulate what happens to a real server and its
// network:
//
//   - crashes and restarts, with or without losing the keys: Stop, Restart
//   - a failover to a replica that lags behind, and back: Snapshot, FailoverAndBack
//   - a suspended process that later executes everything it has received: Hang, Resume
//   - a network that is slow or loses requests and replies: DelayRequests, DelayReplies,
//     DropRequests, DropReplies, CutReplies
//   - refused commands: Fail, FailNext, Full
//   - a clock that is wrong or runs too fast or too slow: AdvanceClock, SetClockRate
//   - an old server: LegacySet
//   - lost keys: FlushAll, Del
//
// Faults can be combined. They take effect with the next request, and can be set at any time from
// any goroutine. For assertions, Get, TTL, Keys and Commands look into a master directly, whatever
// its faults.
//
// [Open] gives a test a cluster and a Manager of locks on it, and closes both at its end:
//
//	func TestAcquireWithOneMasterDown(t *testing.T) {
//		locks, cluster := quorumtest.Open(t, 3, nil)
//		cluster.Master(0).Stop()
//		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Minute)
//		...
//	}
//
// Masters count from 0, here as in package quorum.
//
// # Testing code that uses locks
//
// Code that uses locks needs no masters in its tests. Let it take a [quorum.Locker] instead of a
// *quorum.Manager, and give it a [Fake]. A Fake makes another replica hold a lock, takes a lock
// away from the code under test, and ends the quorum.
//
// # Virtual time
//
// Open and Fake work inside a testing/synctest bubble. There, masters and Manager both use the
// bubble's clock, so the test need not wait for anything:
//
//	synctest.Test(t, func(t *testing.T) {
//		locks, cluster := quorumtest.Open(t, 5, nil)
//		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
//		...
//		time.Sleep(time.Hour)    // returns at once
//		lock.Validity()          // is not positive
//		cluster.Master(0).Keys() // is empty
//	})
//
// [StartInProcess] starts such masters without a Manager. A Manager that is made inside the bubble
// uses the bubble's clock by default, whatever its clients; see clock.Default. Start and close
// everything inside. Before a bubble ends, close the Manager and the cluster, and then sleep for
// two seconds: go-redis' goroutines do not end at once. Open and Fake do all that by themselves.
//
// AdvanceClock and SetClockRate affect only the master, never a Manager.
//
// # Differences from a real server
//
// The masters support the commands of miniredis, which are a large part of Redis. Lua scripts in
// miniredis print numbers above 10^14 in full, where Redis rounds them. Test your scripts against a
// real server too.
//
// Some behavior is added to miniredis. INFO has the sections server (with a run ID), memory, and
// replication (with a replication ID). CLIENT SETINFO works. Errors that a script raises as text
// have the form of Redis 7.
//
// Some behavior differs from Redis:
//
//   - Blocking commands such as BLPOP are refused.
//   - An expiry more than 292 years away is refused, and so is a SET whose expiry is in the past.
//   - INFO inside MULTI replies at once, and EXEC does not include its reply.
//   - Keys expire to the nanosecond, not on whole milliseconds, and TTL rounds down.
//   - No key is evicted.
//   - There are no replicas. Snapshot says what a replica would have.
//
// A connection that lost a request or a reply stays silent after the fault has been cleared, as if
// TCP never retransmitted. Faults apply to requests one by one. They cannot select a command or
// key. A stopped master refuses connections at once. To simulate a master that is cut off without a
// refusal, use Hang.
package quorumtest
