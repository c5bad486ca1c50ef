package quorum_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// subscribers returns how many of n masters somebody listens to for hand-offs.
func (b *bench) subscribers() (n int) {
	b.Helper()
	for _, m := range b.Masters() {
		n += len(m.Client().PubSubChannels(b.Context(), "redlock:aux:inbox:*").Val())
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
			opts.Dialer = quorum.QuietDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
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
			before: func(context.Context) error { return nil },
			dial: func(ctx context.Context) error {
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
