package quorum_test

import (
	"context"
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

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const (
	queueKey   = "redlock:aux:queue{" + name + "}"
	waitersKey = "redlock:aux:waiters{" + name + "}"
	grantTTL   = time.Second // how long a waiter keeps a grant: AttemptTimeout
)

// otherManagers returns n more Managers on the same masters, like those of other processes.
func (b *testbed) otherManagers(n int, opts quorum.Options) []*quorum.Manager {
	b.Helper()
	opts.Clock = b.clock
	managers := make([]*quorum.Manager, n)
	for i := range managers {
		managers[i] = newManager(b.T, b.Cluster, opts)
	}
	return managers
}

func (b *testbed) closeAll(managers []*quorum.Manager) {
	b.Helper()
	for _, m := range managers {
		assert.NoError(b, m.Close())
	}
}

// acquireResult is the result of a call of Acquire.
type acquireResult struct {
	waiter int
	lock   *quorum.Lock
	err    error
	at     time.Time
}

// startWaiter calls Acquire in the background, and returns when the caller is in the queues.
func (b *testbed) startWaiter(
	ctx context.Context, waiter int, m *quorum.Manager, results chan<- acquireResult, opts ...quorum.AcquireOption,
) {
	b.Helper()
	go func() {
		l, err := m.Acquire(ctx, name, ttl, opts...)
		results <- acquireResult{waiter, l, err, time.Now()}
	}()
	time.Sleep(10 * time.Millisecond)
}

// nextLock returns the next result, which must be a lock.
func (b *testbed) nextLock(results <-chan acquireResult) acquireResult {
	b.Helper()
	s := <-results
	require.NoError(b, s.err)
	return s
}

// releaseNext releases the lock that is acquired next.
func (b *testbed) releaseNext(results <-chan acquireResult) {
	b.Helper()
	require.NoError(b, b.nextLock(results).lock.Release(b.Context()))
}

// releaseInOrder releases the lock of n waiters, which must acquire it in order.
func (b *testbed) releaseInOrder(results <-chan acquireResult, n int) {
	b.Helper()
	for i := range n {
		s := b.nextLock(results)
		require.Equal(b, i, s.waiter)
		require.NoError(b, s.lock.Release(b.Context()))
	}
}

// queueLengths returns the length of each master's queue.
func (b *testbed) queueLengths() (n []int) {
	b.Helper()
	i, err := b.Inspect(b.Context(), name)
	require.NoError(b, err)
	for _, m := range i.Masters {
		n = append(n, m.Waiting)
	}
	return n
}

// Waiters of several Managers acquire the lock in the order in which they queued up, each at the
// moment of the release.
func TestWaitersAreServedInOrder(t *testing.T) {
	const k = 8
	for _, opts := range []quorum.Options{{}, {Fencing: true}} {
		bubbleWith(t, 5, opts, func(b *testbed) {
			managers := b.otherManagers(k, opts)
			defer b.closeAll(managers)
			l := b.acquire()
			results := make(chan acquireResult, k)
			for i, m := range managers {
				b.startWaiter(b.Context(), i, m, results)
			}
			assert.Equal(b, []int{k, k, k, k, k}, b.queueLengths())
			last := l.Fence()
			require.NoError(b, l.Release(b.Context()))
			released := time.Now()
			for i := range k {
				s := b.nextLock(results)
				assert.Equal(b, i, s.waiter)
				assert.Less(b, s.at.Sub(released), time.Millisecond, "handed off, not polled for")
				if opts.Fencing {
					assert.Greater(b, s.lock.Fence(), last)
					last = s.lock.Fence()
				}
				assert.InDelta(b, time.Second, s.lock.Validity(), float64(50*time.Millisecond), "as long as the grants stand")
				time.Sleep(100 * time.Millisecond) // the lock is extended soon
				assert.Equal(b, window-90*time.Millisecond, s.lock.Validity())
				assert.Equal(b, 5, b.mastersStoring(s.lock.Token()))
				for _, m := range b.Masters() {
					assert.InDelta(b, ttl-90*time.Millisecond, m.TTL(name), float64(2*time.Millisecond),
						"the whole TTL, not the grant's")
				}
				time.Sleep(time.Second)
				require.NoError(b, s.lock.Release(b.Context()))
				released = time.Now()
			}
			synctest.Wait()
			assert.Equal(b, []int{0, 0, 0, 0, 0}, b.queueLengths())
			assert.Equal(b, 5, b.vacantMasters())
		})
	}
}

// Only one waiter of each Manager contends on the masters. The others wait in its process. All are
// served in order.
func TestLocalWaitersQueueLocally(t *testing.T) {
	const k = 50
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		results := make(chan acquireResult, k)
		for i := range k {
			b.startWaiter(b.Context(), i, b.Manager, results)
		}
		assert.Equal(b, []int{1, 1, 1}, b.queueLengths())
		require.NoError(b, l.Release(b.Context()))
		b.releaseInOrder(results, k)
	})
}

// A Manager with one waiter has its turn after the first of the twenty waiters of another Manager.
func TestManagersTakeTurns(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		other := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(other)
		l := b.acquire()
		results := make(chan acquireResult, 21)
		for i := range 20 {
			b.startWaiter(b.Context(), i, b.Manager, results)
		}
		b.startWaiter(b.Context(), 99, other[0], results)
		require.NoError(b, l.Release(b.Context()))
		var order []int
		for range 21 {
			s := b.nextLock(results)
			order = append(order, s.waiter)
			time.Sleep(time.Millisecond)
			require.NoError(b, s.lock.Release(b.Context()))
		}
		assert.Equal(b, []int{0, 99}, order[:2])
	})
}

// Waiters send few commands while nothing happens. So a crowd of them does not keep the masters
// busy.
func TestWaitersSendFewCommands(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		managers := b.otherManagers(10, quorum.Options{})
		defer b.closeAll(managers)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		results := make(chan acquireResult, len(managers))
		ctx, cancel := context.WithCancel(b.Context())
		for i, m := range managers {
			b.startWaiter(ctx, i, m, results)
		}
		before := b.Master(0).Commands()
		time.Sleep(time.Minute)
		assert.Less(b, (b.Master(0).Commands()-before)/60, 4, "per second, for all ten")
		assert.Equal(b, []int{10, 10, 10}, b.queueLengths(), "they keep their places")
		cancel()
		for range managers {
			s := <-results
			assertReason(b, s.err, quorum.ErrTaken)
			assert.ErrorIs(b, s.err, context.Canceled)
		}
		synctest.Wait()
		assert.Equal(b, []int{0, 0, 0}, b.queueLengths(), "canceled waiters leave the queue at once")
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait() // Release waits only for a majority
		assert.Empty(b, b.Master(0).Keys())
	})
}

// deafClient is a client that subscribes to another server, so that no message reaches it. If the
// client of that server is closed, subscriptions fail.
type deafClient struct {
	*redis.Client
	elsewhere *redis.Client
}

func (d deafClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return d.elsewhere.Subscribe(ctx, channels...)
}

// deafManager returns a Manager whose clients subscribe elsewhere.
func (b *testbed) deafManager(elsewhere *redis.Client, opts quorum.Options) *quorum.Manager {
	b.Helper()
	var clients []redis.UniversalClient
	for _, c := range b.Clients() {
		clients = append(clients, deafClient{c.(*redis.Client), elsewhere})
	}
	opts.Clock = b.clock
	m, err := quorum.New(clients, &opts)
	require.NoError(b, err)
	return m
}

// A waiter that missed the message learns of the grant when it asks the masters. The grant lasts
// until then.
func TestLostMessageCostsNoMoreThanItsGrant(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		elsewhere, err := quorumtest.StartInProcess(1)
		require.NoError(b, err)
		refused := redis.NewClient(elsewhere.Master(0).Options())
		require.NoError(b, refused.Close())
		for fault, server := range map[string]*redis.Client{
			"messages are lost": elsewhere.Master(0).Client(), "subscriptions fail": refused,
		} {
			m := b.deafManager(server, quorum.Options{})
			l := b.acquire()
			results := make(chan acquireResult, 1)
			b.startWaiter(b.Context(), 0, m, results)
			time.Sleep(time.Second)
			assert.LessOrEqual(b, took(func() {
				require.NoError(b, l.Release(b.Context()))
				b.releaseNext(results)
			}), grantTTL, fault)
			assert.NoError(b, m.Close())
		}
		require.NoError(b, elsewhere.Close())
	})
}

// Other clients release the lock without handing it on, so no message comes. A waiter finds out by
// polling, even after a long wait.
func TestReleaseByOtherClientIsNoticed(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.occupy(5)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		time.Sleep(time.Minute)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		const turn = 4 * time.Second / 5 // each master has its turn every four seconds
		assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), turn+300*time.Millisecond,
			"one master tells, and the others are polled soon")
	})
}

// waiterRecord is what a master's record of a waiter says.
type waiterRecord struct{ token, question, channel string }

// grant returns the message that the master has granted the lock to the waiter, age after that
// question arrived.
func (r waiterRecord) grant(question string, age time.Duration) string {
	return fmt.Sprint(r.token, " ", question, " ", age.Microseconds(), " 0")
}

// waiterRecord returns a master's record of a waiter.
func (b *testbed) waiterRecord(master int, token string) waiterRecord {
	b.Helper()
	record := b.Master(master).Client().HGet(b.Context(), waitersKey, token).Val()
	fields := strings.Fields(record) // see queue.lua
	require.Len(b, fields, 8)
	return waiterRecord{token, fields[3], fields[7]}
}

// waiterRecords returns each master's record of its only waiter.
func (b *testbed) waiterRecords() (records []waiterRecord) {
	b.Helper()
	synctest.Wait()
	for i, m := range b.Masters() {
		tokens := m.Client().HKeys(b.Context(), waitersKey).Val()
		require.Len(b, tokens, 1)
		records = append(records, b.waiterRecord(i, tokens[0]))
	}
	return records
}

// grant makes a master hand the lock on to a waiter, whoever has it.
func (b *testbed) grant(master int, r waiterRecord) {
	b.Helper()
	b.Master(master).Set(name, r.token, grantTTL)
	b.publish(master, r.channel, r.grant(r.question, 10*time.Millisecond))
}

// publish publishes a message on a waiter's channel. The waiter listens.
func (b *testbed) publish(master int, channel, message string) {
	b.Helper()
	listeners, err := b.Master(master).Client().Publish(b.Context(), channel, message).Result()
	require.NoError(b, err)
	require.EqualValues(b, 1, listeners)
}

// Anybody can publish on a notifier channel. Nonsense does nothing. A message that names a question
// of long ago, when a grant would be over by now, never counts as a vote: the waiter only tries to
// confirm the lock.
func TestPublishedMessagesGrantNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		time.Sleep(2 * grantTTL)
		for range 5 {
			// Read every queue before publishing. Once two masters have named the waiter, it tries
			// to confirm the lock, is refused, and queues up again.
			records := b.waiterRecords()
			for i, r := range records {
				for _, message := range []string{
					r.token, "", "nonsense", strings.Repeat("x", 1<<16), "\x00\xff",
					r.grant(r.question, -time.Microsecond), r.grant("-"+r.question, 0), r.grant(r.question, 2*time.Hour),
				} {
					b.publish(i, r.channel, message)
				}
			}
			require.Equal(b, records[0].token, b.waiterRecords()[0].token)
			for i, r := range records {
				b.publish(i, r.channel, r.grant("0", 0))
			}
			time.Sleep(100 * time.Millisecond)
			require.NotEqual(b, records[0].token, b.waiterRecords()[0].token, "it tried to confirm")
			select {
			case s := <-results:
				require.Fail(b, "acquired", "%v", s)
			default:
			}
			assert.Positive(b, l.Validity())
		}
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
	})
}

// plantWaiter queues a waiter that never does anything.
func (b *testbed) plantWaiter(token string, ticket int64, lease time.Duration) {
	b.Helper()
	for _, m := range b.Masters() {
		c := m.Client()
		until := time.Now().Add(lease).UnixMilli()
		require.NoError(b, c.ZAdd(b.Context(), queueKey, redis.Z{Score: float64(ticket), Member: token}).Err())
		record := fmt.Sprint("2 ", until, " ", grantTTL.Milliseconds(), " 0 ", time.Now().UnixMicro(), " 0 0 nowhere")
		require.NoError(b, c.HSet(b.Context(), waitersKey, token, record).Err())
	}
}

// Each dead waiter delays those behind it by the grant that it does not use, and by a second. One
// whose lease has ended delays nobody.
func TestDeadWaiterCostsItsGrantAndASecond(t *testing.T) {
	for dead := range 4 {
		bubble(t, 3, func(b *testbed) {
			l := b.acquire()
			for i := range dead {
				b.plantWaiter(fmt.Sprint("dead-", i), int64(1+i), time.Minute)
			}
			b.plantWaiter("gone", 0, time.Millisecond)
			waiter := b.otherManagers(1, quorum.Options{})
			defer b.closeAll(waiter)
			results := make(chan acquireResult, 1)
			b.startWaiter(b.Context(), 0, waiter[0], results)
			time.Sleep(time.Second)
			require.NoError(b, l.Release(b.Context()))
			assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), time.Duration(dead)*(grantTTL+time.Second),
				"%d dead", dead)
		})
	}
}

// However many waiters died, once the masters forget them they delay nobody.
func TestDeadWaitersCostTheirLeaseAtMost(t *testing.T) {
	const lease = 15 * time.Second
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		for i := range 50 {
			b.plantWaiter(fmt.Sprint("dead-", i), int64(i), lease)
		}
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), lease+grantTTL+time.Second)
	})
}

// When a holder dies, its lock goes to the first in the queue as soon as the TTL has passed.
func TestDeadHolderCostsItsTTL(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		managers := b.otherManagers(3, quorum.Options{})
		defer b.closeAll(managers)
		b.acquire() // never released
		start := time.Now()
		results := make(chan acquireResult, 3)
		for i, m := range managers {
			b.startWaiter(b.Context(), i, m, results)
		}
		for i := range managers {
			s := b.nextLock(results)
			assert.Equal(b, i, s.waiter)
			assert.LessOrEqual(b, s.at.Sub(start), ttl+20*time.Millisecond)
			require.NoError(b, s.lock.Release(b.Context()))
		}
	})
}

// If the lock is free and the first in the queue does not take it, the second does.
func TestDeadFirstWaiterIsSkipped(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(3)
		b.plantWaiter("dead", 1, time.Minute)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		time.Sleep(time.Second)
		for _, m := range b.Masters() {
			m.Del(name)
		}
		assert.LessOrEqual(b, took(func() { b.nextLock(results) }), 2*time.Second)
	})
}

// A waiter may be canceled while grants are on their way. It gives them back, so that the next
// waiter does not have to wait for them to expire.
func TestCanceledWaiterGivesItsGrantsBack(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		managers := b.otherManagers(2, quorum.Options{})
		defer b.closeAll(managers)
		l := b.acquire()
		results := make(chan acquireResult, 2)
		ctx, cancel := context.WithCancel(b.Context())
		b.startWaiter(ctx, 0, managers[0], results)
		b.startWaiter(b.Context(), 1, managers[1], results)
		// The masters grant the lock, but their replies are late.
		b.delayReplies(200*time.Millisecond, quorumtest.Always)
		released := make(chan error, 1)
		go func() { released <- l.Release(b.Context()) }()
		time.Sleep(100 * time.Millisecond)
		assert.Zero(b, b.mastersStoring(l.Token()))
		b.delayReplies(0, 0)
		cancel()
		s := <-results
		assert.Equal(b, 0, s.waiter)
		assert.ErrorIs(b, s.err, context.Canceled)
		s = b.nextLock(results)
		assert.Equal(b, 1, s.waiter)
		require.NoError(b, <-released)
		require.NoError(b, s.lock.Release(b.Context()))
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// Masters may disagree for a moment about which waiter is first. Then the one with the lowest
// ticket wins.
func TestSplitGrantsGoToTheLowestTicket(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		managers := b.otherManagers(3, quorum.Options{})
		defer b.closeAll(managers)
		results := make(chan acquireResult, 3)
		for i, m := range managers {
			b.startWaiter(b.Context(), i, m, results)
		}
		// Make each waiter first on some masters, and none on a majority.
		tokens := b.Master(0).Client().ZRange(b.Context(), queueKey, 0, -1).Val()
		require.Len(b, tokens, 3)
		for i, m := range b.Masters() {
			first := redis.Z{Score: 0, Member: tokens[i%3]}
			require.NoError(b, m.Client().ZAdd(b.Context(), queueKey, first).Err())
		}
		require.NoError(b, l.Release(b.Context()))
		assert.Less(b, took(func() {
			s := b.nextLock(results)
			assert.Equal(b, 0, s.waiter, "the lowest ticket")
			require.NoError(b, s.lock.Release(b.Context()))
		}), grantTTL)
		for range 2 {
			b.releaseNext(results)
		}
	})
}

// A waiter gives back what one master granted it. Then the messages of the others arrive. They do
// not count: the releases of the token are on their way to these masters too.
func TestGrantsAfterGivingBackDoNotCount(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(3)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		records := b.waiterRecords()
		b.grant(0, records[0])
		time.Sleep(grantTTL / 4)
		require.Equal(b, []string{"", "another", "another"}, b.storedTokens(), "given back")
		b.grant(1, records[1])
		b.grant(2, records[2])
		time.Sleep(10 * time.Millisecond)
		select {
		case s := <-results:
			require.Fail(b, "acquired", "%v", s)
		default:
		}
		b.releaseNext(results) // after the grants
	})
}

// One master grants the lock to a waiter while another client holds it. The waiter cannot use that
// grant, and does not pass it on to the next one. So the holder can repair its key there.
func TestStrayGrantIsNotPassedAround(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(1)
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(b, err)
		managers := b.otherManagers(3, quorum.Options{})
		defer b.closeAll(managers)
		results := make(chan acquireResult, 3)
		for i, m := range managers {
			b.startWaiter(b.Context(), i, m, results)
		}
		stray := b.Master(0)
		b.grant(0, b.waiterRecord(0, stray.Client().ZRange(b.Context(), queueKey, 0, 0).Val()[0]))
		time.Sleep(ttl)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		assert.Positive(b, l.Validity())
		assert.Equal(b, []int{3, 3, 3}, b.queueLengths())
		before := stray.Commands()
		time.Sleep(10 * time.Second)
		assert.Less(b, stray.Commands()-before, 100, "the grant is not passed around")
		require.NoError(b, l.Release(b.Context()))
		b.releaseInOrder(results, len(managers))
	})
}

// Masters that are out of memory still release the lock and hand it on.
func TestFullMastersReleaseAndHandOff(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		for _, m := range b.Masters() {
			m.Full()
		}
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), time.Second)
	})
}

// A rolling restart of masters that keep nothing on disk loses neither the holder's lock nor the
// queue.
func TestRollingRestartWithWaiters(t *testing.T) {
	for _, opts := range []quorum.Options{{}, {RestartGuard: 30 * time.Second}} {
		bubbleWith(t, 3, opts, func(b *testbed) {
			if opts.RestartGuard > 0 {
				require.NoError(b, b.Bootstrap(b.Context()))
			}
			managers := b.otherManagers(3, opts)
			defer b.closeAll(managers)
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.AutoRenew(0))
			require.NoError(b, err)
			synctest.Wait() // until every master has granted the lock, not just a quorum
			results := make(chan acquireResult, 3)
			for i, m := range managers {
				b.startWaiter(b.Context(), i, m, results)
			}
			for _, m := range b.Masters() {
				require.NoError(b, m.Restart(quorumtest.LoseMemory))
				time.Sleep(2 * ttl)
			}
			assert.Positive(b, l.Validity())
			assert.Equal(b, 3, b.mastersStoring(l.Token()))
			assert.Equal(b, []int{3, 3, 3}, b.queueLengths())
			time.Sleep(opts.RestartGuard)
			require.NoError(b, l.Release(b.Context()))
			b.releaseInOrder(results, len(managers))
		})
	}
}

// A hand-off by a quarantined master would be a vote for a new lock.
func TestQuarantinedMasterDoesNotHandOff(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: time.Minute}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		l := b.acquire()
		waiter := b.otherManagers(1, quorum.Options{RestartGuard: time.Minute})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		for _, m := range b.Masters()[:2] {
			m.Del(marker) // has the effect of a restart
		}
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(100 * time.Millisecond)
		assert.Equal(b, 0, b.mastersStoring(l.Token()))
		assert.GreaterOrEqual(b, b.vacantMasters(), 2)
		assert.InDelta(b, time.Minute, took(func() { assert.NoError(b, (<-results).err) }), float64(2*time.Second))
	})
}

// Clients of other libraries know nothing of the queue. If one of them takes the lock, the waiter
// gets it when that key expires.
func TestOtherLibrariesMayJumpTheQueue(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiter[0], results)
		for _, m := range b.Masters() {
			m.Del(name)
			m.Set(name, "another", 5*time.Second)
		}
		_ = l.Release(b.Context())
		assert.LessOrEqual(b, took(func() { b.releaseNext(results) }), 5*time.Second+20*time.Millisecond)
	})
}

// A waiter that never made an attempt of its own gets the reason from the contender that it waited
// for.
func TestLocalWaiterThatGivesUpLearnsWhy(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.acquire()
		results := make(chan acquireResult, 2)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		b.startWaiter(b.Context(), 0, b.Manager, results)
		b.startWaiter(ctx, 1, b.Manager, results)
		s := <-results
		assert.Equal(b, 1, s.waiter)
		assertReason(b, s.err, quorum.ErrTaken)
		assert.ErrorIs(b, s.err, context.DeadlineExceeded)
		require.NoError(b, b.Manager.Close())
		assert.ErrorIs(b, (<-results).err, quorum.ErrClosed)
	})
}

// Entries of dead waiters must not pile up, so the queues expire with the leases in them.
func TestQueueKeysExpire(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		for _, m := range b.Masters() {
			assert.InDelta(b, 15*time.Second, m.TTL(queueKey), float64(time.Second))
			assert.InDelta(b, 15*time.Second, m.TTL(waitersKey), float64(time.Second))
		}
	})
}

// A wrong clock of its own must neither put a waiter first nor keep it last.
func TestTicketsUseTheMastersClocks(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.AdvanceClock(time.Hour)
		}
		b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
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

// Ten Managers take a lock ten times each. All succeed, and no two of them hold it at the same
// time.
func TestEachOfManyContendersHoldsAlone(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		managers := b.otherManagers(10, quorum.Options{})
		defer b.closeAll(managers)
		var all sync.WaitGroup
		var history quorumtest.History
		start := time.Now()
		for i, m := range managers {
			all.Go(func() {
				for range 10 {
					l, err := m.Acquire(b.Context(), name, ttl)
					if !assert.NoError(b, err) {
						return
					}
					from := time.Since(start)
					time.Sleep(2 * time.Millisecond)
					history.Add(quorumtest.Hold{
						Name: name, Holder: strconv.Itoa(i), Token: l.Token(), From: from, To: time.Since(start),
					})
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

// Other programs may have values under the auxiliary keys. Locks can still be released and waited
// for.
func TestForeignValuesUnderAuxKeysBlockNobody(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.Set(queueKey, "a string", 0)
			m.Set(waitersKey, "a string", 0)
		}
		l := b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results) // by polling
	})
}

// Some of these names cannot serve as a hash tag, so their auxiliary keys may be in other Cluster
// slots than their locks. Without a Cluster that does not matter.
func TestNamesUnfitAsHashTagsAreWaitedFor(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
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

// Close ends every waiter, even if a master hangs.
func TestCloseEndsWaiters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		m := b.otherManagers(1, quorum.Options{})[0]
		results := make(chan acquireResult, 2)
		b.startWaiter(b.Context(), 0, m, results)
		b.startWaiter(b.Context(), 1, m, results)
		b.Master(0).Hang()
		_ = m.Close() // the entry on the hung master is left to its lease
		for range 2 {
			assert.ErrorIs(b, (<-results).err, quorum.ErrClosed)
		}
		b.resume()
		require.NoError(b, l.Release(b.Context()))
	})
}

// One master hands the lock on only after the waiter holds it by the others. That master must keep
// it for as long as they do. A waiter that needs a fence, which the holder does not propose,
// confirms the lock at once. Any other extends it a little later.
func TestLateHandOffGetsTheFullTTL(t *testing.T) {
	for fencing, extended := range map[bool]time.Duration{false: 10 * time.Millisecond, true: 0} {
		bubble(t, 3, func(b *testbed) {
			l := b.acquire()
			waiter := b.otherManagers(1, quorum.Options{Fencing: fencing})
			defer b.closeAll(waiter)
			results := make(chan acquireResult, 1)
			b.startWaiter(b.Context(), 0, waiter[0], results)
			b.warmUpReleases()
			b.Master(2).DelayRequests(30*time.Millisecond, 1)
			require.NoError(b, l.Release(b.Context()))
			s := b.nextLock(results)
			assert.Equal(b, []string{s.lock.Token(), s.lock.Token(), l.Token()}, b.storedTokens(),
				"not released on the last yet")
			time.Sleep(500 * time.Millisecond)
			assert.Equal(b, 3, b.mastersStoring(s.lock.Token()))
			assert.InDelta(b, ttl-500*time.Millisecond+extended, b.Master(2).TTL(name), float64(2*time.Millisecond))
			require.NoError(b, s.lock.Release(b.Context()))
		})
	}
}

// warmUpReleases makes the masters cache the release script.
func (b *testbed) warmUpReleases() {
	b.Helper()
	l := b.acquireNamed("warm")
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
}

// A waiter in the queues does not take a key that is vacant on only a minority of the masters.
func TestWaitingGrantsNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(3)
		waiter := b.otherManagers(1, quorum.Options{})
		defer b.closeAll(waiter)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		results := make(chan acquireResult, 1)
		b.startWaiter(ctx, 0, waiter[0], results)
		b.Master(0).Del(name)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			assert.Equal(b, []string{"", "another", "another"}, b.storedTokens())
		}
		assertReason(b, (<-results).err, quorum.ErrTaken)
	})
}

// deafAtFirst is a deafClient until it subscribes a second time.
type deafAtFirst struct {
	deafClient
	subscribed *atomic.Int32
}

func (d deafAtFirst) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	if d.subscribed.Add(1) > 1 {
		return d.Client.Subscribe(ctx, channels...)
	}
	return d.deafClient.Subscribe(ctx, channels...)
}

// A subscription may be with a server that releases are no longer sent to, such as an old primary
// that goes on after a failover. It is made again, with the right server.
func TestSubscriptionToReplacedServerIsRenewed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		elsewhere, err := quorumtest.StartInProcess(1)
		require.NoError(b, err)
		var clients []redis.UniversalClient
		for _, c := range b.Clients() {
			client := deafClient{c.(*redis.Client), elsewhere.Master(0).Client()}
			clients = append(clients, deafAtFirst{client, new(atomic.Int32)})
		}
		m, err := quorum.New(clients, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		l := b.acquire()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, m, results)
		time.Sleep(time.Second) // it asks the masters, and they say that nobody listens
		assert.Zero(b, took(func() {
			require.NoError(b, l.Release(b.Context()))
			b.releaseNext(results)
		}), "by a message")
		assert.NoError(b, m.Close())
		require.NoError(b, elsewhere.Close())
	})
}

// The origin of a clock is arbitrary, so its instants may be negative.
func TestClockMayBeginAnywhere(t *testing.T) {
	for _, begin := range []clock.Instant{-clock.Instant(time.Hour), -1, 0} {
		bubbleWith(t, 3, quorum.Options{Clock: beginningClock{clock.Runtime(), begin}}, func(b *testbed) {
			waiter := b.otherManagers(1, quorum.Options{})
			defer b.closeAll(waiter)
			l := b.handOff(b.Manager, waiter[0], func() {})
			assert.Greater(b, l.Validity(), 900*time.Millisecond, "the lock was handed on")
			require.NoError(b, l.Release(b.Context()))
		})
	}
}

// beginningClock is a clock that begins at the given instant.
type beginningClock struct {
	clock.Clock
	begin clock.Instant
}

// Now returns the time since the clock was made, from its beginning.
func (c beginningClock) Now() clock.Instant { return c.begin.Add(c.Clock.Now().Sub(0)) }
