package quorum_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// TestNilContextPanicsAtTheDoor: with a text that says what is wrong, and before
// anything else is looked at or done.
func TestNilContextPanicsAtTheDoor(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var none context.Context
		l := b.acquire()
		before := b.standing()
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
		for what, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, "") }, what)
		}
		assert.Equal(b, before, b.standing())
		assert.Positive(b, l.Validity())
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Manager.Close(), "no call is still counted in")
		for what, call := range calls {
			assert.PanicsWithValue(b, "quorum: nil context", func() { call(b.Manager, name) }, "%s after Close", what)
		}
	})
}
