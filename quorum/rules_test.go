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

// These are tests of rules that no other test here would notice the breach of; see
// test/mutants.

// TestEvenSplitIsDecidedAtOnce: with half of an even number taken, and all
// answers in, nobody need wait to know that a majority is impossible.
func TestEvenSplitIsDecidedAtOnce(t *testing.T) {
	for _, n := range []int{2, 4, 6} {
		bubble(t, n, func(b *bench) {
			b.occupy(n / 2)
			assert.Zero(b, took(func() {
				_, err := b.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrTaken)
			}))
			synctest.Wait()
			assert.Equal(b, n/2, b.count(""))
		})
	}
}

func (b *bench) delayReplies(d time.Duration, k int) {
	for _, m := range b.Masters() {
		m.DelayReplies(d, k)
	}
}

// TestExtensionCountsFromBeforeTheSend: the masters may have carried it out at
// once.
func TestExtensionCountsFromBeforeTheSend(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		time.Sleep(time.Second)
		b.delayReplies(300*time.Millisecond, 1)
		require.NoError(b, l.Extend(b.Context(), ttl))
		assert.Equal(b, window-300*time.Millisecond, l.Validity())
	})
}

func TestRenewalCountsFromBeforeTheSend(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquireRenewed(0)
		b.delayReplies(300*time.Millisecond, quorumtest.Always)
		time.Sleep(time.Second) // what is left of the first window is less now
		longest := time.Duration(0)
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			longest = max(longest, l.Validity())
		}
		assert.LessOrEqual(b, longest, window-300*time.Millisecond)
		assert.Greater(b, longest, window-400*time.Millisecond, "it was renewed")
	})
}

// TestQuorumConfirmedAfterASleepIsAFailure: the machine slept while the answers
// were on their way, and no timer knows of it.
func TestQuorumConfirmedAfterASleepIsAFailure(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
		b.warm(b.Manager)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { fake.Advance(window) })
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		assert.Equal(b, 3, b.count(""), "rolled back")
	})
}

// TestExtendConfirmedAfterASleepIsALoss: the new window would be open yet, but
// the old one was not when the answers came.
func TestExtendConfirmedAfterASleepIsALoss(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		fake.Advance(window - time.Second)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { fake.Advance(time.Second) })
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrLost)
		assert.ErrorIs(b, err, quorum.ErrExpired)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		synctest.Wait()
		assert.Equal(b, 3, b.count(""), "what the masters were told to keep is released")
	})
}

// TestDebtsOfAnExtendedLockOutliveItsFirstTTL: the key that is owed stands for as
// long as the longest extension.
func TestDebtsOfAnExtendedLockOutliveItsFirstTTL(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(3 * ttl)
		require.NoError(b, b.Master(1).Restart(quorumtest.KeepMemory))
		time.Sleep(3 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestNoRepairIsSentAfterTheWindow: it waited for its lane until then.
func TestNoRepairIsSentAfterTheWindow(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		forgetful := b.Master(0)
		const short = 200 * time.Millisecond
		l, err := b.TryAcquire(b.Context(), name, short)
		require.NoError(b, err)
		synctest.Wait()
		forgetful.FlushAll()
		forgetful.Full()
		require.NoError(b, l.Extend(b.Context(), short))
		synctest.Wait() // the first repair has failed
		forgetful.Heal()
		forgetful.DelayReplies(2*short, 1)
		_, err = b.TryAcquire(b.Context(), "other", ttl) // its lane is busy until the window is over
		require.NoError(b, err)
		time.Sleep(2*short - time.Nanosecond)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		executed := forgetful.Commands()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(b, executed, forgetful.Commands())
		assert.Equal(b, 3, b.count(""))
	})
}

// TestLostClosesAfterASleepThoughNobodyAsks: Validity and the like notice by themselves,
// and a test that asks them first learns nothing of the channel.
func TestLostClosesAfterASleepThoughNobodyAsks(t *testing.T) {
	for what, opts := range map[string][]quorum.AcquireOption{"plain": nil, "renewed": {quorum.AutoRenew(0)}} {
		t.Run(what, func(t *testing.T) {
			fake := &fakeclock.Clock{}
			bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
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

// TestHoldEndsAtItsLimit: renewals go on until then, and no longer.
func TestHoldEndsAtItsLimit(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquireRenewed(25 * time.Second)
		time.Sleep(25*time.Second - time.Nanosecond)
		assert.Greater(b, l.Validity(), time.Duration(0))
		time.Sleep(time.Nanosecond)
		assert.LessOrEqual(b, l.Validity(), time.Duration(0))
		assert.True(b, closed(l))
		time.Sleep(ttl)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestReleaseOnAnEndedContextWaits: it has nobody else to tell how it went.
func TestReleaseOnAnEndedContextWaits(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		synctest.Wait()
		b.delayReplies(20*time.Millisecond, 1)
		assert.Equal(b, 20*time.Millisecond, took(func() { assert.NoError(b, l.Release(ended())) }))
		assert.Equal(b, 3, b.count(""))
	})
}

// TestOnceRecognisesATokenOfItsOwn: an attempt's replies were lost, the masters
// refused to roll it back, and the next attempt finds its token on a majority.
func TestOnceRecognisesATokenOfItsOwn(t *testing.T) {
	const attempt = 100 * time.Millisecond
	opts := quorum.Options{AttemptTimeout: attempt, MinBackoff: 20 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	bubbleWith(t, 3, opts, func(b *bench) {
		b.warm(b.Manager)
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
		assert.GreaterOrEqual(b, b.Master(0).Commands()-executed, 4, "two attempts at least met the first one's token")
	})
}

// TestOldServersReplaceNothing: an acquire that is refused leaves the holder's
// token alone, in the script for servers before Redis 7 too.
func TestOldServersReplaceNothing(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, m := range b.Masters() {
			m.LegacySet(true)
		}
		b.occupy(2)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, []string{"another", "another", ""}, b.standing())
	})
}

// TestCallsEndAtAttemptTimeout: the client itself would wait for an hour.
func TestCallsEndAtAttemptTimeout(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		opts := b.Master(0).Options()
		opts.ReadTimeout = time.Hour
		client := redis.NewClient(opts)
		defer client.Close()
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		b.warm(m)
		b.Master(0).Hang()
		_, err = m.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		time.Sleep(2 * ttl) // nothing is owed any more
		assert.NoError(b, m.Close(), "no call is under way any more")
		b.Master(0).Resume()
	})
}

// TestRefusedRetryOwesARelease: the master carried the acquire out, the reply was
// lost with the connection, and only the client's own second try was refused.
func TestRefusedRetryOwesARelease(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.retrying(quorum.Options{})
		defer func() { assert.NoError(b, m.Close()) }()
		b.warm(m)
		for _, master := range b.Masters()[:2] {
			master.CutReplies(1)
			time.AfterFunc(retryAfter/2, func() { master.Fail("LOADING soon") })
		}
		_, err := m.TryAcquire(b.Context(), name, time.Hour)
		assertReason(b, err, quorum.ErrNoQuorum)
		time.Sleep(100 * time.Millisecond)
		require.Positive(b, 3-b.count(""), "a master has the key: or this tests nothing")
		for _, master := range b.Masters() {
			master.Heal()
		}
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestOddReplyOwesARelease: a reply that no acquire has does not tell that nothing
// was done.
func TestOddReplyOwesARelease(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		var standing atomic.Value // a string
		var odd atomic.Bool
		standing.Store("")
		odd.Store(true)
		f := newFake(b.T, func(args []string) string {
			switch {
			case setUp(args):
				return behaved(args)
			case args[0] == "set":
				standing.Store(args[2])
				return oneReply // another command's
			case odd.Load():
				return "$3\r\nfoo\r\n"
			}
			standing.Store("")
			return oneReply
		})
		client := f.client("192.0.2.1:1", nil)
		m, err := quorum.New(append(b.Clients()[:0:0], client), &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		_, err = m.TryAcquire(b.Context(), name, time.Hour)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		require.NotEmpty(b, standing.Load())
		odd.Store(false)
		time.Sleep(2 * time.Second)
		assert.Empty(b, standing.Load())
		require.NoError(b, m.Close())
		require.NoError(b, client.Close())
	})
}

// TestRepairsLastAsLongAsTheWindow: a short extension confirmed it, but the window
// that is relied on is an earlier, longer one.
func TestRepairsLastAsLongAsTheWindow(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() { // a rolling restart
			m.FlushAll()
			require.NoError(b, l.Extend(b.Context(), time.Second))
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		assert.Greater(b, l.Validity(), 50*time.Minute)
		assert.Equal(b, 3, b.count(l.Token()))
	})
}

// TestConcurrentReleasesEndTogether: those that wait for one that fails fail with
// it, instead of repeating it one after the other.
func TestConcurrentReleasesEndTogether(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
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
		assert.NoError(b, l.Release(b.Context()), "one that is called afterwards asks again")
	})
}

// TestCloseEndsAttempts that are under way, too.
func TestCloseEndsAttempts(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{AttemptTimeout: time.Minute}, func(b *bench) {
		b.warm(b.Manager)
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
		go func() { _ = b.Manager.Close() }() // keys may be left
		assert.Less(b, took(func() {
			assertReason(b, <-done, quorum.ErrClosed)
			assertReason(b, <-done, quorum.ErrClosed)
		}), time.Second)
		b.resume()
		time.Sleep(2 * time.Minute)
	})
}

// TestALockLostToAForgetfulMajorityKeepsOthersOut of what it still has, until its
// window would have closed: its holder may have looked at it just before.
func TestALockLostToAForgetfulMajorityKeepsOthersOut(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: time.Minute}, func(b *bench) {
		require.NoError(b, b.Bootstrap(b.Context()))
		b.occupy(1)
		l := b.acquire() // on two of three
		b.Master(0).Del(name)
		b.Master(1).FlushAll()
		looked := l.Validity()
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		other, err := b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.Nil(b, other)
		time.Sleep(looked + ttl)
		assert.Equal(b, 3, b.count(""))
	})
}
