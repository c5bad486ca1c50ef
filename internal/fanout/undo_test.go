package fanout_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/fanout"
)

// TestNothingFollowsAnUndo: somebody decided to send before the undo, and comes
// to do so after it.
func TestNothingFollowsAnUndo(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		seq := g.NewSequence()
		submit(g, r, seq, 0, never)
		synctest.Wait()
		undo(g, r, seq, 1)
		submit(g, r, seq, 2, never) // while the undo is queued
		synctest.Wait()
		submit(g, r, seq, 3, never) // after it
		undo(g, r, seq, 4)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {4}}, m.sent())
		for _, id := range []int{2, 3} {
			_, err := r.outcome(id)
			assert.ErrorIs(t, err, fanout.ErrSuperseded)
		}
	})
}

// TestOwnerIsToldBeforeTheNextIsSent: what became of an operation decides how the
// answer to the next is to be understood.
func TestOwnerIsToldBeforeTheNextIsSent(t *testing.T) {
	bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		slow := slowOwner{record: r, told: make(chan struct{})}
		g.SubmitTo(0, seq, &op{Payload: 0, Owner: slow, Deadline: never})
		synctest.Wait()
		undo(g, r, seq, 1)
		m.answering()
		release(nil)
		submit(g, r, g.NewSequence(), 2, never) // would wake another of the lane's goroutines
		synctest.Wait()
		assert.Equal(t, [][]int{{0}}, m.sent())
		close(slow.told)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {2, 1}}, m.sent(), "and what came meanwhile is one batch")
	})
}

type slowOwner struct {
	*record
	told chan struct{}
}

func (s slowOwner) Done(o *op, dropped error) {
	<-s.told
	s.record.Done(o, dropped)
}
