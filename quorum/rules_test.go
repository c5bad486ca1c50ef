package quorum_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// Each test in this file guards a rule that no other test in this package guards; see test/mutants.

// TestEvenSplitIsDecidedWithoutWaiting takes half of an even number of masters. Once all have
// answered, a majority is impossible, so the attempt must not wait any longer.
func TestEvenSplitIsDecidedWithoutWaiting(t *testing.T) {
	for _, n := range []int{2, 4, 6} {
		bubble(t, n, func(b *testbed) {
			b.occupy(n / 2)
			assert.Zero(b, took(func() {
				_, err := b.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrTaken)
			}))
			synctest.Wait()
			assert.Equal(b, n/2, b.vacantMasters())
		})
	}
}

func (b *testbed) delayReplies(d time.Duration, k int) {
	for _, m := range b.Masters() {
		m.DelayReplies(d, k)
	}
}

// TestExtensionWindowCountsFromSending delays the replies. The masters may have executed the
// extension at once, so its window must not count from the replies.
func TestExtensionWindowCountsFromSending(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		time.Sleep(time.Second)
		b.delayReplies(300*time.Millisecond, 1)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, window-300*time.Millisecond, l.Validity())
	})
}

func TestRenewalWindowCountsFromSending(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquireRenewed(0)
		b.delayReplies(300*time.Millisecond, quorumtest.Always)
		time.Sleep(time.Second) // after this, only a renewal can make the window longer again
		longest := time.Duration(0)
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			longest = max(longest, l.Validity())
		}
		assert.LessOrEqual(b, longest, window-300*time.Millisecond)
		assert.Greater(b, longest, window-400*time.Millisecond, "the lock must have been renewed")
	})
}

// TestQuorumConfirmedAfterSleepIsFailure advances the clock while the answers are on their way, as
// when the machine sleeps. No timer tells that the window has closed.
func TestQuorumConfirmedAfterSleepIsFailure(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		b.warmUp(b.Manager)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { fake.Advance(window) })
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters(), "rolled back")
	})
}

// TestExtendConfirmedAfterSleepIsLoss advances the clock while the answers are on their way. When
// they come, the new window would still be open, but the old one has closed.
func TestExtendConfirmedAfterSleepIsLoss(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		fake.Advance(window - time.Second)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { fake.Advance(time.Second) })
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrExpired)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters(), "the extended keys are released")
	})
}

// TestPendingReleaseOutlivesFirstTTLOfExtendedLock releases an extended lock while a master is
// down. The release must stay pending for as long as the longest extension, because the key lasts
// that long.
func TestPendingReleaseOutlivesFirstTTLOfExtendedLock(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(3 * ttl)
		require.NoError(b, b.Master(1).Restart(quorumtest.KeepMemory))
		time.Sleep(3 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestQueuedRepairIsNotSentAfterWindow keeps a repair queued behind another call until the window
// has closed.
func TestQueuedRepairIsNotSentAfterWindow(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		forgetful := b.Master(0)
		const short = 200 * time.Millisecond
		l, err := b.TryAcquire(b.Context(), name, short)
		require.NoError(b, err)
		synctest.Wait()
		forgetful.Del(name)
		forgetful.Full()
		require.NoError(b, l.Extend(b.Context(), short))
		synctest.Wait() // the first repair has failed
		forgetful.Heal()
		forgetful.DelayReplies(2*short, 1)
		_, err = b.TryAcquire(b.Context(), "other", ttl) // occupies the lane until the window has closed
		require.NoError(b, err)
		time.Sleep(2*short - time.Nanosecond)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		executed := forgetful.Commands()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(b, executed, forgetful.Commands())
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestLostClosesAfterSleepWithoutOtherCalls calls no other method after the sleep. Methods such as
// Validity notice the expiry and would close the channel themselves.
func TestLostClosesAfterSleepWithoutOtherCalls(t *testing.T) {
	for what, opts := range map[string][]quorum.AcquireOption{"plain": nil, "renewed": {quorum.AutoRenew(0)}} {
		t.Run(what, func(t *testing.T) {
			fake := &fakeclock.Clock{}
			bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
				l, err := b.TryAcquire(b.Context(), name, ttl, opts...)
				require.NoError(b, err)
				lost := l.Lost()
				time.Sleep(time.Second / 3)
				fake.Advance(window)
				assert.LessOrEqual(b, took(func() { <-lost }), 100*time.Millisecond)
			})
		})
	}
}

// TestRenewalsContinueUntilHoldLimit checks that the lock is held up to its limit, and no longer.
func TestRenewalsContinueUntilHoldLimit(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquireRenewed(25 * time.Second)
		time.Sleep(25*time.Second - time.Nanosecond)
		assert.Greater(b, l.Validity(), time.Duration(0))
		time.Sleep(time.Nanosecond)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, isLost(l))
		time.Sleep(ttl)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestReleaseWithEndedContextWaitsForMasters checks that a release with an ended context still
// waits for the masters, so that its result is known.
func TestReleaseWithEndedContextWaitsForMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		synctest.Wait()
		b.delayReplies(20*time.Millisecond, 1)
		assert.Equal(b, 20*time.Millisecond, took(func() { assert.NoError(b, l.Release(endedContext())) }))
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestOnceRecognizesTokenOfRefusedRollback loses an attempt's replies and has the masters refuse
// the rollback. The next attempt finds the token on a majority, and must not mistake it for another
// replica's.
func TestOnceRecognizesTokenOfRefusedRollback(t *testing.T) {
	const attempt = 100 * time.Millisecond
	opts := quorum.Options{AttemptTimeout: attempt, MinBackoff: 20 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	bubbleWith(t, 3, opts, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DropReplies(1)
		}
		time.AfterFunc(attempt/2, func() {
			for _, m := range b.Masters() {
				m.FailNext(1, "LOADING soon")
			}
		})
		executed := b.Master(0).Commands()
		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		assert.True(b, ran, "no other replica has the period")
		synctest.Wait()
		assert.GreaterOrEqual(b, b.Master(0).Commands()-executed, 4, "a second attempt must have found the first one's token")
	})
}

// TestAcquireOnOldServersKeepsOtherTokens checks the script for servers before Redis 7. There, too,
// an attempt must leave the holder's token alone.
func TestAcquireOnOldServersKeepsOtherTokens(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.LegacySet(true)
		}
		b.occupy(2)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, []string{"another", "another", ""}, b.storedTokens())
	})
}

// TestCallsEndAtAttemptTimeout uses a client that would itself wait for an hour.
func TestCallsEndAtAttemptTimeout(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		opts := b.Master(0).Options()
		opts.ReadTimeout = time.Hour
		client := redis.NewClient(opts)
		defer client.Close()
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		b.warmUp(m)
		b.Master(0).Hang()
		_, err = m.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		time.Sleep(2 * ttl) // until no release is pending
		assert.NoError(b, m.Close(), "no call is in flight")
		b.Master(0).Resume()
	})
}

// TestRefusedRetryLeavesReleasePending cuts the connection after a master has executed an acquire.
// Then the master refuses the client's own retry. The refusal does not mean that the key was not
// stored.
func TestRefusedRetryLeavesReleasePending(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerWithRetries(quorum.Options{})
		defer func() { assert.NoError(b, m.Close()) }()
		b.warmUp(m)
		for _, master := range b.Masters()[:2] {
			master.CutReplies(1)
			time.AfterFunc(retryAfter/2, func() { master.Fail("LOADING soon") })
		}
		_, err := m.TryAcquire(b.Context(), name, time.Hour)
		assertReason(b, err, quorum.ErrNoQuorum)
		time.Sleep(100 * time.Millisecond)
		require.Positive(b, 3-b.vacantMasters(), "a master must have stored the key")
		for _, master := range b.Masters() {
			master.Heal()
		}
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestOddReplyLeavesReleasePending gives an acquire a reply that belongs to another command. Such a
// reply does not mean that the key was not stored.
func TestOddReplyLeavesReleasePending(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		var stored atomic.Value // the token, a string
		var odd atomic.Bool     // scripts get an odd reply
		stored.Store("")
		odd.Store(true)
		f := newFakeServer(b.T, func(args []string) string {
			switch {
			case isSetup(args):
				return grantAll(args)
			case hasOperation(args, "acquire"):
				operations, _ := operationsOf(args)
				stored.Store(operations[0].token)
				return oneReply // not in a list
			case odd.Load():
				return "$3\r\nfoo\r\n"
			}
			stored.Store("")
			return grantAll(args)
		})
		client := f.client("192.0.2.1:1", nil)
		m, err := quorum.New(append(b.Clients()[:0:0], client), &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		_, err = m.TryAcquire(b.Context(), name, time.Hour)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		require.NotEmpty(b, stored.Load())
		odd.Store(false)
		time.Sleep(2 * time.Second)
		assert.Empty(b, stored.Load())
		require.NoError(b, m.Close())
		require.NoError(b, client.Close())
	})
}

// TestRepairedKeysLastAsLongAsWindow repairs masters after short extensions. The holder relies on
// an earlier, longer window, so the repaired keys must last that long.
func TestRepairedKeysLastAsLongAsWindow(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() { // a rolling restart
			m.FlushAll()
			require.NoError(b, l.Extend(b.Context(), time.Second))
			time.Sleep(300 * time.Millisecond) // it forgot its record, too
		}
		time.Sleep(2 * time.Second)
		assert.Greater(b, l.Validity(), 50*time.Minute)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
	})
}

// TestConcurrentReleasesEndTogether calls Release concurrently without a quorum. Calls that wait
// for a failing one must fail with it, rather than repeat it one after the other.
func TestConcurrentReleasesEndTogether(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		b.hang(2)
		assert.LessOrEqual(b, took(func() {
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum) })
			}
			all.Wait()
		}), timeout)
		b.resume()
		time.Sleep(2 * time.Second)
		assert.NoError(b, l.Release(b.Context()), "a later call asks the masters again")
	})
}

func TestCloseEndsRunningAttempts(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{AttemptTimeout: time.Minute}, func(b *testbed) {
		b.warmUp(b.Manager)
		b.hang(2)
		done := make(chan error, 2)
		go func() {
			_, err := b.TryAcquire(context.Background(), name, time.Hour)
			done <- err
		}()
		go func() {
			_, err := b.Inspect(context.Background(), name)
			done <- err
		}()
		synctest.Wait()
		go func() { _ = b.Manager.Close() }() // it may report keys left to expire
		assert.Less(b, took(func() {
			assertReason(b, <-done, quorum.ErrClosed)
			assertReason(b, <-done, quorum.ErrClosed)
		}), time.Second)
		b.resume()
		time.Sleep(2 * time.Minute)
	})
}

// TestRemainingKeyExcludesOthersUntilWindowCloses ends a lock because a majority forgot it. The
// remaining key must exclude others until the window would have closed, because the holder may have
// looked at Validity just before.
func TestRemainingKeyExcludesOthersUntilWindowCloses(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: time.Minute}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		b.occupy(1)
		l := b.acquire() // on two of three masters
		b.Master(0).Del(name)
		b.Master(1).FlushAll()
		validity := l.Validity()
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		synctest.Wait() // a release that was sent now would be there
		other, err := b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.Nil(b, other)
		time.Sleep(validity + ttl)
		assert.Equal(b, 3, b.vacantMasters())
	})
}
