package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
)

// Nobody has the lock, and nobody is before this waiter.
func TestFirstWaiterConfirmsVacantLock(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for vacant := range n + 1 {
			w := newWaiting(t, n)
			for i := range n {
				w.Answered(i, taken, w.now, true)
			}
			for i := range vacant {
				w.Answered(i, absent, w.now, true)
			}
			want := queue.Stay
			if vacant >= n/2+1 {
				want = queue.Confirm
			}
			act, _, _ := w.Step(w.now, w.retry)
			assert.Equal(t, want, act, "%d of %d", vacant, n)
		}
	}
}

// Each of those before this waiter has a second. What counts is the lowest rank that it has at
// least on a quorum, be the lock free there or not.
func TestWaiterConfirmsInItsTurn(t *testing.T) {
	for _, test := range []struct {
		answers []queue.Answer
		rank    int
	}{
		{[]queue.Answer{behind(1, absent), behind(1, absent), behind(1, absent)}, 1},
		{[]queue.Answer{behind(7, absent), behind(0, absent), behind(3, absent)}, 3},
		{[]queue.Answer{behind(2, absent), behind(4, absent)}, 4},
		{[]queue.Answer{behind(2, absent), behind(2, absent), behind(0, taken)}, 2},
		{[]queue.Answer{behind(4, absent), behind(4, absent), behind(2, taken)}, 4},
		{[]queue.Answer{behind(4, absent), behind(2, absent), behind(3, quarantined(time.Hour))}, 3},
		{[]queue.Answer{behind(4, absent), behind(2, absent), behind(3, refused)}, 4},
	} {
		w := newWaiting(t, 3)
		w.answers(test.answers...)
		w.does(queue.Stay)
		w.advance(time.Duration(test.rank)*time.Second - 1)
		w.answers(test.answers...)
		w.does(queue.Stay)
		w.advance(1)
		w.does(queue.Confirm)
	}
}

// The turns begin when the lock was first seen free, and anew if it was taken in between.
func TestTurnsBeginWithVacancy(t *testing.T) {
	w := newWaiting(t, 3)
	second := behind(1, absent)
	w.answers(second, second, second)
	w.does(queue.Stay)
	w.advance(900 * time.Millisecond)
	w.answers(taken, taken, second)
	w.does(queue.Stay)
	w.advance(50 * time.Millisecond)
	w.answers(taken, second, second)
	w.does(queue.Stay)
	w.advance(time.Second - 1)
	w.answers(taken, second, second)
	w.does(queue.Stay)
	w.advance(1)
	w.does(queue.Confirm)
}

// Whoever failed to confirm waits as long as it is told to, unless a quorum granted it the lock.
func TestFailedConfirmDelaysNextConfirm(t *testing.T) {
	for _, first := range []queue.Answer{absent, held} {
		w := newWaiting(t, 5)
		w.retry.Confirm = w.now.Add(100 * time.Millisecond)
		w.answers(first, absent, absent, taken, taken)
		_, _, next := w.Step(w.now, w.retry)
		assert.LessOrEqual(t, next, w.retry.Confirm, "it looks again then")
		w.now = w.retry.Confirm - 1
		w.does(queue.Stay)
		w.advance(1)
		w.does(queue.Confirm)
	}
	w := newWaiting(t, 3)
	w.retry.Confirm = clock.Never
	w.answers(held, held)
	w.does(queue.Confirm)
}

// A waiter that was granted some of a lock that is vacant elsewhere does not wait for its turn:
// nobody else can have it.
func TestGrantsAndVacanciesAddUp(t *testing.T) {
	w := newWaiting(t, 5)
	w.answers(held, behind(9, absent), behind(9, absent), taken, taken)
	w.does(queue.Confirm)
	w = newWaiting(t, 5)
	w.answers(held, behind(9, absent), taken, taken, taken)
	w.does(queue.Stay)
}

// Those before this waiter have had time to take the lock since it was seen free. So when it is its
// turn, it asks again where that is more than 250ms ago.
func TestOldVacancyIsRecheckedBeforeConfirm(t *testing.T) {
	second := behind(1, absent)
	for _, test := range []struct {
		age time.Duration
		ask []int
	}{{250 * time.Millisecond, nil}, {250*time.Millisecond + 1, []int{0, 1}}} {
		w := newWaiting(t, 3)
		w.answers(second, second, taken)
		w.does(queue.Stay)
		w.advance(time.Second - test.age)
		w.does(queue.Stay) // and asks
		w.answers(second, second, taken)
		w.advance(test.age)
		act, ask, _ := w.Step(w.now, w.retry)
		if test.ask == nil {
			assert.Equal(t, queue.Confirm, act)
			continue
		}
		assert.Equal(t, queue.Stay, act)
		assert.Subset(t, ask, test.ask)
		w.answers(taken, taken, taken)
		w.does(queue.Stay)
	}
}

// turnHasCome returns an entry that asks three masters again, because its turn has come.
func turnHasCome(t *testing.T) *waiting {
	t.Helper()
	w := newWaiting(t, 3)
	second := behind(1, absent)
	w.answers(second, second, second)
	w.does(queue.Stay)
	w.advance(time.Second)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Equal(t, []int{0, 1, 2}, ask)
	return w
}

// A master that hangs is not waited for, if the others are enough.
func TestHungMasterDoesNotDelayConfirm(t *testing.T) {
	w := turnHasCome(t)
	w.Answered(2, behind(1, absent), w.now, true)
	w.Answered(0, behind(1, absent), w.now, true)
	w.does(queue.Confirm)
}

// An answer to what was asked in the waiter's turn counts, however old it is.
func TestAnswersFromOwnTurnStayFresh(t *testing.T) {
	w := turnHasCome(t)
	w.Answered(0, absent, w.now, true)
	w.advance(400 * time.Millisecond)
	w.Answered(1, absent, w.now, true)
	w.does(queue.Confirm)
}

// The waiter makes a plain attempt if the masters' queues are of no use.
func TestUselessQueuesLeadToAttempt(t *testing.T) {
	old := quarantined(time.Hour)
	for _, test := range []struct {
		answers []queue.Answer
		want    queue.Action
	}{
		{[]queue.Answer{unknown, unknown, unknown}, queue.Attempt},
		{[]queue.Answer{refused, refused, refused}, queue.Attempt},
		{[]queue.Answer{unsent, unsent, unsent}, queue.Attempt},
		{[]queue.Answer{taken, unknown, refused}, queue.Attempt},
		{[]queue.Answer{held, unknown, unknown}, queue.Attempt},
		{[]queue.Answer{old, refused, unknown}, queue.Attempt},
		{[]queue.Answer{taken, taken, unknown}, queue.Stay},
		{[]queue.Answer{taken, held, refused}, queue.Stay},
		{[]queue.Answer{taken, absent, refused}, queue.Stay},
		{[]queue.Answer{taken, old, refused}, queue.Stay},
		{[]queue.Answer{taken, taken}, queue.Stay},
		{[]queue.Answer{unknown, unknown}, queue.Attempt},
		{[]queue.Answer{unknown, taken}, queue.Stay}, // the third one may answer yet
		{[]queue.Answer{unknown}, queue.Stay},
		{nil, queue.Stay},
	} {
		w := newWaiting(t, 3)
		w.retry.Attempt = 0
		w.answers(test.answers...)
		act, _, _ := w.Step(w.now, w.retry)
		assert.Equal(t, test.want, act, "%v", test.answers)
	}
}

// Half an AttemptTimeout is the time that masters have for their first answer. From the second on
// they have as long as they like, because the first one counts.
func TestAttemptWaitsForFirstAnswers(t *testing.T) {
	for _, answers := range [][]queue.Answer{nil, {taken}, {taken, unknown}} {
		t.Run(fmt.Sprint(len(answers)), func(t *testing.T) {
			w := newWaiting(t, 3)
			w.retry.Attempt = 0
			w.answers(answers...)
			w.advance(500*time.Millisecond - 1)
			w.does(queue.Stay)
			w.advance(1)
			w.does(queue.Attempt)
		})
	}
	w := newWaiting(t, 3)
	w.retry.Attempt = 0
	w.answers(taken, taken)
	w.does(queue.Stay)
	w.advance(time.Hour)
	w.does(queue.Stay)
}

// Attempts have pauses in between, which the waiter is told.
func TestFailedAttemptDelaysNextAttempt(t *testing.T) {
	w := newWaiting(t, 3)
	w.retry.Attempt = w.now.Add(20 * time.Millisecond)
	w.answers(refused, refused, refused)
	w.staysFor(20 * time.Millisecond)
	w.does(queue.Attempt)
}

// A grant that grew old is no answer any more: the master may be dead.
func TestExpiredGrantIsNoAnswer(t *testing.T) {
	w := newWaiting(t, 3)
	w.retry.Attempt = 0
	w.answers(held, taken)
	w.does(queue.Stay)
	w.advance(time.Second - 1)
	a, _ := w.Heard(0)
	assert.Equal(t, vote.Held, a.Outcome)
	w.does(queue.GiveBack)
	w.advance(1)
	w.does(queue.Attempt)
}
