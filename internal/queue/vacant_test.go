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

func TestFirstWaiterConfirmsVacantLock(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for vacant := range n + 1 {
			w := newTestEntry(t, n)
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

// Each waiter ahead has a turn of one second. This waiter's rank is the highest in the quorum with
// the lowest ranks, whether or not the key is vacant on those masters.
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
		w := newTestEntry(t, 3)
		w.answers(test.answers...)
		w.does(queue.Stay)
		w.advance(time.Duration(test.rank)*time.Second - 1)
		w.answers(test.answers...)
		w.does(queue.Stay)
		w.advance(1)
		w.does(queue.Confirm)
	}
}

// The turns begin when the lock is first seen vacant. They start anew if it was taken in between.
func TestTurnsBeginWithVacancy(t *testing.T) {
	w := newTestEntry(t, 3)
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

// After a failed confirm, the waiter observes Retry.Confirm, unless a quorum has granted the lock.
func TestFailedConfirmDelaysNextConfirm(t *testing.T) {
	for _, first := range []queue.Answer{absent, held} {
		w := newTestEntry(t, 5)
		w.retry.Confirm = w.now.Add(100 * time.Millisecond)
		w.answers(first, absent, absent, taken, taken)
		_, _, next := w.Step(w.now, w.retry)
		assert.LessOrEqual(t, next, w.retry.Confirm, "Step is called again by then")
		w.now = w.retry.Confirm - 1
		w.does(queue.Stay)
		w.advance(1)
		w.does(queue.Confirm)
	}
	w := newTestEntry(t, 3)
	w.retry.Confirm = clock.Never
	w.stale(0)
	w.stale(1)
	w.does(queue.Confirm)
}

// Grants and vacant keys together can make a quorum. The waiter then confirms without waiting for
// its turn: nobody else can have the lock.
func TestGrantsAndVacanciesAddUp(t *testing.T) {
	w := newTestEntry(t, 5)
	w.answers(held, behind(9, absent), behind(9, absent), behind(9, taken), behind(9, taken))
	w.does(queue.Stay) // more grants may come, and spare it the confirmation
	w.advance(time.Second / 256)
	w.does(queue.Confirm)
	w = newTestEntry(t, 5)
	w.answers(held, behind(9, absent), taken, taken, taken)
	w.does(queue.Stay)
}

// The waiters ahead may have taken the lock since it was seen vacant. So when its turn comes, a
// waiter polls masters again whose reports are more than 250 ms old.
func TestOldVacancyIsRecheckedBeforeConfirm(t *testing.T) {
	second := behind(1, absent)
	for _, test := range []struct {
		age time.Duration
		ask []int
	}{{250 * time.Millisecond, nil}, {250*time.Millisecond + 1, []int{0, 1}}} {
		w := newTestEntry(t, 3)
		w.answers(second, second, taken)
		w.does(queue.Stay)
		w.advance(time.Second - test.age)
		w.does(queue.Stay) // polls the masters
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

// entryInItsTurn returns an entry that polls three masters again because its turn has come.
func entryInItsTurn(t *testing.T) *testEntry {
	t.Helper()
	w := newTestEntry(t, 3)
	second := behind(1, absent)
	w.answers(second, second, second)
	w.does(queue.Stay)
	w.advance(time.Second)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Equal(t, []int{0, 1, 2}, ask)
	return w
}

// The waiter does not wait for a hung master if the others are a quorum.
func TestHungMasterDoesNotDelayConfirm(t *testing.T) {
	w := entryInItsTurn(t)
	w.Answered(2, behind(1, absent), w.now, true)
	w.Answered(0, behind(1, absent), w.now, true)
	w.does(queue.Confirm)
}

// An answer to a poll from the waiter's own turn counts, however old it is.
func TestAnswersFromOwnTurnStayFresh(t *testing.T) {
	w := entryInItsTurn(t)
	w.Answered(0, absent, w.now, true)
	w.advance(400 * time.Millisecond)
	w.Answered(1, absent, w.now, true)
	w.does(queue.Confirm)
}

// The waiter makes a plain attempt if the masters' queues are useless.
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
		{[]queue.Answer{unknown, taken}, queue.Stay}, // the third may still answer
		{[]queue.Answer{unknown}, queue.Stay},
		{nil, queue.Stay},
	} {
		w := newTestEntry(t, 3)
		w.retry.Attempt = 0
		w.answers(test.answers...)
		act, _, _ := w.Step(w.now, w.retry)
		assert.Equal(t, test.want, act, "%v", test.answers)
	}
}

// Masters have half of AttemptTimeout for their first answer. After that they may take as long as
// they like, because their first answer still counts.
func TestAttemptWaitsForFirstAnswers(t *testing.T) {
	for _, answers := range [][]queue.Answer{nil, {taken}, {taken, unknown}} {
		t.Run(fmt.Sprint(len(answers)), func(t *testing.T) {
			w := newTestEntry(t, 3)
			w.retry.Attempt = 0
			w.answers(answers...)
			w.advance(500*time.Millisecond - 1)
			w.does(queue.Stay)
			w.advance(1)
			w.does(queue.Attempt)
		})
	}
	w := newTestEntry(t, 3)
	w.retry.Attempt = 0
	w.answers(taken, taken)
	w.does(queue.Stay)
	w.advance(time.Hour)
	w.does(queue.Stay)
}

// After a failed attempt, the waiter observes Retry.Attempt.
func TestFailedAttemptDelaysNextAttempt(t *testing.T) {
	w := newTestEntry(t, 3)
	w.retry.Attempt = w.now.Add(20 * time.Millisecond)
	w.answers(refused, refused, refused)
	w.staysFor(20 * time.Millisecond)
	w.does(queue.Attempt)
}

// An expired grant does not count as an answer: the master may be dead.
func TestExpiredGrantIsNoAnswer(t *testing.T) {
	w := newTestEntry(t, 3)
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
