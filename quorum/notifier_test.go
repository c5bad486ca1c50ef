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

// subscribers returns how many of n masters somebody listens to for hand-offs.
func (b *bench) subscribers() (n int) {
	b.Helper()
	for _, m := range b.Masters() {
		n += len(m.Client().PubSubChannels(b.Context(), "redlock:aux:channel:*").Val())
	}
	return n
}

// TestSubscriptionOutlivesItsDial: what the dial may take says nothing about what
// comes after it, though a connection of Open's clients ends with its subscription.
func TestSubscriptionOutlivesItsDial(t *testing.T) {
	bubble(t, 3, func(b *bench) {
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
		got := make(chan served, 1)
		b.wait(b.Context(), 0, m, got)
		assert.Equal(b, 3, b.subscribers())
		before := dials.Load()
		time.Sleep(time.Minute)
		assert.Equal(b, before, dials.Load())
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, m.Close())
	})
}

// TestContextsOfSubscriptionsEnd: a subscription whose dial waits for its context is
// tried again.
func TestContextsOfSubscriptionsEnd(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		ended := make(chan time.Time, 100)
		h := &hook{
			onCall: func(context.Context) error { return nil },
			onDial: func(ctx context.Context) error {
				if deadline, _ := ctx.Deadline(); time.Until(deadline) != timeout {
					return nil // go-redis dials for its pool, by a context of its own
				}
				<-ctx.Done()
				ended <- time.Now()
				return ctx.Err()
			},
		}
		m := b.hooked(h)
		b.warm(m)
		l := b.acquire()
		h.on.Store(true)
		began := time.Now()
		got := make(chan served, 1)
		b.wait(b.Context(), 0, m, got)
		assert.Equal(b, 2, b.subscribers())
		h.on.Store(false)
		time.Sleep(2 * timeout)
		require.NotEmpty(b, ended)
		assert.Equal(b, timeout, (<-ended).Sub(began))
		assert.Equal(b, 3, b.subscribers())
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, m.Close())
	})
}

// crowd is a fake master that lets nobody have a lock but who was told so by a message.
type crowd struct {
	subscribe atomic.Bool // it may be subscribed to

	mu        sync.Mutex // guards all below
	token     string     // of some waiter, who is told that it was granted the lock
	confirmed time.Time  // when the subscription was, and the message came right after it
	claimed   time.Time  // when that waiter claimed the lock
	asked     []time.Time
}

// answer goes by how many keys a script has: three if it asks how things stand, and
// by its arguments if it claims.
func (c *crowd) answer(args []string) string {
	const claiming = 11
	c.mu.Lock()
	defer c.mu.Unlock()
	switch command := strings.ToLower(args[0]); {
	case command == "set":
		return "$7\r\nanother\r\n"
	case command == "evalsha" && args[2] == "3":
		c.token = args[6]
		c.asked = append(c.asked, time.Now())
		return "*4\r\n:-1\r\n:600000\r\n:100\r\n:1\r\n"
	case command == "evalsha" && len(args) == claiming:
		c.claimed = time.Now()
		return "*4\r\n:1\r\n$1\r\n0\r\n:0\r\n:1\r\n"
	case command == "subscribe" && !c.subscribe.Load():
		return "-NOPERM not yet\r\n"
	case command == "subscribe":
		c.confirmed, c.asked = time.Now(), nil
		return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
			len(args[1]), args[1], len(args[1]), args[1], len(c.token), c.token)
	}
	return behaved(args)
}

// TestCrowdOfWaitersDelaysNoMessage: who may have missed something while there was no
// subscription asks, one after another, and meanwhile messages go on.
func TestCrowdOfWaitersDelaysNoMessage(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{}
		client := newFake(t, c.answer).client("192.0.2.1:1", nil)
		defer func() { assert.NoError(t, client.Close()) }()
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: clock.Runtime()})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				if _, err := m.Acquire(ctx, fmt.Sprintf("lock-%d", i), ttl); err == nil {
					won.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		c.subscribe.Store(true)
		for begun := time.Now(); time.Since(begun) < ttl; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			settled := !c.confirmed.IsZero() && time.Since(c.confirmed) > 3*time.Millisecond
			c.mu.Unlock()
			if settled {
				break
			}
		}
		c.mu.Lock()
		assert.Equal(t, int64(1), won.Load())
		assert.Equal(t, c.confirmed, c.claimed, "at once")
		instants := map[time.Time]bool{}
		asked := 0
		for _, at := range c.asked {
			if since := at.Sub(c.confirmed); since <= 2*time.Millisecond {
				asked++
				instants[at] = true
			}
		}
		c.mu.Unlock()
		assert.GreaterOrEqual(t, asked, n-1, "everybody else asks")
		assert.Greater(t, len(instants), n/2, "not all in one moment")
		cancel()
		all.Wait()
		require.NoError(t, m.Close())
	})
}

// TestStuckSubscriptionDoesNotKeepClose: it is in a client of the caller's, which heeds
// no context there, and nothing depends on it any more.
func TestStuckSubscriptionDoesNotKeepClose(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		stuck := make(chan struct{})
		h := &hook{
			onCall: func(context.Context) error { return nil },
			onDial: func(ctx context.Context) error {
				if deadline, _ := ctx.Deadline(); time.Until(deadline) == timeout {
					<-stuck
				}
				return nil
			},
		}
		m := b.hooked(h)
		b.warm(m)
		b.acquire()
		h.on.Store(true)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, m, got)
		assert.Equal(b, 2, b.subscribers())
		assert.LessOrEqual(b, took(func() { assert.NoError(b, m.Close()) }), 100*time.Millisecond)
		assertReason(b, (<-got).err, quorum.ErrClosed)
		close(stuck) // its goroutine ends with the call, or the bubble fails
	})
}
