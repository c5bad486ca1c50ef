package quorum_test

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// repeating returns a Manager whose clients put a request again that was not answered
// within retryAfter, on another connection. The first may arrive later.
func (b *bench) repeating() *quorum.Manager {
	b.Helper()
	m := b.managerWithClients(quorum.Options{}, func(o *redis.Options) {
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, -1, -1
		o.ReadTimeout, o.ContextTimeoutEnabled = retryAfter, false
	})
	b.warm(m)
	return m
}

// late makes the next request to each master arrive late, though not its repetition.
func (b *bench) late(by time.Duration) {
	for _, m := range b.Masters() {
		m.DelayRequests(by, 1)
	}
}

// arrival is how late the first tries come in these tests: after the release, and
// after it was repeated once.
const arrival = 1500 * time.Millisecond

// TestFirstTryOfAnAcquireArrivesAfterTheRelease: the second was answered, and the
// release found what it had put there. Yet the key must not stand for its whole TTL.
func TestFirstTryOfAnAcquireArrivesAfterTheRelease(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.repeating()
		defer func() { assert.NoError(b, m.Close()) }()
		b.late(arrival)
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 3, b.count(""))
		time.Sleep(arrival + time.Millisecond)
		require.Equal(b, 3, b.count(l.Token()), "it has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestFirstTryOfARepairArrivesAfterTheRelease: what a repair repeats, too.
func TestFirstTryOfARepairArrivesAfterTheRelease(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.repeating()
		defer func() { assert.NoError(b, m.Close()) }()
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		b.Master(0).Del(name)
		time.AfterFunc(time.Millisecond, func() { b.Master(0).DelayRequests(arrival, 1) })
		b.Master(0).DelayReplies(2*time.Millisecond, 1) // the extension's; the repair comes after it
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		time.Sleep(2 * retryAfter)
		require.Equal(b, 3, b.count(l.Token()), "repaired by the second try")
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 3, b.count(""))
		time.Sleep(arrival + time.Millisecond)
		require.Equal(b, 1, b.count(l.Token()), "the first has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestFirstTryOfAPlaceArrivesAfterItWasLeft: a waiter that gave up is not to be in
// the queues again, where it would be granted the lock.
func TestFirstTryOfAPlaceArrivesAfterItWasLeft(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.repeating()
		defer func() { assert.NoError(b, m.Close()) }()
		l := b.acquire()
		ctx, cancel := context.WithTimeout(b.Context(), 600*time.Millisecond)
		defer cancel()
		got := make(chan served, 1)
		b.wait(ctx, 0, m, got)
		b.late(arrival) // when it renews its place
		assertReason(b, (<-got).err, quorum.ErrTaken)
		synctest.Wait()
		require.Equal(b, []int{0, 0, 0}, b.waiting())
		time.Sleep(arrival + time.Millisecond)
		require.Equal(b, []int{1, 1, 1}, b.waiting(), "it has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, []int{0, 0, 0}, b.waiting())
		require.NoError(b, l.Release(b.Context()))
	})
}

// TestAnUnknownRequestArrivesAfterItsRelease found the token of another one: the
// acquire was never answered, and a repair put the token there meanwhile.
func TestAnUnknownRequestArrivesAfterItsRelease(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		b.Master(0).DelayRequests(5*timeout/2, 1)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		time.Sleep(timeout) // it is given up
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		synctest.Wait()
		require.Equal(b, 3, b.count(l.Token()), "repaired")
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(3*timeout/2 + time.Millisecond)
		require.Equal(b, 1, b.count(l.Token()), "it has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestLateRequestsAreWaitedForAsLongAsTCPSendsAgain, and no longer.
func TestLateRequestsAreWaitedForAsLongAsTCPSendsAgain(t *testing.T) {
	const rtoMax = 120 * time.Second
	for by, gone := range map[time.Duration]bool{rtoMax: true, 2 * rtoMax: false} {
		bubble(t, 3, func(b *bench) {
			m := b.repeating()
			defer func() { assert.NoError(b, m.Close()) }()
			b.late(by)
			l, err := m.TryAcquire(b.Context(), name, time.Hour)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(by + 70*time.Second)
			if gone {
				assert.Equal(b, 3, b.count(""), "%v late", by)
			} else {
				assert.Equal(b, 3, b.count(l.Token()), "%v late: or the test above tests nothing", by)
			}
			assert.Zero(b, m.Stats().Masters[0].PendingReleases)
		})
	}
}

// abandoning is a hook that does not wait for some pipelines, though they go on.
type abandoning struct {
	processHook
	patience time.Duration
	abandons atomic.Int32   // how many of the next ones
	later    sync.WaitGroup // until those have ended
}

// ProcessPipelineHook is part of redis.Hook.
func (h *abandoning) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.abandons.Add(-1) < 0 {
			return next(ctx, cmds)
		}
		done := make(chan error, 1)
		h.later.Go(func() { done <- next(context.WithoutCancel(ctx), cmds) })
		select {
		case err := <-done:
			return err
		case <-time.After(h.patience):
			return context.DeadlineExceeded
		}
	}
}

// passOn is a hook that does nothing.
func passOn(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	return next(ctx, cmd)
}

// TestRepliesToAnAbandonedCallAreNobodysVotes: they are written to the commands of
// that call, which must not have become another's. The other one is abandoned too,
// so what its commands say is not overwritten by its own replies.
func TestRepliesToAnAbandonedCallAreNobodysVotes(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		hook := &abandoning{processHook: passOn, patience: 10 * time.Millisecond}
		client.AddHook(hook)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		b.warm(m)
		failures := make(chan map[string]error, 100)
		try := func(names ...string) {
			// The first keeps the lane busy, so that the others make a pipeline.
			b.Master(0).DelayReplies(time.Millisecond, 1)
			for _, n := range append([]string{"busy-" + names[0]}, names...) {
				go func() {
					_, err := m.TryAcquire(b.Context(), n, time.Hour)
					failures <- map[string]error{n: err}
				}()
				synctest.Wait()
			}
			time.Sleep(time.Millisecond / 2)
			hook.abandons.Store(1)
			b.Master(0).DelayReplies(18*time.Millisecond, 2)
			time.Sleep(time.Millisecond)
		}
		b.Master(0).Set("c", "another", time.Hour)
		b.Master(0).Set("d", "another", time.Hour)
		try("a", "b") // the replies, nil for both, come after 19 ms
		time.Sleep(11 * time.Millisecond)
		try("c", "d") // which is while these are under way
		got := map[string]error{}
		for range 6 {
			maps.Copy(got, <-failures)
		}
		for _, n := range []string{"a", "b", "c", "d"} {
			assertReason(b, got[n], quorum.ErrNoQuorum)
		}
		assert.NoError(b, got["busy-a"])
		assert.NoError(b, got["busy-c"])
		hook.later.Wait()
	})
}

// TestReleaseThatFindsAnothersTokenTellsOfTheLoss, if a majority has it: then the
// lock was lost inside its window. With fewer it was not.
func TestReleaseThatFindsAnothersTokenTellsOfTheLoss(t *testing.T) {
	for n, lost := range []bool{false, false, false, true, true, true} {
		bubble(t, 5, func(b *bench) {
			b.warm(b.Manager)
			l := b.acquire()
			b.occupy(n)
			b.Master(0).DelayReplies(time.Millisecond, 1)
			err := l.Release(b.Context())
			again := l.Release(b.Context())
			if !lost {
				assert.NoError(b, err, "%d of 5", n)
				assert.NoError(b, again)
				return
			}
			assertReason(b, err, quorum.ErrLost)
			assert.ErrorIs(b, err, quorum.ErrDenied)
			assertReason(b, again, quorum.ErrLost)
			assert.Equal(b, n, b.count("another"))
		})
	}
}

// TestLateAnswersTellOfALossToo.
func TestLateAnswersTellOfALossToo(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.warm(b.Manager)
		l := b.acquire()
		b.occupy(3)
		b.Master(0).DelayReplies(100*time.Millisecond, 1)
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
	})
}

// TestASettledRequestIsWrittenNoMore: a hook asks twice, and returns with the first
// answer. Its second try would put the token there after the release.
func TestASettledRequestIsWrittenNoMore(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		plain := b.Master(0).Client()
		tried := make(chan error, 100)
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if args := cmd.Args(); cmd.Name() == "set" {
				time.AfterFunc(100*time.Millisecond, func() {
					tried <- plain.Do(context.Background(), args...).Err()
				})
			}
			return next(ctx, cmd)
		}))
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		require.NoError(b, l.Release(b.Context()))
		assert.ErrorContains(b, <-tried, "settled before it was written")
		assert.Equal(b, 1, b.count(""))
	})
}

// TestRepeatedReleaseIsNotMistakenForALoss: the first try handed the lock on, and the
// second finds who has it now. So does a second call, after one that told too few.
func TestRepeatedReleaseIsNotMistakenForALoss(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		m := b.retrying(quorum.Options{})
		defer func() { assert.NoError(b, m.Close()) }()
		b.warm(m)
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, b.Manager, got)
		for _, master := range b.Masters() {
			master.CutReplies(1)
		}
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
	})
	bubble(t, 3, func(b *bench) {
		m := b.others(1, quorum.Options{})[0]
		defer func() { assert.NoError(b, m.Close()) }()
		b.warm(b.Manager)
		l := b.acquire()
		for _, master := range b.Masters() {
			master.DropReplies(1)
		}
		assertReason(b, l.Release(b.Context()), quorum.ErrNoQuorum)
		_, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		assert.NoError(b, l.Release(b.Context()))
	})
}

// TestFailedExtendLeavesNothingBehind: the masters that it reached keep the lock for
// far longer than its window, if nobody releases it.
func TestFailedExtendLeavesNothingBehind(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		b.hang(2)
		assertReason(b, l.Extend(b.Context(), time.Hour), quorum.ErrNoQuorum)
		b.resume()
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.count(l.Token()))
		time.Sleep(ttl)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestOwnFailedAttemptIsNotInTheWay of the next one, where its rollback has yet to
// arrive.
func TestOwnFailedAttemptIsNotInTheWay(t *testing.T) {
	bubble(t, 2, func(b *bench) {
		b.warm(b.Manager)
		b.Master(0).Set(name, "another", time.Hour)
		b.Master(1).DelayReplies(time.Millisecond, 1) // it grants, and nobody waits for it
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		b.Master(0).Del(name)
		l, err := b.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		assert.NoError(b, l.Release(b.Context()))
	})
}

// TestOthersTokensAreNotRepeatedFor: only what this Manager gave up is.
func TestOthersTokensAreNotRepeatedFor(t *testing.T) {
	bubble(t, 2, func(b *bench) {
		b.warm(b.Manager)
		b.occupy(2)
		before := b.Master(0).Commands()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, 2, b.Master(0).Commands()-before, "an attempt, and its rollback")
	})
}
