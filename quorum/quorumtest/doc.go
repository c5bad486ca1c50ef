// Package quorumtest embeds Redis masters in a test's process, and breaks them on demand.
//
// A [Cluster] is N independent masters, what a quorum of locks is built on. Each [Master] is a
// miniredis that ages its keys in real time, behind knobs for all that befalls a real server:
//
//   - it dies and comes back, with its keys or without: Stop, Restart
//   - it fails over to a replica that lags behind, and back: Snapshot, FailoverAndBack
//   - it is suspended, and continues with everything that piled up: Hang, Resume
//   - the network is slow, or loses requests or replies: DelayRequests, DelayReplies, DropRequests,
//     DropReplies, CutReplies
//   - it refuses commands: Fail, FailNext, Full
//   - its clock is wrong, or runs at another rate: AdvanceClock, SetClockRate
//   - it is old: LegacySet
//   - it forgets: FlushAll, Del
//
// Knobs combine, take effect for the next request, and can be turned at any time from any goroutine.
// Get, TTL, Keys and Commands look at what a master holds past all faults, for assertions.
//
//	func TestOutlivesAMaster(t *testing.T) {
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
// The masters of [StartInProcess] need no sockets, so they work inside a testing/synctest bubble. Their
// keys age by the bubble's clock there, and a Manager must go by the same one, clock.Runtime:
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
// Without that option a Manager goes by the machine's clock, for which next to no time passes in a
// bubble: its locks stay valid after the masters have let go of their keys, and a test of what happens
// when a lock is lost tests nothing. In the same way nobody but a master notices AdvanceClock and
// SetClockRate, wherever they are called.
//
// # What differs from a real server
//
// Commands are miniredis': a large part of Redis, not all of it, and its Lua prints numbers beyond
// 10^14 in full where Redis' Lua rounds them. So scripts should be run against a real server too.
// On top of miniredis, INFO has the sections server (with a run id), memory and replication (with a
// replication id), CLIENT SETINFO works, and errors that a script raises as text have the form of
// Redis 7. Commands that block, such as BLPOP, are refused, and so are an expiry that is more than
// 292 years away and a SET whose expiry is past. In a MULTI, INFO is answered at once and is no part of
// what EXEC answers. Keys expire to the nanosecond, not on whole milliseconds, and TTL rounds down.
// Nothing is evicted, and of replicas there is only what Snapshot says that they have.
//
// A connection that lost a request or a reply stays silent when the fault is over, as if its TCP
// never tried again. A fault concerns requests one by one; what is lost cannot be chosen by command
// or key. Of a stopped server's listening socket nothing remains, so a client is refused at once: a
// master that is cut off without a word is one that hangs.
package quorumtest
