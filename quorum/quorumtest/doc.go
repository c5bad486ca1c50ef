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
//	func TestAcquireWithOneMasterDown(t *testing.T) {
//		cluster, err := quorumtest.Start(3)
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer cluster.Close()
//
//		locks, err := quorum.New(cluster.Clients(), nil)
//		...
//		cluster.Master(0).Stop()
//		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Minute)
//		...
//	}
//
// # Virtual time
//
// The masters of [StartInProcess] use no sockets, so they work inside a testing/synctest bubble.
// There, keys expire by the bubble's clock. The Manager must use the same clock, clock.Runtime:
//
//	synctest.Test(t, func(t *testing.T) {
//		cluster, err := quorumtest.StartInProcess(5)
//		...
//		defer cluster.Close()
//		locks, err := quorum.New(cluster.Clients(), &quorum.Options{Clock: clock.Runtime()})
//		...
//		defer locks.Close()
//
//		lock, err := locks.TryAcquire(t.Context(), "nightly-mail", time.Hour)
//		...
//		time.Sleep(time.Hour)    // returns at once
//		lock.Validity()          // is not positive
//		cluster.Master(0).Keys() // is empty
//	})
//
// Without this option a Manager uses the machine's clock, which hardly advances in a bubble. Its
// locks then stay valid after their keys have expired, so a test of a lost lock tests nothing.
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
