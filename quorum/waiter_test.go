package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const (
	queueKey   = "redlock:aux:queue{" + name + "}"
	waitersKey = "redlock:aux:waiters{" + name + "}"
	grantTTL   = time.Second // a waiter is granted the lock for AttemptTimeout
)

// others returns Managers on the same masters, as on other machines.
func (b *bench) others(n int, opts quorum.Options) []*quorum.Manager {
	b.Helper()
	opts.Clock = b.clock
	managers := make([]*quorum.Manager, n)
	for i := range managers {
		managers[i] = newManager(b.T, b.Cluster, opts)
	}
	return managers
}

func (b *bench) closeAll(managers []*quorum.Manager) {
	b.Helper()
	for _, m := range managers {
		assert.NoError(b, m.Close())
	}
}

// served is what came of a call of Acquire.
type served struct {
	who  int
	lock *quorum.Lock
	err  error
	at   time.Time
}

// wait has somebody wait for the lock, until he is in the queues.
func (b *bench) wait(ctx context.Context, who int, m *quorum.Manager, got chan<- served) {
	b.Helper()
	go func() {
		l, err := m.Acquire(ctx, name, ttl)
		got <- served{who, l, err, time.Now()}
	}()
	time.Sleep(10 * time.Millisecond)
}

// waiting returns how many are in each master's queue.
func (b *bench) waiting() (n []int) {
	b.Helper()
	i, err := b.Inspect(b.Context(), name)
	require.NoError(b, err)
	for _, m := range i.Masters {
		n = append(n, m.Waiting)
	}
	return n
}

// TestWaitersAreServedInOrder, across Managers, and at once.
func TestWaitersAreServedInOrder(t *testing.T) {
	const k = 8
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 5, opts, func(b *bench) {
			managers := b.others(k, opts)
			defer b.closeAll(managers)
			l := b.acquire()
			got := make(chan served, k)
			for i, m := range managers {
				b.wait(b.Context(), i, m, got)
			}
			assert.Equal(b, []int{k, k, k, k, k}, b.waiting())
			last := l.Fence()
			require.NoError(b, l.Release(b.Context()))
			released := time.Now()
			for i := range k {
				s := <-got
				require.NoError(b, s.err)
				assert.Equal(b, i, s.who)
				assert.Less(b, s.at.Sub(released), time.Millisecond, "it is handed on, not looked for")
				if opts.Fencing {
					assert.Greater(b, s.lock.Fence(), last)
					last = s.lock.Fence()
				}
				assert.Equal(b, window, s.lock.Validity())
				time.Sleep(100 * time.Millisecond) // some may have been left to him only after he asked
				assert.Equal(b, 5, b.count(s.lock.Token()))
				for _, m := range b.Masters() {
					assert.InDelta(b, ttl-100*time.Millisecond, m.TTL(name), float64(2*time.Millisecond), "it has the whole TTL, not the grant's")
				}
				time.Sleep(time.Second)
				require.NoError(b, s.lock.Release(b.Context()))
				released = time.Now()
			}
			synctest.Wait()
			assert.Equal(b, []int{0, 0, 0, 0, 0}, b.waiting())
			assert.Equal(b, 5, b.count(""))
		})
	}
}

// TestLocalWaitersQueueLocally: one of them contends on the masters, and all are
// served in order.
func TestLocalWaitersQueueLocally(t *testing.T) {
	const k = 50
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		got := make(chan served, k)
		for i := range k {
			b.wait(b.Context(), i, b.Manager, got)
		}
		assert.Equal(b, []int{1, 1, 1}, b.waiting())
		require.NoError(b, l.Release(b.Context()))
		for i := range k {
			s := <-got
			require.NoError(b, s.err)
			require.Equal(b, i, s.who)
			require.NoError(b, s.lock.Release(b.Context()))
		}
	})
}

// TestLocalWaitersTakeTurnsWithOthers: who waits alone on his machine is not put
// off by a crowd on another.
func TestLocalWaitersTakeTurnsWithOthers(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		alone := b.others(1, quorum.Options{})
		defer b.closeAll(alone)
		l := b.acquire()
		got := make(chan served, 21)
		for i := range 20 {
			b.wait(b.Context(), i, b.Manager, got)
		}
		b.wait(b.Context(), 99, alone[0], got)
		require.NoError(b, l.Release(b.Context()))
		var order []int
		for range 21 {
			s := <-got
			require.NoError(b, s.err)
			order = append(order, s.who)
			time.Sleep(time.Millisecond)
			require.NoError(b, s.lock.Release(b.Context()))
		}
		assert.Equal(b, []int{0, 99}, order[:2])
	})
}

// TestWaitingCostsLittle: a waiter sends a few commands a second, and the next one
// fewer.
func TestWaitingCostsLittle(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		managers := b.others(10, quorum.Options{})
		defer b.closeAll(managers)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		got := make(chan served, len(managers))
		ctx, cancel := context.WithCancel(b.Context())
		for i, m := range managers {
			b.wait(ctx, i, m, got)
		}
		before := b.Master(0).Commands()
		time.Sleep(time.Minute)
		assert.Less(b, (b.Master(0).Commands()-before)/60, 15, "a second, for all ten")
		assert.Equal(b, []int{10, 10, 10}, b.waiting(), "their places are kept")
		cancel()
		for range managers {
			s := <-got
			assertReason(b, s.err, quorum.ErrTaken)
			assert.ErrorIs(b, s.err, context.Canceled)
		}
		synctest.Wait()
		assert.Equal(b, []int{0, 0, 0}, b.waiting(), "who is cancelled leaves the queue at once")
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait() // a majority is enough for Release
		assert.Empty(b, b.Master(0).Keys())
	})
}

// deaf is a client whose subscriptions lead elsewhere, so that no message reaches
// it; with no client to lead to, they fail.
type deaf struct {
	*redis.Client
	elsewhere *redis.Client
}

func (d deaf) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return d.elsewhere.Subscribe(ctx, channels...)
}

func (b *bench) deafTo(elsewhere *redis.Client) *quorum.Manager {
	b.Helper()
	var clients []redis.UniversalClient
	for _, c := range b.Clients() {
		clients = append(clients, deaf{c.(*redis.Client), elsewhere})
	}
	m, err := quorum.New(clients, &quorum.Options{Clock: b.clock})
	require.NoError(b, err)
	return m
}

// TestLostMessagesCostBoundedTime: the waiter asks how things stand, and the lock
// is kept for him until then.
func TestLostMessagesCostBoundedTime(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		elsewhere, err := quorumtest.StartInProcess(1)
		require.NoError(b, err)
		refused := redis.NewClient(elsewhere.Master(0).Options())
		require.NoError(b, refused.Close())
		for what, to := range map[string]*redis.Client{"lost": elsewhere.Master(0).Client(), "no subscriptions": refused} {
			m := b.deafTo(to)
			l := b.acquire()
			got := make(chan served, 1)
			b.wait(b.Context(), 0, m, got)
			time.Sleep(time.Second)
			assert.LessOrEqual(b, took(func() {
				require.NoError(b, l.Release(b.Context()))
				s := <-got
				require.NoError(b, s.err)
				require.NoError(b, s.lock.Release(b.Context()))
			}), grantTTL, what)
			assert.NoError(b, m.Close())
		}
		require.NoError(b, elsewhere.Close())
	})
}

// inboxes returns, for each master, the inbox of the one waiter there, by its token.
func (b *bench) inboxes() (inboxes []map[string]string) {
	b.Helper()
	synctest.Wait()
	for _, m := range b.Masters() {
		records := m.Client().HGetAll(b.Context(), waitersKey).Val()
		require.Len(b, records, 1)
		for token, record := range records {
			inboxes = append(inboxes, map[string]string{token: strings.SplitN(record, " ", 3)[2]})
		}
	}
	return inboxes
}

// TestPublishedNonsenseIsNothing: anybody may publish there, also what waiters
// wait for.
func TestPublishedNonsenseIsNothing(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		for range 5 {
			// Every queue is read before anything is published: once two masters have
			// named the waiter it claims the lock, is refused, and queues up again.
			inboxes := b.inboxes()
			for i, m := range b.Masters() {
				for token, inbox := range inboxes[i] {
					for _, payload := range []string{token, "", "nonsense", strings.Repeat("x", 1<<16), "\x00\xff"} {
						require.NoError(b, m.Client().Publish(b.Context(), inbox, payload).Err())
					}
				}
			}
			time.Sleep(100 * time.Millisecond)
			select {
			case s := <-got:
				require.Fail(b, "served", "%v", s)
			default:
			}
			assert.Positive(b, l.Validity())
		}
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// plant puts a waiter into the queues who will do nothing.
func (b *bench) plant(token string, ticket int64, lease time.Duration) {
	b.Helper()
	for _, m := range b.Masters() {
		c := m.Client()
		until := time.Now().Add(lease).UnixMilli()
		require.NoError(b, c.ZAdd(b.Context(), queueKey, redis.Z{Score: float64(ticket), Member: token}).Err())
		require.NoError(b, c.HSet(b.Context(), waitersKey, token, fmt.Sprint(until, " ", grantTTL.Milliseconds(), " nowhere")).Err())
	}
}

// TestDeadWaitersCostBoundedTime each: the grant that they do nothing with, and a
// second. Those whose lease is over cost nothing.
func TestDeadWaitersCostBoundedTime(t *testing.T) {
	for dead := range 4 {
		bubble(t, 3, func(b *bench) {
			l := b.acquire()
			for i := range dead {
				b.plant(fmt.Sprint("dead-", i), int64(1+i), time.Minute)
			}
			b.plant("gone", 0, time.Millisecond)
			waiter := b.others(1, quorum.Options{})
			defer b.closeAll(waiter)
			got := make(chan served, 1)
			b.wait(b.Context(), 0, waiter[0], got)
			time.Sleep(time.Second)
			require.NoError(b, l.Release(b.Context()))
			assert.LessOrEqual(b, took(func() {
				s := <-got
				require.NoError(b, s.err)
				require.NoError(b, s.lock.Release(b.Context()))
			}), time.Duration(dead)*(grantTTL+time.Second), "%d dead", dead)
		})
	}
}

// TestDeadHolderCostsItsTTL, and the first in the queue has the lock then.
func TestDeadHolderCostsItsTTL(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		managers := b.others(3, quorum.Options{})
		defer b.closeAll(managers)
		b.acquire() // and never released
		start := time.Now()
		got := make(chan served, 3)
		for i, m := range managers {
			b.wait(b.Context(), i, m, got)
		}
		for i := range managers {
			s := <-got
			require.NoError(b, s.err)
			assert.Equal(b, i, s.who)
			assert.LessOrEqual(b, s.at.Sub(start), ttl+20*time.Millisecond)
			require.NoError(b, s.lock.Release(b.Context()))
		}
	})
}

// TestDeadHeadIsPassedOver: the key is vacant, and the first in the queue does not
// take it.
func TestDeadHeadIsPassedOver(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupy(3)
		b.plant("dead", 1, time.Minute)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, b.Manager, got)
		time.Sleep(time.Second)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		assert.LessOrEqual(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
		}), 2*time.Second)
	})
}

// TestCancelledWaiterGivesBack what it was granted in the same moment.
func TestCancelledWaiterGivesBack(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		managers := b.others(2, quorum.Options{})
		defer b.closeAll(managers)
		l := b.acquire()
		got := make(chan served, 2)
		ctx, cancel := context.WithCancel(b.Context())
		b.wait(ctx, 0, managers[0], got)
		b.wait(b.Context(), 1, managers[1], got)
		// The grants go out, but are told late.
		b.delayReplies(200*time.Millisecond, quorumtest.Always)
		released := make(chan error, 1)
		go func() { released <- l.Release(b.Context()) }()
		time.Sleep(100 * time.Millisecond)
		assert.Zero(b, b.count(l.Token()))
		b.delayReplies(0, 0)
		cancel()
		s := <-got
		assert.Equal(b, 0, s.who)
		assert.ErrorIs(b, s.err, context.Canceled)
		s = <-got
		require.NoError(b, s.err)
		assert.Equal(b, 1, s.who)
		require.NoError(b, <-released)
		require.NoError(b, s.lock.Release(b.Context()))
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""))
	})
}

// TestSplitGrantsConverge to the lowest ticket: the masters disagreed for a moment
// who is first.
func TestSplitGrantsConverge(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		l := b.acquire()
		managers := b.others(3, quorum.Options{})
		defer b.closeAll(managers)
		got := make(chan served, 3)
		for i, m := range managers {
			b.wait(b.Context(), i, m, got)
		}
		// Each is first in some queues, and none in most.
		tokens := b.Master(0).Client().ZRange(b.Context(), queueKey, 0, -1).Val()
		require.Len(b, tokens, 3)
		for i, m := range b.Masters() {
			require.NoError(b, m.Client().ZAdd(b.Context(), queueKey, redis.Z{Score: 0, Member: tokens[i%3]}).Err())
		}
		require.NoError(b, l.Release(b.Context()))
		assert.Less(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
			assert.Equal(b, 0, s.who, "the lowest ticket")
			require.NoError(b, s.lock.Release(b.Context()))
		}), grantTTL)
		for range 2 {
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}
	})
}

// TestStrayGrantDoesNotGoRound: a key that one master had left for nobody is handed
// on to a waiter, who cannot use it while somebody holds the lock. It ends there,
// and the holder repairs his.
func TestStrayGrantDoesNotGoRound(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupy(1)
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		managers := b.others(3, quorum.Options{})
		defer b.closeAll(managers)
		got := make(chan served, 3)
		for i, m := range managers {
			b.wait(b.Context(), i, m, got)
		}
		stray := b.Master(0)
		require.NoError(b, stray.Client().Del(b.Context(), name).Err())
		token := stray.Client().ZRange(b.Context(), queueKey, 0, 0).Val()[0]
		inbox := strings.SplitN(stray.Client().HGet(b.Context(), waitersKey, token).Val(), " ", 3)[2]
		stray.Set(name, token, grantTTL)
		require.NoError(b, stray.Client().Publish(b.Context(), inbox, token).Err())
		time.Sleep(ttl)
		assert.Equal(b, 3, b.count(l.Token()))
		assert.Positive(b, l.Validity())
		assert.Equal(b, []int{3, 3, 3}, b.waiting())
		before := stray.Commands()
		time.Sleep(10 * time.Second)
		assert.Less(b, stray.Commands()-before, 100, "nothing goes round")
		require.NoError(b, l.Release(b.Context()))
		for i := range managers {
			s := <-got
			require.NoError(b, s.err)
			assert.Equal(b, i, s.who)
			require.NoError(b, s.lock.Release(b.Context()))
		}
	})
}

// TestReleaseNeverFailsForWantOfMemory, nor does the hand-off.
func TestReleaseNeverFailsForWantOfMemory(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		for _, m := range b.Masters() {
			m.Full()
		}
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}), time.Second)
	})
}

// TestRollingRestartWithWaiters loses neither the holder's lock nor the queue.
func TestRollingRestartWithWaiters(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {RestartGuard: 30 * time.Second}} {
		bubbleWith(t, 3, opts, func(b *bench) {
			if opts.RestartGuard > 0 {
				require.NoError(b, b.Bootstrap(b.Context()))
			}
			managers := b.others(3, opts)
			defer b.closeAll(managers)
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
			require.NoError(b, err)
			synctest.Wait() // until it stands on every master, not just on a quorum
			got := make(chan served, 3)
			for i, m := range managers {
				b.wait(b.Context(), i, m, got)
			}
			for _, m := range b.Masters() {
				require.NoError(b, m.Restart(quorumtest.LoseMemory))
				time.Sleep(2 * ttl)
			}
			assert.Positive(b, l.Validity())
			assert.Equal(b, 3, b.count(l.Token()))
			assert.Equal(b, []int{3, 3, 3}, b.waiting())
			time.Sleep(opts.RestartGuard)
			require.NoError(b, l.Release(b.Context()))
			for i := range managers {
				s := <-got
				require.NoError(b, s.err)
				assert.Equal(b, i, s.who)
				require.NoError(b, s.lock.Release(b.Context()))
			}
		})
	}
}

// TestHeldOutMastersHandNothingOn: it would be a vote for a new lock.
func TestHeldOutMastersHandNothingOn(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: time.Minute}, func(b *bench) {
		require.NoError(b, b.Bootstrap(b.Context()))
		l := b.acquire()
		waiter := b.others(1, quorum.Options{RestartGuard: time.Minute})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		for _, m := range b.Masters()[:2] {
			m.Del(marker) // as a restart would
		}
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(100 * time.Millisecond)
		assert.Equal(b, 0, b.count(l.Token()))
		assert.GreaterOrEqual(b, b.count(""), 2)
		assert.InDelta(b, time.Minute, took(func() { assert.NoError(b, (<-got).err) }), float64(2*time.Second))
	})
}

// TestOthersMayBargeIn: clients of other libraries know of no queue.
func TestOthersMayBargeIn(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		for _, m := range b.Masters() {
			m.Del(name)
			m.Set(name, "another", 5*time.Second)
		}
		_ = l.Release(b.Context())
		assert.LessOrEqual(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}), 5*time.Second+20*time.Millisecond)
	})
}

// TestWhoGivesUpLocallyIsToldWhy, though it never made an attempt of its own.
func TestWhoGivesUpLocallyIsToldWhy(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.acquire()
		got := make(chan served, 2)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		b.wait(b.Context(), 0, b.Manager, got)
		b.wait(ctx, 1, b.Manager, got)
		s := <-got
		assert.Equal(b, 1, s.who)
		assertReason(b, s.err, quorum.ErrTaken)
		assert.ErrorIs(b, s.err, context.DeadlineExceeded)
		require.NoError(b, b.Manager.Close())
		assert.ErrorIs(b, (<-got).err, quorum.ErrClosed)
	})
}

// TestQueuesDoNotPileUp: what is left of waiters that died is gone when their
// leases are over.
func TestQueuesDoNotPileUp(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.acquire()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, b.Manager, got)
		for _, m := range b.Masters() {
			assert.InDelta(b, 15*time.Second, m.TTL(queueKey), float64(time.Second))
			assert.InDelta(b, 15*time.Second, m.TTL(waitersKey), float64(time.Second))
		}
	})
}

// TestTicketsAreTheMasters: whatever a waiter's own clock says.
func TestTicketsAreTheMasters(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, m := range b.Masters() {
			m.AdvanceClock(time.Hour)
		}
		b.acquire()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, b.Manager, got)
		z := b.Master(0).Client().ZRangeWithScores(b.Context(), queueKey, 0, -1).Val()
		require.Len(b, z, 1)
		assert.InDelta(b, time.Now().Add(time.Hour).UnixMicro(), z[0].Score, 1e6)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, 1, i.Waiting)
		assert.InDelta(b, 10*time.Millisecond, i.Waited, float64(2*time.Millisecond))
		assert.Contains(b, i.String(), "1 waiting, the first for ")
	})
}

// TestManyContend: nobody is lost, and nobody shares.
func TestManyContend(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		managers := b.others(10, quorum.Options{})
		defer b.closeAll(managers)
		var all sync.WaitGroup
		var history quorumtest.History
		start := time.Now()
		for who, m := range managers {
			all.Go(func() {
				for range 10 {
					l, err := m.Acquire(b.Context(), name, ttl)
					if !assert.NoError(b, err) {
						return
					}
					from := time.Since(start)
					time.Sleep(2 * time.Millisecond)
					history.Add(quorumtest.Hold{Name: name, Holder: strconv.Itoa(who), Token: l.Token(), From: from, To: time.Since(start)})
					assert.NoError(b, l.Release(b.Context()))
				}
			})
		}
		all.Wait()
		assert.NoError(b, history.Check())
		assert.Len(b, history.Holds(), 100)
		assert.Less(b, time.Since(start), 2*time.Second)
	})
}

// TestWhatStandsUnderAuxiliaryKeys that is none of this package's does not keep a
// lock from being released.
func TestWhatStandsUnderAuxiliaryKeys(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, m := range b.Masters() {
			m.Set(queueKey, "a string", 0)
			m.Set(waitersKey, "a string", 0)
		}
		l := b.acquire()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, b.Manager, got)
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err, "he polls")
		require.NoError(b, s.lock.Release(b.Context()))
	})
}

// TestUnwrappableNamesAreWaitedForToo, where there is no Cluster.
func TestUnwrappableNamesAreWaitedForToo(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		for _, name := range []string{"}", "a}b", "{}", "{a}b", "\x00"} {
			l := b.acquireNamed(name)
			got := make(chan error, 1)
			go func() {
				l, err := b.Acquire(b.Context(), name, ttl)
				if err == nil {
					err = l.Release(b.Context())
				}
				got <- err
			}()
			time.Sleep(10 * time.Millisecond)
			require.NoError(b, l.Release(b.Context()))
			assert.NoError(b, <-got)
		}
	})
}

// TestCloseWhileWaiting ends all of it, masters that hang included.
func TestCloseWhileWaiting(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		m := b.others(1, quorum.Options{})[0]
		got := make(chan served, 2)
		b.wait(b.Context(), 0, m, got)
		b.wait(b.Context(), 1, m, got)
		b.Master(0).Hang()
		_ = m.Close() // the place on the one that hangs is left to its lease
		for range 2 {
			s := <-got
			assert.True(b, errors.Is(s.err, quorum.ErrClosed), "%v", s.err)
		}
		b.resume()
		require.NoError(b, l.Release(b.Context()))
	})
}

// TestLateHandOffIsKept: one master is left to the waiter only after he has claimed
// the lock on the others. It keeps it for as long as they do.
func TestLateHandOffIsKept(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
		b.warmReleases()
		b.Master(2).DelayRequests(30*time.Millisecond, 1)
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		assert.Equal(b, []string{s.lock.Token(), s.lock.Token(), l.Token()}, b.standing(), "the last is yet to be left")
		time.Sleep(500 * time.Millisecond)
		assert.Equal(b, 3, b.count(s.lock.Token()))
		assert.InDelta(b, ttl-500*time.Millisecond, b.Master(2).TTL(name), float64(2*time.Millisecond))
	})
}

// warmReleases has the masters know what releases are.
func (b *bench) warmReleases() {
	b.Helper()
	l := b.acquireNamed("warm")
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
}

// TestWaitingGrantsNothing: a waiter who asks how things stand does not get what
// nobody has on a minority of the masters.
func TestWaitingGrantsNothing(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupy(3)
		waiter := b.others(1, quorum.Options{})
		defer b.closeAll(waiter)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		got := make(chan served, 1)
		b.wait(ctx, 0, waiter[0], got)
		b.Master(0).Del(name)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			assert.Equal(b, []string{"", "another", "another"}, b.standing())
		}
		assertReason(b, (<-got).err, quorum.ErrTaken)
	})
}

// deafAtFirst is deaf, but for a subscription that is made anew.
type deafAtFirst struct {
	deaf
	again *atomic.Int32
}

func (d deafAtFirst) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	if d.again.Add(1) > 1 {
		return d.Client.Subscribe(ctx, channels...)
	}
	return d.deaf.Subscribe(ctx, channels...)
}

// TestSubscriptionWithAnotherServerIsMadeAnew: nobody asks that server any more, as it
// is with a primary that was replaced and goes on.
func TestSubscriptionWithAnotherServerIsMadeAnew(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		elsewhere, err := quorumtest.StartInProcess(1)
		require.NoError(b, err)
		var clients []redis.UniversalClient
		for _, c := range b.Clients() {
			clients = append(clients, deafAtFirst{deaf{c.(*redis.Client), elsewhere.Master(0).Client()}, new(atomic.Int32)})
		}
		m, err := quorum.New(clients, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		l := b.acquire()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, m, got)
		time.Sleep(time.Second) // it asks how things stand, and is told
		assert.Zero(b, took(func() {
			require.NoError(b, l.Release(b.Context()))
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}), "by a message")
		assert.NoError(b, m.Close())
		require.NoError(b, elsewhere.Close())
	})
}
