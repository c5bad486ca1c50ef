package quorum_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// The panic names the mistake, and comes before any argument is checked and before anything is
// sent.
func TestNilContextPanicsBeforeAnythingElse(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var none context.Context
		l := b.acquire()
		before := b.storedTokens()
		calls := map[string]func(m *quorum.Manager, name string){
			"TryAcquire": func(m *quorum.Manager, name string) { _, _ = m.TryAcquire(none, name, ttl) },
			"Acquire":    func(m *quorum.Manager, name string) { _, _ = m.Acquire(none, name, ttl) },
			"Do":         func(m *quorum.Manager, name string) { _ = m.Do(none, name, ttl, nil) },
			"Once":       func(m *quorum.Manager, name string) { _, _ = m.Once(none, name, ttl, nil) },
			"Inspect":    func(m *quorum.Manager, name string) { _, _ = m.Inspect(none, name) },
			"Bootstrap":  func(m *quorum.Manager, _ string) { _ = m.Bootstrap(none) },
			"Extend":     func(*quorum.Manager, string) { _ = l.Extend(none, -1) },
			"Release":    func(*quorum.Manager, string) { _ = l.Release(none) },
		}
		for method, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, "") }, method)
		}
		assert.Equal(b, before, b.storedTokens())
		assert.Positive(b, l.Validity())
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Manager.Close(), "no call counts as under way")
		for method, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, name) }, "%s after Close", method)
		}
	})
}
