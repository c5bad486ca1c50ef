package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
)

// The answers that most tests need.
var (
	held    = queue.Answer{Outcome: vote.Held, Left: time.Second}
	taken   = queue.Answer{Outcome: vote.Taken, Left: time.Hour}
	absent  = queue.Answer{Outcome: vote.Absent, Left: -2 * time.Millisecond}
	refused = queue.Answer{Outcome: vote.Refused, Err: errors.New("no")}
	unknown = queue.Answer{Outcome: vote.Unknown, Err: errors.New("nothing came")}
	unsent  = queue.Answer{Outcome: vote.Unsent, Err: errors.New("not sent")}
)

// quarantined is the answer of a master that nobody may have yet.
func quarantined(left time.Duration) queue.Answer {
	a := refused
	a.Quarantined, a.Left = true, left
	return a
}

// behind is an answer in which rank others are before the waiter.
func behind(rank int64, a queue.Answer) queue.Answer {
	a.Rank = rank
	return a
}

// config has a Grant of a second.
func config(masters int) queue.Config {
	return queue.Config{
		System: vote.Majority(masters), AttemptTimeout: time.Second, MinBackoff: 16 * time.Millisecond,
	}
}

const token = "some token or other"

// jitter is the token's.
var jitter = backoff.Jitter(token)

// patient is a Retry of a waiter that makes no plain attempts.
var patient = queue.Retry{Attempt: clock.Never}

// waiting is an entry, and the time.
type waiting struct {
	*queue.Entry
	t     *testing.T
	now   clock.Instant
	retry queue.Retry
}

// newWaiting returns an entry that has just asked all masters.
func newWaiting(t *testing.T, masters int) *waiting {
	t.Helper()
	w := &waiting{Entry: queue.NewEntry(config(masters), token), t: t, now: start, retry: patient}
	act, ask, next := w.Step(w.now, w.retry)
	assert.Equal(t, queue.Stay, act)
	assert.Len(t, ask, masters)
	assert.Equal(t, clock.Never, next)
	return w
}

// answers has the masters 0, 1 and so on answer, now.
func (w *waiting) answers(all ...queue.Answer) {
	for i, a := range all {
		w.Answered(i, a, w.now, true)
	}
}

func (w *waiting) advance(d time.Duration) { w.now = w.now.Add(d) }

// staysFor checks that the waiter stays, asks the given masters, and looks again after d. Then that
// time passes.
func (w *waiting) staysFor(d time.Duration, ask ...int) {
	w.t.Helper()
	act, asked, next := w.Step(w.now, w.retry)
	assert.Equal(w.t, queue.Stay, act)
	assert.Equal(w.t, ask, asked, "asked")
	assert.Equal(w.t, d, next.Sub(w.now), "looks again")
	w.now = next
}

// does checks what the waiter does, other than to stay.
func (w *waiting) does(want queue.Action) {
	w.t.Helper()
	act, ask, next := w.Step(w.now, w.retry)
	assert.Equal(w.t, want, act)
	if want != queue.Stay {
		assert.Empty(w.t, ask)
		assert.Zero(w.t, next)
	}
}

// renewal is how long the waiter waits until it renews its place, behind so many others.
func renewal(rank int64) time.Duration {
	whole := min(500*time.Millisecond+time.Duration(rank)*125*time.Millisecond, 5*time.Second)
	return whole - time.Duration(jitter*float64(whole)/4)
}

// kept is how long the waiter keeps grants that are too few.
var kept = 125*time.Millisecond + time.Duration(jitter*float64(125*time.Millisecond))

// A grant has to outlast a confirmation, and a dead waiter costs two seconds at most.
func TestGrantIsBounded(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		time.Millisecond:       500 * time.Millisecond,
		500 * time.Millisecond: 500 * time.Millisecond,
		time.Second:            time.Second,
		2 * time.Second:        2 * time.Second,
		time.Hour:              2 * time.Second,
	} {
		assert.Equal(t, want, queue.Config{AttemptTimeout: timeout}.Grant(), "%v", timeout)
	}
}

// Of the renewals of a place, two in a row may get lost.
func TestLease(t *testing.T) {
	assert.Equal(t, 15*time.Second, queue.Lease)
}

func TestActionsHaveNames(t *testing.T) {
	for act, name := range []string{"stay", "confirm", "give back", "attempt", "Action(4)"} {
		assert.Equal(t, name, queue.Action(act).String())
	}
}

func TestJitterDependsOnToken(t *testing.T) {
	assert.Equal(t, jitter, queue.NewEntry(config(3), token).Jitter())
	assert.NotEqual(t, jitter, queue.NewEntry(config(3), "x"+token).Jitter())
}

// A new entry asks every master once, and then waits for the answers.
func TestNewEntryAsksAllMasters(t *testing.T) {
	e := queue.NewEntry(config(3), token)
	for i := range 3 {
		assert.Zero(t, e.AskedAt(i))
		_, ok := e.Heard(i)
		assert.False(t, ok)
	}
	act, ask, next := e.Step(start, queue.Retry{})
	assert.Equal(t, queue.Stay, act, "those that were just asked may answer yet")
	assert.Equal(t, []int{0, 1, 2}, ask)
	assert.Equal(t, clock.Never, next)
	assert.Equal(t, start, e.AskedAt(2))
	_, ask, _ = e.Step(start+1, queue.Retry{})
	assert.Empty(t, ask)
	assert.Equal(t, start, e.AskedAt(2))
}

func TestHeardReturnsLastAnswer(t *testing.T) {
	w := newWaiting(t, 3)
	want := behind(8, quarantined(7))
	w.answers(want)
	a, ok := w.Heard(0)
	assert.True(t, ok)
	assert.Equal(t, want, a)
	w.Granted(0, w.now)
	a, _ = w.Heard(0)
	assert.Equal(t, queue.Answer{Outcome: vote.Held, Left: 7, Rank: 8}, a, "a message tells no more")
	w.Granted(1, w.now)
	a, ok = w.Heard(1)
	assert.True(t, ok)
	assert.Equal(t, vote.Held, a.Outcome)
}

// A quorum of grants is a reason to confirm at once, and fewer are not.
func TestQuorumOfGrantsIsConfirmed(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for grants := range n + 1 {
			w := newWaiting(t, n)
			w.retry.Confirm = clock.Never // that is for what nobody granted
			for i := range n {
				w.Answered(i, taken, w.now, true)
			}
			for i := range grants {
				w.Granted(i, w.now)
			}
			want := queue.Stay
			if grants >= n/2+1 {
				want = queue.Confirm
			}
			act, _, _ := w.Step(w.now, w.retry)
			assert.Equal(t, want, act, "%d of %d", grants, n)
		}
	}
}

// The master forgets a grant after Grant, so from then on it counts no more.
func TestGrantExpires(t *testing.T) {
	for _, test := range []struct {
		age  time.Duration
		want queue.Action
	}{{time.Second - 1, queue.Confirm}, {time.Second, queue.Stay}} {
		w := newWaiting(t, 3)
		w.Granted(0, w.now)
		w.advance(test.age)
		w.Answered(1, held, w.now, true)
		w.does(test.want)
	}
}

// A grant is as old as it was when the waiter first heard of it: it may have been confirmed again
// just before it expires.
func TestRepeatedAnswerDoesNotRenewGrant(t *testing.T) {
	for _, test := range []struct {
		between []queue.Answer
		want    queue.Action
	}{
		{nil, queue.GiveBack},
		{[]queue.Answer{held}, queue.GiveBack},
		{[]queue.Answer{taken, held}, queue.Confirm}, // that is another grant
	} {
		w := newWaiting(t, 3)
		w.answers(held)
		for _, a := range test.between {
			w.advance(time.Millisecond)
			w.AskSoon(0)
			w.does(queue.Stay) // and asks
			assert.Equal(t, w.now, w.AskedAt(0))
			w.answers(a)
		}
		w.does(queue.Stay)
		w.now = start.Add(time.Second - 1)
		w.does(queue.GiveBack)
		w.advance(1)
		w.Answered(1, held, w.now, true)
		w.does(test.want)
	}
}

// A message is the grant itself, so it is new.
func TestMessageRenewsGrant(t *testing.T) {
	w := newWaiting(t, 3)
	w.Granted(0, w.now)
	w.advance(600 * time.Millisecond)
	w.Granted(0, w.now)
	w.advance(600 * time.Millisecond)
	w.Granted(1, w.now)
	w.does(queue.Confirm)
}

// What a message told while a call was under way is later than that call's answer, unless the
// answer is an error: then nobody knows what the master has.
func TestMessageDuringCallPrevailsOverAnswer(t *testing.T) {
	for _, test := range []struct {
		answer queue.Answer
		want   vote.Outcome
	}{
		{taken, vote.Held}, {absent, vote.Held}, {unknown, vote.Held}, {unsent, vote.Held},
		{held, vote.Held}, {refused, vote.Refused}, {quarantined(time.Second), vote.Refused},
	} {
		w := newWaiting(t, 3)
		w.Granted(0, w.now)
		w.answers(test.answer)
		a, _ := w.Heard(0)
		assert.Equal(t, test.want, a.Outcome, "%v", test.answer.Outcome)
	}
}

func TestLaterAnswerReplacesGrant(t *testing.T) {
	for _, later := range []queue.Answer{taken, absent, unknown, refused, unsent} {
		w := newWaiting(t, 3)
		w.answers(taken, taken, taken)
		w.Granted(0, w.now)
		w.advance(1)
		w.AskSoon(0)
		w.does(queue.Stay) // and asks
		w.advance(1)
		w.answers(later)
		a, _ := w.Heard(0)
		assert.Equal(t, later, a)
	}
}

// Grants that are too few are given back a moment after the first came.
func TestTooFewGrantsAreGivenBack(t *testing.T) {
	w := newWaiting(t, 5)
	w.answers(taken, taken, taken, taken, taken)
	w.Granted(0, w.now)
	w.staysFor(time.Second / 32)
	w.staysFor(kept-time.Second/32, 1, 2, 3, 4)
	w.now--
	w.Granted(1, w.now) // which is no reason to wait on
	w.staysFor(1)
	w.does(queue.GiveBack)
}

// The moment begins anew once there was no grant in between.
func TestPatienceStartsAnewWithoutGrants(t *testing.T) {
	w := newWaiting(t, 3)
	w.answers(held, taken, taken)
	w.does(queue.Stay)
	w.advance(100 * time.Millisecond)
	w.AskSoon(0)
	w.does(queue.Stay) // and asks
	w.answers(taken)
	w.does(queue.Stay)
	w.advance(50 * time.Millisecond)
	w.Granted(1, w.now)
	w.does(queue.Stay)
	w.advance(kept - 1)
	w.does(queue.Stay)
	w.advance(1)
	w.does(queue.GiveBack)
}

// With a grant the others are asked soon, if they have told nothing since. So a waiter whose
// messages got lost finds out.
func TestGrantMakesWaiterPollOthersSoon(t *testing.T) {
	w := newWaiting(t, 5)
	w.answers(taken, taken, taken, taken)
	w.advance(10 * time.Millisecond)
	w.AskSoon(1)
	w.Granted(0, w.now)
	w.staysFor(time.Second/32, 1)
	assert.Equal(t, start.Add(10*time.Millisecond), w.AskedAt(1), "when the grant came, not since")
	w.answers(held, taken)
	w.staysFor(kept-time.Second/32, 1, 2, 3)
	w.answers(held, taken, taken, taken)
	w.now = w.AskedAt(1)
	w.staysFor(kept - time.Second/32) // they have told since
}
