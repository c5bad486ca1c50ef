package quorum_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// acquireRenewed is acquire with AutoRenew.
func (b *testbed) acquireRenewed(maxHold time.Duration) *quorum.Lock {
	b.Helper()
	l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(maxHold))
	require.NoError(b, err)
	synctest.Wait()
	return l
}

func TestAutoRenewKeepsLockUntilRelease(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquireRenewed(0)
		for range 600 {
			time.Sleep(time.Second)
			require.Greater(b, l.Validity(), ttl/2)
			require.Equal(b, 5, b.mastersStoring(l.Token()))
		}
		assert.False(b, isLost(l))
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		executed := b.Master(0).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, 5, b.vacantMasters(), "nothing recreates the key after the release")
		assert.Equal(b, executed, b.Master(0).Commands(), "renewals stop with the release")
	})
}

// TestAutoRenewExtendsEveryThirdOfTTL counts the renewals. More would load the masters, and fewer
// would leave less time for retries.
func TestAutoRenewExtendsEveryThirdOfTTL(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquireRenewed(0)
		b.warmUp(b.Manager)
		before := b.Master(0).Commands()
		time.Sleep(100 * ttl)
		n := b.Master(0).Commands() - before
		assert.GreaterOrEqual(b, n, 300)
		assert.LessOrEqual(b, n, 410)
		require.NoError(b, l.Release(b.Context()))
	})
}

// A lock may be held for months. What its renewals needed must not stay in memory.
func TestRenewalsLeaveNothingInMemory(t *testing.T) {
	const locks = 200
	bubble(t, 3, func(b *testbed) {
		hold := func(prefix string) (held []*quorum.Lock) {
			for i := range locks {
				l, err := b.TryAcquire(b.Context(), fmt.Sprint(prefix, i), ttl, quorum.AutoRenew(0))
				require.NoError(b, err)
				held = append(held, l)
			}
			synctest.Wait()
			return held
		}
		first := hold("first-")
		time.Sleep(ttl / 2) // from now on, every buffer and cache has its size
		held := hold("held-")
		before := heapInUse()
		time.Sleep(ttl / 2)
		assert.Less(b, (heapInUse()-before)/locks, int64(500), "bytes per lock")
		for _, l := range append(first, held...) {
			require.Greater(b, l.Validity(), ttl/2)
		}
	})
}

// heapInUse returns the size of all reachable objects.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // for what pools have kept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestFailedRenewalIsRetriedUntilWindowCloses hangs a majority of the masters until shortly before
// the window closes. The failed renewals alone must not end the lock.
func TestFailedRenewalIsRetriedUntilWindowCloses(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquireRenewed(0)
		lost := l.Lost()
		time.Sleep(time.Second)
		b.hang(3)
		time.Sleep(ttl - 3*time.Second)
		assert.Greater(b, l.Validity(), time.Duration(0))
		assert.False(b, isLost(l))
		b.resume()
		time.Sleep(2 * time.Second)
		assert.Greater(b, l.Validity(), ttl/2, "the lock was renewed just in time")
		select {
		case <-lost:
			assert.Fail(b, "the lock was lost")
		default:
		}
	})
}

// TestLossIsSignaledBeforeKeysExpire makes all masters fail in several ways. In each, the holder
// must learn of the loss while the keys still keep others out.
func TestLossIsSignaledBeforeKeysExpire(t *testing.T) {
	for how, fail := range map[string]func(*quorumtest.Master){
		"hung":            (*quorumtest.Master).Hang,
		"down":            (*quorumtest.Master).Stop,
		"requests lost":   func(m *quorumtest.Master) { m.DropRequests(quorumtest.Always) },
		"refusing":        func(m *quorumtest.Master) { m.Fail("MISCONF cannot persist") },
		"replies delayed": func(m *quorumtest.Master) { m.DelayReplies(20*time.Second, quorumtest.Always) },
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 5, func(b *testbed) {
				l := b.acquireRenewed(0)
				time.Sleep(5*ttl + 123*time.Millisecond)
				for _, m := range b.Masters() {
					fail(m)
				}
				<-l.Lost()
				for _, m := range b.Masters() {
					_, stored := m.Get(name)
					assert.True(b, stored, "the key must outlast the window")
				}
				assert.LessOrEqual(b, l.Validity(), time.Duration(0))
				err := l.Release(b.Context())
				assertReason(b, err, quorum.ErrLost)
				assert.ErrorIs(b, err, quorum.ErrExpired)
			})
		})
	}
}

func TestDenyingMajorityEndsRenewedLock(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquireRenewed(0)
		time.Sleep(time.Second)
		b.occupy(3)
		assert.LessOrEqual(b, took(func() { <-l.Lost() }), ttl/3)
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrDenied)
		synctest.Wait()
		assert.Equal(b, 3, b.mastersStoring("another"))
		assert.Equal(b, 2, b.mastersStoring(l.Token()))
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		synctest.Wait()
		assert.Equal(b, 2, b.vacantMasters(), "the remaining keys are released")
	})
}

func TestLockIsLostAtHoldLimit(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquireRenewed(25 * time.Second)
		assert.LessOrEqual(b, l.Validity(), 25*time.Second)
		time.Sleep(20 * time.Second)
		assert.Equal(b, 5*time.Second, l.Validity(), "the window ends at the limit")
		assert.Equal(b, 5*time.Second, took(func() { <-l.Lost() }))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters(), "the lock is released at the limit")
		err := l.Release(b.Context())
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrHoldLimit)
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(-1))
		assert.ErrorContains(b, err, "negative")
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestHoldLimitAppliesToExtend checks that the limit is on the whole hold, not only on renewals.
func TestHoldLimitAppliesToExtend(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquireRenewed(5 * time.Second)
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		assert.Equal(b, 5*time.Second, took(func() { <-l.Lost() }))
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
	})
}

// TestForgottenLockIsRepaired checks that a master which forgot the lock gets the key back once a
// majority has confirmed the lock. The key lasts as long there as on the other masters.
func TestForgottenLockIsRepaired(t *testing.T) {
	for how, acquire := range map[string]func(b *testbed) *quorum.Lock{
		"renewed":  func(b *testbed) *quorum.Lock { return b.acquireRenewed(0) },
		"extended": (*testbed).acquire,
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 5, func(b *testbed) {
				l := acquire(b)
				synctest.Wait()
				b.Master(0).FlushAll()
				b.Master(1).FlushAll()
				b.Master(1).Set(name, "another", time.Hour)
				if how == "extended" {
					require.NoError(b, l.Extend(b.Context(), ttl))
				}
				time.Sleep(ttl / 2)
				assert.Equal(b, 4, b.mastersStoring(l.Token()))
				assert.Equal(b, "another", b.storedTokens()[1], "a repair must not replace another token")
				repaired, confirmed := b.Master(0).TTL(name), b.Master(4).TTL(name)
				assert.GreaterOrEqual(b, repaired, l.Validity(), "the repaired key must outlast the window")
				assert.LessOrEqual(b, repaired, confirmed)
				require.NoError(b, l.Release(b.Context()))
				time.Sleep(time.Minute)
				assert.Equal(b, 4, b.vacantMasters())
			})
		})
	}
}

// TestFailedRepairIsRetried refuses repairs for lack of memory at first. They are retried until the
// master stores the key.
func TestFailedRepairIsRetried(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.warmUp(b.Manager)
		forgetful := b.Master(0)
		forgetful.FlushAll()
		forgetful.Full() // it answers the extension but cannot store the key
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(3 * time.Second)
		_, stored := forgetful.Get(name)
		require.False(b, stored)
		forgetful.Heal()
		time.Sleep(time.Second)
		token, _ := forgetful.Get(name)
		assert.Equal(b, l.Token(), token)
		assert.LessOrEqual(b, forgetful.TTL(name), b.Master(1).TTL(name))
	})
}

// TestRenewedLockSurvivesRollingRestart makes all masters lose their memory, one renewal interval
// apart, while others wait for the lock. Without repairs the quorum would wear down.
func TestRenewedLockSurvivesRollingRestart(t *testing.T) {
	for _, n := range []int{3, 4, 5} {
		t.Run(fmt.Sprintf("masters=%d", n), func(t *testing.T) {
			bubble(t, n, func(b *testbed) {
				l := b.acquireRenewed(0)
				others, err := quorum.New(b.Clients(), &quorum.Options{Clock: b.clock})
				require.NoError(b, err)
				defer others.Close()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				waiting := make(chan error, 3)
				for range 3 {
					go func() {
						_, err := others.Acquire(ctx, name, ttl)
						waiting <- err
					}()
				}
				for range 2 {
					for _, m := range b.Masters() {
						m.Stop()
						time.Sleep(200 * time.Millisecond)
						require.NoError(b, m.Restart(quorumtest.LoseMemory))
						time.Sleep(ttl/3 + 2*time.Second)
						require.Greater(b, l.Validity(), time.Duration(0))
					}
				}
				assert.Equal(b, n, b.mastersStoring(l.Token()))
				cancel()
				for range 3 {
					assertReason(b, <-waiting, quorum.ErrTaken)
				}
				require.NoError(b, others.Close())
			})
		})
	}
}

// TestLateConfirmationCausesNoRepair delays the confirmations of an extension until after the
// window. They must not bring the lock back to a master that forgot it.
func TestLateConfirmationCausesNoRepair(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		b.warmUp(b.Manager)
		time.Sleep(window - 100*time.Millisecond)
		b.Master(0).FlushAll()
		for _, m := range b.Masters()[1:] {
			m.DelayReplies(200*time.Millisecond, 1)
		}
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		time.Sleep(500 * time.Millisecond)
		_, stored := b.Master(0).Get(name)
		assert.False(b, stored)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// TestRepairLeavesNoKeyAfterRelease releases a lock while a repair is due. A repair in flight is
// followed by the release, and an unsent one is never sent.
func TestRepairLeavesNoKeyAfterRelease(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		synctest.Wait()
		b.Master(0).FlushAll()
		b.Master(0).DelayReplies(50*time.Millisecond, 1)
		b.Master(0).DelayRequests(0, 0)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(50 * time.Millisecond) // the delayed answer comes, and starts the repair
		b.Master(0).DelayRequests(300*time.Millisecond, 2)
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// TestLateRepairChangesNothing delays a repair until its call has timed out and the release has
// been executed.
func TestLateRepairChangesNothing(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		synctest.Wait()
		forgetful := b.Master(0)
		forgetful.FlushAll()
		forgetful.DelayReplies(20*time.Millisecond, 1)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		forgetful.DelayRequests(timeout+300*time.Millisecond, 1) // delays the repair
		time.Sleep(30 * time.Millisecond)
		require.NoError(b, l.Release(b.Context()))
		before := forgetful.Commands()
		time.Sleep(timeout + 300*time.Millisecond)
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			require.Equal(b, 5, b.vacantMasters())
		}
		assert.Positive(b, forgetful.Commands()-before, "the repair must arrive after the release")
	})
}

// TestRenewalNeedsNoGoroutinePerLock renews 200 locks. A test in test/integration renews ten
// thousand.
func TestRenewalNeedsNoGoroutinePerLock(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		const locks = 200
		var all [locks]*quorum.Lock
		goroutines := runtime.NumGoroutine()
		for i := range all {
			l, err := b.TryAcquire(b.Context(), fmt.Sprint("lock-", i), 30*time.Second, quorum.AutoRenew(0))
			require.NoError(b, err)
			all[i] = l
		}
		synctest.Wait()
		time.Sleep(30 * time.Second)
		assert.LessOrEqual(b, runtime.NumGoroutine(), goroutines+10)
		for i, l := range all {
			require.Greater(b, l.Validity(), 15*time.Second, "lock %d", i)
		}
	})
}

// TestRenewalsContinueWithSlowMasters makes a round trip take longer than the period between
// renewals.
func TestRenewalsContinueWithSlowMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l, err := b.TryAcquire(b.Context(), name, 300*time.Millisecond, quorum.AutoRenew(0))
		require.NoError(b, err)
		for _, m := range b.Masters() {
			m.DelayReplies(120*time.Millisecond, quorumtest.Always)
		}
		time.Sleep(10 * time.Second)
		assert.Greater(b, l.Validity(), time.Duration(0))
	})
}

// TestHungRepairDoesNotStopRenewal hangs a master that forgot the lock while it is being repaired.
func TestHungRepairDoesNotStopRenewal(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquireRenewed(0)
		synctest.Wait()
		b.Master(0).FlushAll()
		b.Master(0).Full()
		time.Sleep(ttl)
		b.Master(0).Hang()
		time.Sleep(10 * ttl)
		assert.Greater(b, l.Validity(), time.Duration(0))
		b.Master(0).Resume()
		b.Master(0).Heal()
		time.Sleep(ttl)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
	})
}

// TestMachineSleepEndsRenewedLocks advances the clock while Go's timers stand still.
func TestMachineSleepEndsRenewedLocks(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		l := b.acquireRenewed(0)
		lost := l.Lost()
		fake.Advance(ttl)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		<-lost // closed by the first call that notices
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
	})
}

// TestTooShortHoldLimitIsRejected rejects limits under 1 ms. With one, the lock would be lost by
// the time it is returned.
func TestTooShortHoldLimitIsRejected(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, tooShort := range []time.Duration{1, time.Millisecond - 1} {
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(tooShort))
			assert.Nil(b, l)
			require.EqualError(b, err, fmt.Sprintf(`quorum: acquire "nightly-mail": AutoRenew's maxHold %v is under 1ms`, tooShort))
			l, err = b.TryAcquire(b.Context(), name, ttl, quorum.MaxHold(tooShort))
			assert.Nil(b, l)
			require.EqualError(b, err, fmt.Sprintf(`quorum: acquire "nightly-mail": MaxHold %v is under 1ms`, tooShort))
		}
		b.assertNoCommands()
		l := b.acquireRenewed(time.Millisecond)
		assert.Equal(b, time.Millisecond, l.Validity())
	})
}
