package fanout_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A client retries a failed pipeline as a whole. If one pipeline carried an acquire and its
// release, the acquire's second try could come after the release.
func TestCallCarriesOneOperationPerSequence(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait() // the lane is busy now, so the others are queued
		a, b := g.NewSequence(), g.NewSequence()
		submit(g, r, a, 1, never)
		submit(g, r, b, 2, never)
		submit(g, r, a, 3, never)
		submit(g, r, b, 4, never)
		m.answering()
		release(nil)
		assert.Equal(t, [][]int{{0}, {1, 2}, {3, 4}}, m.sent())
	})
}

// An undo waits for the call that it undoes even if that call is stuck and the lane sends other
// operations.
func TestUndoWaitsForStuckCall(t *testing.T) {
	bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		submit(g, r, seq, 0, never)
		synctest.Wait()
		undo(g, r, seq, 1)
		time.Sleep(2 * stall)
		submit(g, r, g.NewSequence(), 2, never)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {2}}, m.sent())
		for range 3 {
			release(nil)
		}
		assert.Equal(t, [][]int{{0}, {2}, {1}}, m.sent())
	})
}
