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

// ringManager returns a Manager with a single master, which is a Ring of all masters.
func (b *testbed) ringManager() *quorum.Manager {
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

// A Ring publishes and subscribes on different shards, so messages do not arrive. It even panics if
// it is subscribed to while no shard is up.
func TestRingWaitersPoll(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		one, other := b.ringManager(), b.ringManager()
		results := make(chan acquireResult, 1)
		for _, m := range []*quorum.Manager{one, other, one} {
			l, err := m.TryAcquire(b.Context(), name, ttl)
			require.NoError(b, err)
			waiter := one
			if m == one {
				waiter = other
			}
			b.startWaiter(b.Context(), 0, waiter, results)
			time.Sleep(time.Second)
			assert.Zero(b, b.subscribedMasters())
			assert.LessOrEqual(b, took(func() {
				require.NoError(b, l.Release(b.Context()))
				b.releaseNext(results)
			}), grantTTL, "the grant lasts until it polls")
		}
		require.NoError(b, one.Close())
		require.NoError(b, other.Close())
	})
}

// A waiter must survive an outage of all shards of its Ring.
func TestWaiterOutlivesRingWithoutShards(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		holder, waiting := b.ringManager(), b.ringManager()
		l, err := holder.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		for _, m := range b.Masters() {
			m.Stop()
		}
		time.Sleep(10 * time.Second) // the Rings notice
		results := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, waiting, results)
		time.Sleep(10 * time.Second)
		for _, m := range b.Masters() {
			require.NoError(b, m.Restart(quorumtest.KeepMemory))
		}
		time.Sleep(10 * time.Second)
		require.NoError(b, l.Release(b.Context()))
		b.releaseNext(results)
		require.NoError(b, holder.Close())
		require.NoError(b, waiting.Close())
	})
}
