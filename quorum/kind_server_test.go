package quorum_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// TestFullServersExtendEntries extends locks on servers at their maxmemory. Their leases become
// longer, and the next one is refused.
func TestFullServersExtendEntries(t *testing.T) {
	t.Parallel() // it waits for servers
	for what, opts := range map[string]quorum.Options{"without fencing": {}, "with fencing": {Fencing: true}} {
		t.Run(what, func(t *testing.T) {
			s := startServers(t)
			s.setAll(t, "maxmemory-policy", "noeviction")
			m, _ := s.open(t, "web-1", opts)
			var held []*quorum.Lock
			for range 2 {
				l, err := m.TryAcquire(patiently(t), name, time.Minute, quorum.Permits(3))
				require.NoError(t, err)
				held = append(held, l)
			}
			s.awaitEntries(t, m, 2, 0)
			s.setAll(t, "maxmemory", "1")
			_, err := m.TryAcquire(patiently(t), name, time.Minute, quorum.Permits(3))
			assertReason(t, err, quorum.ErrNoQuorum)
			require.ErrorContains(t, err, "OOM")
			for _, l := range held {
				require.NoError(t, l.Extend(patiently(t), time.Hour))
			}
			s.awaitEntries(t, m, 2, time.Minute)
			for _, l := range held {
				require.NoError(t, l.Release(patiently(t)))
			}
			s.awaitStored(t, "")
		})
	}
}

// awaitEntries waits until so many entries stand on every server, for longer than said.
func (s *servers) awaitEntries(t *testing.T, m *quorum.Manager, n int, left time.Duration) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		i, err := m.Inspect(patiently(t), name)
		if !assert.NoError(c, err) {
			return
		}
		for _, master := range i.Masters {
			assert.Len(c, master.Entries, n)
			for _, e := range master.Entries {
				assert.Greater(c, e.TTL, left)
			}
		}
	}, patience, 5*time.Millisecond)
}
