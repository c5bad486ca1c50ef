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

func (b *bench) acquireRenewed(maxHold time.Duration) *quorum.Lock {
	b.Helper()
	l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(maxHold))
	require.NoError(b, err)
	synctest.Wait()
	return l
}

func TestAutoRenewKeepsTheLock(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquireRenewed(0)
		for range 600 {
			time.Sleep(time.Second)
			require.Greater(b, l.Validity(), ttl/2)
			require.Equal(b, 5, b.count(l.Token()))
		}
		assert.False(b, closed(l))
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		executed := b.Master(0).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, 5, b.count(""), "nothing recreates the key after its release")
		assert.Equal(b, executed, b.Master(0).Commands(), "and nothing is sent for it")
	})
}

// TestAutoRenewIsAboutAThirdOfTheTTL: neither a flood nor a gamble.
func TestAutoRenewIsAboutAThirdOfTheTTL(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquireRenewed(0)
		b.warm(b.Manager)
		before := b.Master(0).Commands()
		time.Sleep(100 * ttl)
		n := b.Master(0).Commands() - before
		assert.GreaterOrEqual(b, n, 300)
		assert.LessOrEqual(b, n, 410)
		require.NoError(b, l.Release(b.Context()))
	})
}

// TestFailedRenewalIsRetriedWithinTheWindow: for as long as there is one, and by
// itself it ends nothing.
func TestFailedRenewalIsRetriedWithinTheWindow(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquireRenewed(0)
		lost := l.Lost()
		time.Sleep(time.Second)
		b.hang(3)
		time.Sleep(ttl - 3*time.Second)
		assert.Greater(b, l.Validity(), time.Duration(0))
		assert.False(b, closed(l))
		b.resume()
		time.Sleep(2 * time.Second)
		assert.Greater(b, l.Validity(), ttl/2, "it was renewed at the last moment")
		select {
		case <-lost:
			assert.Fail(b, "lost")
		default:
		}
	})
}

// TestLossIsSignalledBeforeTheKeysExpire: however the masters fail.
func TestLossIsSignalledBeforeTheKeysExpire(t *testing.T) {
	for how, fail := range map[string]func(*quorumtest.Master){
		"hung":            (*quorumtest.Master).Hang,
		"down":            (*quorumtest.Master).Stop,
		"requests lost":   func(m *quorumtest.Master) { m.DropRequests(quorumtest.Always) },
		"refusing":        func(m *quorumtest.Master) { m.Fail("MISCONF cannot persist") },
		"replies delayed": func(m *quorumtest.Master) { m.DelayReplies(20*time.Second, quorumtest.Always) },
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 5, func(b *bench) {
				l := b.acquireRenewed(0)
				time.Sleep(5*ttl + 123*time.Millisecond)
				for _, m := range b.Masters() {
					fail(m)
				}
				<-l.Lost()
				for _, m := range b.Masters() {
					_, there := m.Get(name)
					assert.True(b, there, "the key is still there when the holder learns of the loss")
				}
				assert.LessOrEqual(b, l.Validity(), time.Duration(0))
				err := l.Release(b.Context())
				assertReason(b, err, quorum.ErrLost)
				assert.ErrorIs(b, err, quorum.ErrExpired)
			})
		})
	}
}

func TestMajorityThatDeniesEndsTheLock(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquireRenewed(0)
		time.Sleep(time.Second)
		b.occupy(3)
		assert.LessOrEqual(b, took(func() { <-l.Lost() }), ttl/3)
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrDenied)
		synctest.Wait()
		assert.Equal(b, 3, b.count("another"))
		assert.Equal(b, 2, b.count(l.Token()))
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		synctest.Wait()
		assert.Equal(b, 2, b.count(""), "what it still had is released")
	})
}

func TestHoldLimit(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquireRenewed(25 * time.Second)
		assert.LessOrEqual(b, l.Validity(), 25*time.Second)
		time.Sleep(20 * time.Second)
		assert.Equal(b, 5*time.Second, l.Validity(), "what is left is up to the bound")
		assert.Equal(b, 5*time.Second, took(func() { <-l.Lost() }))
		synctest.Wait()
		assert.Equal(b, 3, b.count(""), "the masters were told to let it go")
		err := l.Release(b.Context())
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrHoldLimit)
		synctest.Wait()
		assert.Equal(b, 3, b.count(""))
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(-1))
		assert.ErrorContains(b, err, "negative")
		assert.Equal(b, 3, b.count(""))
	})
}

// TestHoldLimitBindsExtendToo: the bound is on the hold, not on who extends.
func TestHoldLimitBindsExtendToo(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquireRenewed(5 * time.Second)
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		assert.Equal(b, 5*time.Second, took(func() { <-l.Lost() }))
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
	})
}

// TestRepair: a master that forgot gets the key back once a majority has
// confirmed it, for as long as the others have it.
func TestRepair(t *testing.T) {
	for how, extend := range map[string]func(b *bench) *quorum.Lock{
		"renewed":  func(b *bench) *quorum.Lock { return b.acquireRenewed(0) },
		"extended": (*bench).acquire,
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 5, func(b *bench) {
				l := extend(b)
				synctest.Wait()
				b.Master(0).FlushAll()
				b.Master(1).FlushAll()
				b.Master(1).Set(name, "another", time.Hour)
				if how == "extended" {
					require.NoError(b, l.Extend(b.Context(), ttl))
				}
				time.Sleep(ttl / 2)
				assert.Equal(b, 4, b.count(l.Token()))
				assert.Equal(b, "another", b.standing()[1], "where another stands it is left alone")
				left, others := b.Master(0).TTL(name), b.Master(4).TTL(name)
				assert.GreaterOrEqual(b, left, l.Validity(), "it lasts for as long as the window")
				assert.LessOrEqual(b, left, others)
				require.NoError(b, l.Release(b.Context()))
				time.Sleep(time.Minute)
				assert.Equal(b, 4, b.count(""))
			})
		})
	}
}

// TestRepairIsRepeated: until every master that answers has the key.
func TestRepairIsRepeated(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		b.warm(b.Manager)
		forgetful := b.Master(0)
		forgetful.FlushAll()
		forgetful.Full() // answers the extension, cannot store the key
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(3 * time.Second)
		_, there := forgetful.Get(name)
		require.False(b, there)
		forgetful.Heal()
		time.Sleep(time.Second)
		token, _ := forgetful.Get(name)
		assert.Equal(b, l.Token(), token)
		assert.LessOrEqual(b, forgetful.TTL(name), b.Master(1).TTL(name))
	})
}

// TestRollingRestartKeepsTheLock: all masters lose their memory, one renewal
// interval apart, while others try for the lock.
func TestRollingRestartKeepsTheLock(t *testing.T) {
	for _, n := range []int{3, 4, 5} {
		t.Run(fmt.Sprintf("masters=%d", n), func(t *testing.T) {
			bubble(t, n, func(b *bench) {
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
				assert.Equal(b, n, b.count(l.Token()))
				cancel()
				for range 3 {
					assertReason(b, <-waiting, quorum.ErrTaken)
				}
				require.NoError(b, others.Close())
			})
		})
	}
}

// TestNoRepairAfterTheWindow: what was confirmed too late is not given back.
func TestNoRepairAfterTheWindow(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquire()
		b.warm(b.Manager)
		time.Sleep(window - 100*time.Millisecond)
		b.Master(0).FlushAll()
		for _, m := range b.Masters()[1:] {
			m.DelayReplies(200*time.Millisecond, 1)
		}
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		time.Sleep(500 * time.Millisecond)
		_, there := b.Master(0).Get(name)
		assert.False(b, there)
		assert.Equal(b, 5, b.count(""))
	})
}

// TestNoRepairAfterTheRelease: a repair that is under way is followed by the
// release, and one that has not been sent never is.
func TestNoRepairAfterTheRelease(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		synctest.Wait()
		b.Master(0).FlushAll()
		b.Master(0).DelayReplies(50*time.Millisecond, 1)
		b.Master(0).DelayRequests(0, 0)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(50 * time.Millisecond) // its answer comes, and the repair is made
		b.Master(0).DelayRequests(300*time.Millisecond, 2)
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.count(""))
	})
}

// TestLateRepairIsUndone: the repair arrives after its call has timed out and
// after the release.
func TestLateRepairIsUndone(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		synctest.Wait()
		forgetful := b.Master(0)
		forgetful.FlushAll()
		forgetful.DelayReplies(20*time.Millisecond, 1)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		forgetful.DelayRequests(timeout+300*time.Millisecond, 1) // the repair
		time.Sleep(30 * time.Millisecond)
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(timeout + 300*time.Millisecond)
		require.Equal(b, l.Token(), b.standing()[0], "the release came first")
		time.Sleep(1500 * time.Millisecond)
		assert.Equal(b, 5, b.count(""), "and was repeated")
	})
}

// TestRenewalNeedsNoGoroutinePerLock: test/integration holds ten thousand.
func TestRenewalNeedsNoGoroutinePerLock(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.warm(b.Manager)
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

// TestSlowRenewalsGoOn: a round trip longer than the period between renewals
// must not end them.
func TestSlowRenewalsGoOn(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		l, err := b.TryAcquire(b.Context(), name, 300*time.Millisecond, quorum.AutoRenew(0))
		require.NoError(b, err)
		for _, m := range b.Masters() {
			m.DelayReplies(120*time.Millisecond, quorumtest.Always)
		}
		time.Sleep(10 * time.Second)
		assert.Greater(b, l.Validity(), time.Duration(0))
	})
}

// TestHungRepairDoesNotStopRenewal: the master that forgot hangs while it is
// being repaired.
func TestHungRepairDoesNotStopRenewal(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
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
		assert.Equal(b, 3, b.count(l.Token()))
	})
}

// TestMachineSleepEndsRenewedLocks: the clock went on while timers stood still.
func TestMachineSleepEndsRenewedLocks(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
		l := b.acquireRenewed(0)
		lost := l.Lost()
		fake.Advance(ttl)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		<-lost // closed by whoever asks first
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
	})
}

// TestHoldLimitIsNotShorterThanTimersAre: it would give a lock that is lost already.
func TestHoldLimitIsNotShorterThanTimersAre(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, tooShort := range []time.Duration{1, time.Millisecond - 1} {
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(tooShort))
			assert.Nil(b, l)
			require.EqualError(b, err, fmt.Sprintf(`quorum: acquire "nightly-mail": AutoRenew with a bound of %v, which is under 1ms`, tooShort))
			m, err := quorum.New(b.Clients(), &quorum.Options{MaxHold: tooShort})
			assert.Nil(b, m)
			require.EqualError(b, err, fmt.Sprintf("quorum: options: MaxHold %v is under 1ms", tooShort))
		}
		b.assertNoCommands()
		l := b.acquireRenewed(time.Millisecond)
		assert.Equal(b, time.Millisecond, l.Validity())
	})
}
