package quorum_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// This shows a condition of the guarantee. A rolling deployment that changes the list of masters
// can have two holders at once, as soon as one master misses one attempt, if it turns off what
// prevents that. So can a deployment that changes the prefix.
func TestDifferentMastersOrPrefixesDoNotExclude(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		before, err := quorum.New(b.Clients()[:3], &quorum.Options{Clock: b.clock, AnyMasters: true})
		require.NoError(b, err)
		prefixed := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Prefix: "app:"})
		defer b.closeAll([]*quorum.Manager{before, prefixed})

		b.Master(2).Stop()
		first, err := before.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		time.Sleep(2 * time.Second) // until the client stops trying the third master
		b.restartAndReconnect(2, quorumtest.KeepMemory)
		second := b.acquire()
		third, err := prefixed.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		for _, l := range []*quorum.Lock{first, second, third} {
			assert.Positive(b, l.Validity())
			assert.NoError(b, l.Release(b.Context()))
		}
	})
}
