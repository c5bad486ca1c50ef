package quorum_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// By itself, a Cluster client reloads its slots once a minute. Before that it does not find a node
// that replaced a dead one.
func TestClusterIsReloadedWhenNodeDoesNotAnswer(t *testing.T) {
	t.Parallel() // it waits in real time
	c := embedded(t, 1)
	var loads atomic.Int32
	cluster := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{c.Master(0).Addr()}, MaxRedirects: 1, MinRetryBackoff: -1, MaxRetryBackoff: -1,
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			loads.Add(1)
			return []redis.ClusterSlot{{End: 16383, Nodes: []redis.ClusterNode{{Addr: c.Master(0).Addr()}}}}, nil
		},
		MaintNotificationsConfig: quiet,
	})
	defer func() { assert.NoError(t, cluster.Close()) }()
	m, err := quorum.New([]redis.UniversalClient{cluster}, nil)
	require.NoError(t, err)
	defer func() { _ = m.Close() }() // the stopped master is owed a release if a connection was still open
	l, err := m.TryAcquire(patiently(t), name, ttl)
	require.NoError(t, err)
	require.NoError(t, l.Release(patiently(t)))
	before := loads.Load()
	c.Master(0).Stop()
	_, err = m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	require.Eventually(t, func() bool { return loads.Load() > before }, patience, time.Millisecond)
}

// Half of the slot's keys are on another node. The master refuses scripts with several keys, but
// executes those with one.
func TestReleaseSucceedsWhileSlotMoves(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		f := newFakeServer(b.T, func(args []string) string {
			if isScript(args) && args[2] != "1" {
				return "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
			}
			return grantAll(args)
		})
		client := f.client("192.0.2.1:1", nil)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		assert.NoError(b, l.Release(b.Context()))
		require.NoError(b, m.Close())
		require.NoError(b, client.Close())
	})
}
