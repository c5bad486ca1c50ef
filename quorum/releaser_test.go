package quorum_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestDebtsArePaidWhenTheMasterIsBack: releases that did not arrive are owed.
func TestDebtsArePaidWhenTheMasterIsBack(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		const locks = 300
		var held []*quorum.Lock
		for i := range locks {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Minute)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.Len(b, down.Keys(), locks)
		time.Sleep(10 * time.Second)
		require.NoError(b, down.Restart(0))
		time.Sleep(6 * time.Second)
		assert.Empty(b, down.Keys(), "paid 44 s before they expire")
	})
}

// TestDebtsEndWithTheKey: nothing is tried for longer than the key can stand.
func TestDebtsEndWithTheKey(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(2 * ttl)
		require.NoError(b, b.Master(1).Restart(0))
		executed := b.Master(1).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, executed, b.Master(1).Commands())
	})
}

func TestDebtsAreCapped(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{MaxPendingReleases: 64}, func(b *bench) {
		var held []*quorum.Lock
		for i := range 300 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Duration(60+i)*time.Second)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.NoError(b, down.Restart(0))
		time.Sleep(10 * time.Second)
		left := down.Keys()
		assert.GreaterOrEqual(b, len(left), 300-64)
		assert.Less(b, len(left), 300, "those that last longest are paid")
		assert.Contains(b, left, "lock-0", "those that expire first are left to do so")
		assert.NotContains(b, left, "lock-299")
		stats := b.Stats().Masters[1]
		assert.EqualValues(b, len(left), stats.LeftToExpire, "and counted")
		assert.Zero(b, stats.PendingReleases)
		assert.True(b, stats.Answering)
		assert.NoError(b, b.Manager.Close(), "that was long ago")
	})
}

// TestCloseDeliversWhatIsOwed to masters that answer, be it late.
func TestCloseDeliversWhatIsOwed(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		b.Master(1).DelayRequests(200*time.Millisecond, 1)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 2, b.count(""))
		require.NoError(b, b.Manager.Close())
		assert.Equal(b, 3, b.count(""))
	})
}

// TestCloseDoesNotWaitForAMinority, nor fail for what is left there, which is in
// nobody's way. What is left on a majority is.
func TestCloseDoesNotWaitForAMinority(t *testing.T) {
	for state, breakIt := range map[string]func(*quorumtest.Master){
		"hung": (*quorumtest.Master).Hang,
		"down": (*quorumtest.Master).Stop,
	} {
		for n := 1; n <= 2; n++ {
			t.Run(fmt.Sprint(n, " ", state), func(t *testing.T) {
				bubble(t, 3, func(b *bench) {
					l, err := b.TryAcquire(b.Context(), name, time.Hour)
					require.NoError(b, err)
					synctest.Wait()
					for _, m := range b.Masters()[:n] {
						breakIt(m)
					}
					err = l.Release(b.Context())
					start := time.Now()
					if n == 1 {
						require.NoError(b, err)
						assert.NoError(b, b.Manager.Close())
						assert.Less(b, time.Since(start), time.Second/2)
						return
					}
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.ErrorContains(b, b.Manager.Close(), "1 locks left to expire")
					assert.LessOrEqual(b, time.Since(start), 5*time.Second)
				})
			})
		}
	}
}

// TestNothingIsOwedThatWasNeverSent: to a master that cannot be connected to.
func TestNothingIsOwedThatWasNeverSent(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.Master(2).Stop()
		for range 100 {
			l, err := b.TryAcquire(b.Context(), name, time.Hour)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		assert.Zero(b, b.Stats().Masters[2].PendingReleases)
		assert.Zero(b, took(func() { assert.NoError(b, b.Manager.Close()) }))
	})
}

// TestCloseDoesNotWaitForeverForAClient: a client without deadlines is stuck in
// a read.
func TestCloseDoesNotWaitForeverForAClient(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var patient []redis.UniversalClient
		for _, m := range b.Masters() {
			opts := m.Options()
			opts.ContextTimeoutEnabled = false
			opts.ReadTimeout = time.Minute
			c := redis.NewClient(opts)
			defer c.Close()
			patient = append(patient, c)
		}
		m, err := quorum.New(patient, &quorum.Options{Clock: b.clock, CloseTimeout: 2 * time.Second})
		require.NoError(b, err)
		b.Master(1).Hang()
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		assert.Less(b, took(func() { assert.NoError(b, m.Close()) }), time.Second/2)
		b.Master(1).Resume()
		synctest.Wait()
	})
}

// TestReleaseIsSentOnlyWhereSomethingWas: an operation that never left this
// process owes nothing.
func TestReleaseIsSentOnlyWhereSomethingWas(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.Master(2).Hang()
		_, _ = b.TryAcquire(b.Context(), "first", ttl) // its request hangs there
		time.Sleep(timeout / 2)
		ctx, cancel := context.WithCancel(b.Context())
		l, err := b.TryAcquire(ctx, name, ttl) // its request waits behind that
		require.NoError(b, err)
		cancel()
		require.NoError(b, l.Release(b.Context()))
		b.Master(2).Resume()
		time.Sleep(timeout)
		_, there := b.Master(2).Get(name)
		assert.False(b, there)
		assert.Equal(b, 1, b.Master(2).Commands(), "only the first request was ever sent")
	})
}

// TestRefusedAcquireOwesNothing: the master has said that it changed nothing.
func TestRefusedAcquireOwesNothing(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, m := range b.Masters() {
			m.Fail("NOAUTH Authentication required.")
		}
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		synctest.Wait()
		for _, m := range b.Stats().Masters {
			assert.Zero(b, m.PendingReleases)
			assert.True(b, m.Answering)
		}
		assert.Zero(b, took(func() { assert.NoError(b, b.Manager.Close()) }))
	})
}

// TestRepeatedReleaseOwesOnce: one key is one debt, however often it is asked
// for.
func TestRepeatedReleaseOwesOnce(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters()[:3] {
			m.Stop()
		}
		for range 50 {
			assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
			time.Sleep(3 * time.Millisecond)
		}
		for _, m := range b.Stats().Masters {
			assert.LessOrEqual(b, m.PendingReleases, 1)
		}
		for _, m := range b.Masters()[:3] {
			require.NoError(b, m.Restart(0))
		}
		time.Sleep(5 * time.Second)
		assert.Equal(b, 5, b.count(""))
		assert.NoError(b, b.Manager.Close())
	})
}

// TestDebtsArePaidPastAStuckPayment: one try is stuck in a client without
// deadlines; the master answers all others.
func TestDebtsArePaidPastAStuckPayment(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var patient []redis.UniversalClient
		for _, m := range b.Masters() {
			opts := m.Options()
			opts.ContextTimeoutEnabled = false
			opts.ReadTimeout = time.Minute
			c := redis.NewClient(opts)
			defer c.Close()
			patient = append(patient, c)
		}
		m, err := quorum.New(patient, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer m.Close()
		b.warm(m)
		var held []*quorum.Lock
		for i := range 40 {
			l, err := m.TryAcquire(b.Context(), fmt.Sprint("lock-", i), time.Hour)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		b.Master(2).Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		b.Master(2).DropReplies(1) // the next payment's
		require.NoError(b, b.Master(2).Restart(0))
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(b, len(b.Master(2).Keys()), 1)
	})
}

// TestCloseWithManyDebts: a dead master is one answer for all that it is owed.
func TestCloseWithManyDebts(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var held []*quorum.Lock
		for i := range 500 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprint("lock-", i), time.Hour)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		b.Master(1).Stop()
		b.Master(2).Stop()
		for _, l := range held {
			assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		}
		assert.Less(b, took(func() { assert.ErrorContains(b, b.Manager.Close(), "500 locks left to expire") }), time.Second)
	})
}

// TestTheLongestTTL: its end is in the future, too.
func TestTheLongestTTL(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, 1<<63-1)
		require.NoError(b, err)
		assert.Positive(b, l.Validity())
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Master(1).Restart(0))
		time.Sleep(5 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestNoLockIsWonDuringClose: it could not be released any more.
func TestNoLockIsWonDuringClose(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(50*time.Millisecond, 1)
		}
		result := make(chan error)
		go func() {
			_, err := b.TryAcquire(context.Background(), name, ttl)
			result <- err
		}()
		time.Sleep(20 * time.Millisecond)
		closing := make(chan error)
		go func() { closing <- b.Manager.Close() }()
		assertReason(b, <-result, quorum.ErrClosed)
		assert.NoError(b, <-closing)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestCloseDoesNotReportReleasesThatWereConfirmed: they were to be repeated in case the
// first try of the client's arrives late, and the masters do not answer any more.
func TestCloseDoesNotReportReleasesThatWereConfirmed(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.repeating()
		b.late(10 * time.Millisecond)
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Positive(b, m.Stats().Masters[0].PendingReleases, "or this tests nothing")
		for _, master := range b.Masters() {
			master.Stop()
		}
		assert.NoError(b, m.Close())
	})
}
