package quorum_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// ringed returns a Manager on one master, which is a Ring of all there are.
func (b *bench) ringed() *quorum.Manager {
	b.Helper()
	shards, byAddr := map[string]string{}, map[string]*quorumtest.Master{}
	for _, m := range b.Masters() {
		shards[m.Addr()], byAddr[m.Addr()] = m.Addr(), m
	}
	ring := redis.NewRing(&redis.RingOptions{
		Addrs: shards, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return byAddr[addr].Dial(ctx, network, addr)
		},
	})
	b.Cleanup(func() { assert.NoError(b, ring.Close()) })
	m, err := quorum.New([]redis.UniversalClient{ring}, &quorum.Options{Clock: b.clock})
	require.NoError(b, err)
	return m
}

// TestRingWaitersPoll: a Ring cannot be subscribed to in any way that would be of use,
// and panics where that is tried.
func TestRingWaitersPoll(t *testing.T) {
	bubble(t, 2, func(b *bench) {
		one, other := b.ringed(), b.ringed()
		got := make(chan served, 1)
		for _, m := range []*quorum.Manager{one, other, one} {
			l, err := m.TryAcquire(b.Context(), name, ttl)
			require.NoError(b, err)
			waiter := one
			if m == one {
				waiter = other
			}
			b.wait(b.Context(), 0, waiter, got)
			time.Sleep(time.Second)
			assert.Zero(b, b.subscribers())
			assert.LessOrEqual(b, took(func() {
				require.NoError(b, l.Release(b.Context()))
				s := <-got
				require.NoError(b, s.err)
				require.NoError(b, s.lock.Release(b.Context()))
			}), grantTTL, "what it was granted is its own until it asks")
		}
		require.NoError(b, one.Close())
		require.NoError(b, other.Close())
	})
}

// TestRingWithoutShards: a waiter outlives it.
func TestRingWithoutShards(t *testing.T) {
	bubble(t, 2, func(b *bench) {
		holder, waiting := b.ringed(), b.ringed()
		l, err := holder.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		for _, m := range b.Masters() {
			m.Stop()
		}
		time.Sleep(10 * time.Second) // the Rings notice
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiting, got)
		time.Sleep(10 * time.Second)
		for _, m := range b.Masters() {
			require.NoError(b, m.Restart(quorumtest.KeepMemory))
		}
		time.Sleep(10 * time.Second)
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, holder.Close())
		require.NoError(b, waiting.Close())
	})
}
