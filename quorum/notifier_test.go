package quorum_test

import (
	"context"
	"fmt"
	"net"
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
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/quorum"
)

// subscribedMasters returns how many masters have a subscriber to a notifier channel.
func (b *testbed) subscribedMasters() (n int) {
	b.Helper()
	for _, m := range b.Masters() {
		n += len(m.Client().PubSubChannels(b.Context(), "redlock:aux:channel:*").Val())
	}
	return n
}

// A message counts for the master on whose channel it comes, and databases of one server share
// their channels. So no two masters have the same one.
func TestEachMasterHasItsOwnChannel(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupyFor(3, time.Second)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, b.Manager, results)
		channels := map[string]bool{}
		for i, r := range b.waiterRecords() {
			channels[r.channel] = true
			b.publish(i, r.channel, "a message that one subscriber gets")
		}
		assert.Len(b, channels, 3)
		b.releaseNext(results)
	})
}

// The timeout of the dial must not end the subscription later. The connections of Open's clients
// close when the subscription ends, and not before.
func TestSubscriptionOutlivesItsDial(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var dials atomic.Int64
		clients := make([]redis.UniversalClient, 3)
		for i, master := range b.Masters() {
			opts := master.Options()
			dial := opts.Dialer
			opts.Dialer = redisconn.QuietDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, addr)
			})
			client := redis.NewClient(opts)
			defer func() { assert.NoError(b, client.Close()) }()
			clients[i] = client
		}
		m, err := quorum.New(clients, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, m, results)
		assert.Equal(b, 3, b.subscribedMasters())
		before := dials.Load()
		time.Sleep(time.Minute)
		assert.Equal(b, before, dials.Load())
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
		require.NoError(b, m.Close())
	})
}

// A dial that waits for its context ends at AttemptTimeout. Then the subscription is tried again.
func TestHungDialOfSubscriptionIsRetried(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ends := make(chan time.Time, 100)
		h := &faultHook{
			onCall: func(context.Context) error { return nil },
			onDial: func(ctx context.Context) error {
				if deadline, _ := ctx.Deadline(); time.Until(deadline) != timeout {
					return nil // a dial for go-redis' pool, with a context of its own
				}
				<-ctx.Done()
				ends <- time.Now()
				return ctx.Err()
			},
		}
		m := b.managerWithHook(h)
		b.warmUp(m)
		l := b.acquire()
		h.on.Store(true)
		start := time.Now()
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, m, results)
		assert.Equal(b, 2, b.subscribedMasters())
		h.on.Store(false)
		time.Sleep(2 * timeout)
		require.NotEmpty(b, ends)
		assert.Equal(b, timeout, (<-ends).Sub(start))
		assert.Equal(b, 3, b.subscribedMasters())
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
		require.NoError(b, m.Close())
	})
}

// crowd is a fake master with locks that nobody gets except the waiter named in a message.
type crowd struct {
	subscribable atomic.Bool // it accepts subscriptions

	mu         sync.Mutex  // guards the fields below
	message    string      // a grant to one of the waiters
	subscribed time.Time   // when the subscription was confirmed; the message follows at once
	asked      []time.Time // when waiters asked since then
}

func (c *crowd) answer(args []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch command := strings.ToLower(args[0]); {
	case isScript(args):
		return scriptReply(args, c.result)
	case command == "subscribe" && !c.subscribable.Load():
		return "-NOPERM not yet\r\n"
	case command == "subscribe":
		c.subscribed, c.asked = time.Now(), nil
		return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
			len(args[1]), args[1], len(args[1]), args[1], len(c.message), c.message)
	}
	return grantAll(args)
}

// result is the result of an operation.
func (c *crowd) result(o operation, fencing bool) string {
	switch o.name {
	case "acquire":
		return "*2\r\n:-1\r\n$7\r\nanother\r\n"
	case "wait":
		c.message = fmt.Sprint(o.token, " ", o.args[4], " 0 0") // age and fence
		c.asked = append(c.asked, time.Now())
		return "*4\r\n:-1\r\n:600000\r\n:100\r\n:1\r\n"
	}
	return granted(o, fencing)
}

// Waiters may miss messages while there is no subscription. So each of them asks the master once
// there is one, but not all at once, and messages are delivered meanwhile.
func TestCrowdOfWaitersDelaysNoMessage(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{}
		client := newFakeServer(t, c.answer).client("192.0.2.1:1", nil)
		defer func() { assert.NoError(t, client.Close()) }()
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: clock.Runtime()})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		won := make(chan time.Time, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				if _, err := m.Acquire(ctx, fmt.Sprintf("lock-%d", i), ttl); err == nil {
					won <- time.Now()
				}
			})
		}
		time.Sleep(time.Second)
		c.subscribable.Store(true)
		for start := time.Now(); time.Since(start) < ttl; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			settled := !c.subscribed.IsZero() && time.Since(c.subscribed) > 3*time.Millisecond
			c.mu.Unlock()
			if settled {
				break
			}
		}
		c.mu.Lock()
		assert.Len(t, won, 1)
		assert.Equal(t, c.subscribed, <-won, "at once")
		instants := map[time.Time]bool{}
		asked := 0
		for _, at := range c.asked {
			if since := at.Sub(c.subscribed); since <= 2*time.Millisecond {
				asked++
				instants[at] = true
			}
		}
		c.mu.Unlock()
		assert.GreaterOrEqual(t, asked, n-1, "all other waiters ask")
		assert.Greater(t, len(instants), n/2, "not all at the same time")
		cancel()
		all.Wait()
		require.NoError(t, m.Close())
	})
}

// The subscription is stuck in a client that ignores its context. Nothing depends on it anymore.
func TestCloseDoesNotWaitForStuckSubscription(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		stuck := make(chan struct{})
		h := &faultHook{
			onCall: func(context.Context) error { return nil },
			onDial: func(ctx context.Context) error {
				if deadline, _ := ctx.Deadline(); time.Until(deadline) == timeout {
					<-stuck
				}
				return nil
			},
		}
		m := b.managerWithHook(h)
		b.warmUp(m)
		b.acquire()
		h.on.Store(true)
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, m, results)
		assert.Equal(b, 2, b.subscribedMasters())
		assert.LessOrEqual(b, took(func() { assert.NoError(b, m.Close()) }), 100*time.Millisecond)
		assertReason(b, (<-results).err, quorum.ErrClosed)
		close(stuck) // the goroutine must end now, or the bubble fails
	})
}
