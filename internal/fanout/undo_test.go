package fanout_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/fanout"
)

// A caller may decide to send an operation before the undo, but submit it after. The lane must not
// send it.
func TestOnlyUndoFollowsUndo(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		seq := g.NewSequence()
		submit(g, r, seq, 0, never)
		synctest.Wait()
		undo(g, r, seq, 1)
		submit(g, r, seq, 2, never) // the undo is queued
		synctest.Wait()
		submit(g, r, seq, 3, never) // the undo has been sent
		undo(g, r, seq, 4)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {4}}, m.sent())
		for _, id := range []int{2, 3} {
			_, err := r.outcome(id)
			assert.ErrorIs(t, err, fanout.ErrSuperseded)
		}
	})
}

// Owners need an operation's result to interpret the answer to the next one.
func TestOwnerLearnsResultBeforeNextIsSent(t *testing.T) {
	bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		slow := slowOwner{record: r, resume: make(chan struct{})}
		g.SubmitTo(0, seq, &op{Payload: 0, Owner: slow, Deadline: never})
		synctest.Wait()
		undo(g, r, seq, 1)
		m.answering()
		release(nil)
		submit(g, r, g.NewSequence(), 2, never) // wakes another goroutine of the lane
		synctest.Wait()
		assert.Equal(t, [][]int{{0}}, m.sent())
		close(slow.resume)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {2, 1}}, m.sent(), "operations submitted meanwhile are one batch")
	})
}

// slowOwner is a record whose Done blocks until resume is closed.
type slowOwner struct {
	*record
	resume chan struct{}
}

func (s slowOwner) Done(o *op, dropped error) {
	<-s.resume
	s.record.Done(o, dropped)
}
