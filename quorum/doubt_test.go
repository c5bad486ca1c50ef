package quorum_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// managerRetryingTimeouts returns a Manager whose clients repeat a request on another connection if
// it is not answered within retryAfter. The first try may arrive after the second.
func (b *testbed) managerRetryingTimeouts() *quorum.Manager {
	b.Helper()
	m := b.managerWithClients(quorum.Options{}, func(o *redis.Options) {
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, -1, -1
		o.ReadTimeout, o.ContextTimeoutEnabled = retryAfter, false
	})
	b.warmUp(m)
	return m
}

// delayNextRequests delays the next request to each master, but not its repetition.
func (b *testbed) delayNextRequests(by time.Duration) {
	for _, m := range b.Masters() {
		m.DelayRequests(by, 1)
	}
}

// firstTryDelay is the delay of first tries in these tests. They arrive after the release, and
// after it was repeated once.
const firstTryDelay = 1500 * time.Millisecond

// doubt runs a test of requests that arrive late, twice: with a Manager that knows the masters'
// clocks, so that they refuse what comes late, and with one that does not. late is how many masters
// execute a late request then.
func doubt(t *testing.T, test func(b *testbed, m *quorum.Manager, late func(masters int) int)) {
	t.Helper()
	for what, known := range map[string]bool{"known clocks": true, "unknown clocks": false} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				m := b.managerRetryingTimeouts()
				defer func() { assert.NoError(b, m.Close()) }()
				b.subscribe(m) // otherwise that may be the request that is delayed
				if !known {
					b.forgetClocks()
				}
				test(b, m, func(masters int) int {
					if known {
						return 0
					}
					return masters
				})
			})
		})
	}
}

// forgetClocks waits until the Managers do not rely anymore on what they know of the masters'
// clocks.
func (b *testbed) forgetClocks() { time.Sleep(2 * time.Minute) }

// The second try was answered, and the release removed the key that it had stored. Then the first
// try arrives. The master does not execute it, or the key must not stay for its whole TTL.
func TestLateFirstTryOfAcquireIsReleased(t *testing.T) {
	doubt(t, func(b *testbed, m *quorum.Manager, late func(int) int) {
		b.delayNextRequests(firstTryDelay)
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 3, b.vacantMasters())
		time.Sleep(firstTryDelay + time.Millisecond)
		require.Equal(b, late(3), b.mastersStoring(l.Token()), "it has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// A client may repeat the request of a repair too. The first try arrives after the release, and too
// late. A master's clock is known by then, from the answer that led to the repair.
func TestLateFirstTryOfRepairChangesNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerRetryingTimeouts()
		defer func() { assert.NoError(b, m.Close()) }()
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		b.Master(0).Del(name)
		time.AfterFunc(time.Millisecond, func() { b.Master(0).DelayRequests(firstTryDelay, 1) })
		b.Master(0).DelayReplies(2*time.Millisecond, 1) // to the extend, which the repair follows
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		time.Sleep(2 * retryAfter)
		require.Equal(b, 3, b.mastersStoring(l.Token()), "repaired by the second try")
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		before := b.Master(0).Commands()
		for range 4 {
			time.Sleep(firstTryDelay)
			require.Equal(b, 3, b.vacantMasters())
		}
		assert.Equal(b, 2, b.Master(0).Commands()-before, "the release again, and the late repair")
	})
}

// A waiter that gave up must not be queued again, because it would be granted the lock.
func TestLateFirstTryOfQueueEntryIsRemoved(t *testing.T) {
	bubble(t, 1, func(b *testbed) { // with more masters, the waiter asks only some of them meanwhile
		m := b.managerRetryingTimeouts()
		defer func() { assert.NoError(b, m.Close()) }()
		l := b.acquire()
		results := make(chan acquireResult, 1)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		b.startWaiter(ctx, 0, m, results)
		b.delayNextRequests(firstTryDelay) // delays the next renewal of its place
		for before := b.Master(0).Commands(); b.Master(0).Commands() == before; {
			time.Sleep(time.Millisecond) // until its repetition has been executed
		}
		cancel()
		assertReason(b, (<-results).err, quorum.ErrTaken)
		synctest.Wait()
		require.Equal(b, []int{0}, b.queueLengths())
		time.Sleep(firstTryDelay + time.Millisecond)
		assert.Equal(b, []int{0}, b.queueLengths(), "it has arrived, but too late")
		require.NoError(b, l.Release(b.Context()))
	})
}

// One master did not answer the acquire, and a repair stored the token there. The release removes
// that key, and then the acquire arrives.
func TestLateUnansweredAcquireIsReleased(t *testing.T) {
	doubt(t, func(b *testbed, _ *quorum.Manager, late func(int) int) {
		b.warmUp(b.Manager)
		if late(1) == 1 {
			b.forgetClocks()
		}
		b.Master(0).DelayRequests(5*timeout/2, 1)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		time.Sleep(timeout) // the call times out
		require.NoError(b, l.Extend(b.Context(), time.Hour))
		synctest.Wait()
		require.Equal(b, 3, b.mastersStoring(l.Token()), "repaired")
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(3*timeout/2 + time.Millisecond)
		require.Equal(b, late(1), b.mastersStoring(l.Token()), "it has arrived")
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// A late request can arrive for as long as TCP retransmits it. If the masters' clocks are not
// known, releases are repeated until then, and no longer.
func TestReleaseIsRepeatedWhileTCPMayRetransmit(t *testing.T) {
	const rtoMax = 120 * time.Second
	for by, gone := range map[time.Duration]bool{rtoMax: true, 2 * rtoMax: false} {
		bubble(t, 3, func(b *testbed) {
			m := b.managerRetryingTimeouts()
			defer func() { assert.NoError(b, m.Close()) }()
			b.forgetClocks()
			b.delayNextRequests(by)
			l, err := m.TryAcquire(b.Context(), name, time.Hour)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(by + 70*time.Second)
			if gone {
				assert.Equal(b, 3, b.vacantMasters(), "%v late", by)
			} else {
				assert.Equal(b, 3, b.mastersStoring(l.Token()), "%v late; otherwise the other case tests nothing", by)
			}
			assert.Zero(b, m.Stats().Masters[0].PendingReleases)
		})
	}
}

// Where a deadline ends the doubt, one more release is enough.
func TestReleaseInDoubtIsRepeatedOnceAfterDeadline(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerRetryingTimeouts()
		defer func() { assert.NoError(b, m.Close()) }()
		b.delayNextRequests(firstTryDelay)
		l, err := m.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		before := b.Master(0).Commands()
		assert.Equal(b, 1, m.Stats().Masters[0].PendingReleases)
		time.Sleep(timeout + 100*time.Millisecond)
		assert.Zero(b, m.Stats().Masters[0].PendingReleases)
		time.Sleep(5 * time.Minute)
		assert.Equal(b, 2, b.Master(0).Commands()-before, "the release again, and the late acquire")
	})
}

// abandoningHook is a go-redis hook that stops waiting for commands with several acquires while
// they go on.
type abandoningHook struct {
	patience time.Duration  // how long it waits
	calls    sync.WaitGroup // the abandoned ones that go on
}

func (h *abandoningHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *abandoningHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *abandoningHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := texts(cmd.Args())
		if !hasOperation(args, "acquire") {
			return next(ctx, cmd)
		}
		if operations, _ := operationsOf(args); len(operations) == 1 {
			return next(ctx, cmd)
		}
		done := make(chan error, 1)
		h.calls.Go(func() { done <- next(context.WithoutCancel(ctx), cmd) })
		select {
		case err := <-done:
			return err
		case <-time.After(h.patience):
			return context.DeadlineExceeded
		}
	}
}

// The replies are written to the commands of that call, which must not be reused for another one
// meanwhile. The other call is abandoned too, so that its own replies do not overwrite what those
// commands say.
func TestRepliesToAbandonedCallAreNoVotes(t *testing.T) {
	for range 5 { // a sync.Pool need not return what was put there last
		bubble(t, 1, testAbandonedCall)
	}
}

func testAbandonedCall(b *testbed) {
	b.Helper()
	client := redis.NewClient(b.Master(0).Options())
	defer func() { assert.NoError(b, client.Close()) }()
	hook := &abandoningHook{patience: 10 * time.Millisecond}
	client.AddHook(hook)
	m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
	require.NoError(b, err)
	defer func() { assert.NoError(b, m.Close()) }()
	b.warmUp(m)
	failures := make(chan map[string]error, 100)
	try := func(names ...string) {
		// The first attempt keeps the lane busy, so that the others share a command.
		b.Master(0).DelayReplies(time.Millisecond, 1)
		for _, n := range append([]string{"busy-" + names[0]}, names...) {
			go func() {
				_, err := m.TryAcquire(b.Context(), n, time.Hour)
				failures <- map[string]error{n: err}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Millisecond / 2)
		b.Master(0).DelayReplies(18*time.Millisecond, 1)
		time.Sleep(time.Millisecond)
	}
	b.Master(0).Set("c", "another", time.Hour)
	b.Master(0).Set("d", "another", time.Hour)
	try("a", "b") // the reply, which grants both, arrives after 19 ms
	time.Sleep(11 * time.Millisecond)
	try("c", "d") // that reply arrives while these calls are under way
	got := map[string]error{}
	for range 6 {
		maps.Copy(got, <-failures)
	}
	for _, n := range []string{"a", "b", "c", "d"} {
		assertReason(b, got[n], quorum.ErrNoQuorum)
	}
	assert.NoError(b, got["busy-a"])
	assert.NoError(b, got["busy-c"])
	hook.calls.Wait()
}

// A majority that stores another token means that the lock was lost inside its window. A minority
// does not.
func TestReleaseReportsLossIfMajorityStoresAnotherToken(t *testing.T) {
	for n, lost := range []bool{false, false, false, true, true, true} {
		bubble(t, 5, func(b *testbed) {
			b.warmUp(b.Manager)
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
			assert.Equal(b, n, b.mastersStoring("another"))
		})
	}
}

// One of the three masters that store another token answers late.
func TestReleaseWaitsForAnswersThatShowLoss(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		b.occupy(3)
		b.Master(0).DelayReplies(100*time.Millisecond, 1)
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
	})
}

// A hook sends each acquire twice, but returns with the first answer. The second one would store
// the token after the release.
func TestSettledRequestIsNotWrittenAgain(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		plain := b.Master(0).Client()
		tried := make(chan error, 100)
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if args := cmd.Args(); hasOperation(texts(args), "acquire") {
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
		assert.Equal(b, 1, b.vacantMasters())
	})
}

// The first try of a release may have handed the lock on, so the token of the next holder is no
// sign of a loss. That is so if a client repeats the request, and if Release is called again after
// too few answers.
func TestRepeatedReleaseIsNoLoss(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerWithRetries(quorum.Options{})
		defer func() { assert.NoError(b, m.Close()) }()
		b.warmUp(m)
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		for _, master := range b.Masters() {
			master.CutReplies(1)
		}
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
	})
	bubble(t, 3, func(b *testbed) {
		m := b.otherManagers(1, quorum.Options{})[0]
		defer func() { assert.NoError(b, m.Close()) }()
		b.warmUp(b.Manager)
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

// The masters that executed the extend would keep the lock for far longer than its window.
func TestFailedExtendIsReleased(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.hang(2)
		assertReason(b, l.Extend(b.Context(), time.Hour), quorum.ErrNoQuorum)
		time.Sleep(time.Millisecond) // both requests time out: an answer in the same instant would count
		b.resume()
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		time.Sleep(ttl)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// The rollback of a failed attempt may arrive after the next attempt. Its token must not count as a
// rival until then.
func TestRetiredTokenDoesNotBlockNextAttempt(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		b.warmUp(b.Manager)
		b.Master(0).Set(name, "another", time.Hour)
		b.Master(1).DelayReplies(time.Millisecond, 1) // it grants the lock, but the attempt fails before
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		b.Master(0).Del(name)
		l, err := b.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		assert.NoError(b, l.Release(b.Context()))
	})
}

// If the token of another client is in the way, it is useless to repeat the attempt.
func TestAttemptIsRepeatedOnlyForRetiredTokens(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		b.warmUp(b.Manager)
		b.occupy(2)
		before := b.Master(0).Commands()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, 2, b.Master(0).Commands()-before, "an attempt and its rollback")
	})
}
