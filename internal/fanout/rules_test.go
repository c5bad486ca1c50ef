package fanout_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestTwoOfASequenceAreNeverInOneCall: a client repeats a pipeline that failed as
// a whole, so a release in it could come before the second try of its acquire.
func TestTwoOfASequenceAreNeverInOneCall(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait() // from here on the lane is busy, and all are queued
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

// TestUndoWaitsForTheCallItUndoes: also where other calls could be under way, and
// where that one is stuck.
func TestUndoWaitsForTheCallItUndoes(t *testing.T) {
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
