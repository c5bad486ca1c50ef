package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
)

// ms is a series of durations.
func ms(all ...int) (series []time.Duration) {
	for _, n := range all {
		series = append(series, time.Duration(n)*time.Millisecond)
	}
	return series
}

// pauses has the first of three masters answer, each time it is asked. It returns how long the
// waiter waits until it asks again. The others never answer.
func pauses(w *waiting, notified bool, answers ...queue.Answer) (pauses []time.Duration) {
	w.t.Helper()
	for _, a := range answers {
		w.Answered(0, a, w.now, notified)
		act, ask, next := w.Step(w.now, w.retry)
		assert.Equal(w.t, queue.Stay, act)
		assert.Empty(w.t, ask)
		pauses = append(pauses, next.Sub(w.now))
		w.now = next
		_, ask, _ = w.Step(w.now, w.retry)
		assert.Equal(w.t, []int{0}, ask)
	}
	return pauses
}

// repeated returns n times the same answer.
func repeated(n int, a queue.Answer) (answers []queue.Answer) {
	for range n {
		answers = append(answers, a)
	}
	return answers
}

// The first in the queue renews its place every half a second. The others do so less often, the
// more are before them, and all up to a quarter more often than that.
func TestRenewalIntervals(t *testing.T) {
	for rank, whole := range map[int64]time.Duration{
		0: 500 * time.Millisecond, 1: 625 * time.Millisecond, 2: 750 * time.Millisecond,
		35: 4875 * time.Millisecond, 36: 5 * time.Second, 37: 5 * time.Second, 1e6: 5 * time.Second,
	} {
		want := whole - time.Duration(jitter*float64(whole)/4)
		assert.Equal(t, renewal(rank), want)
		for _, a := range []queue.Answer{taken, absent, refused, unknown, unsent} {
			got := pauses(newWaiting(t, 3), true, behind(rank, a))
			assert.Equal(t, []time.Duration{want}, got, "%v, rank %d", a.Outcome, rank)
		}
	}
}

// A waiter that cannot be told asks more often: less and less so, and at least every Grant/8, since
// a grant does not last long.
func TestPollsReplaceMessages(t *testing.T) {
	poll := func(n int) time.Duration {
		return backoff.Pause(16*time.Millisecond, 125*time.Millisecond, n, token)
	}
	w := newWaiting(t, 3)
	assert.Equal(t, []time.Duration{poll(1), poll(2), poll(3), poll(4), poll(5)},
		pauses(w, false, repeated(5, taken)...))
	assert.Equal(t, poll(4), poll(5))
	assert.Equal(t, []time.Duration{renewal(0)}, pauses(w, true, taken))
	assert.Equal(t, []time.Duration{poll(1)}, pauses(w, false, taken), "it begins anew")
}

// MinBackoff bounds polls even if it is longer than Grant/8, but not the renewals.
func TestPollsObserveMinBackoff(t *testing.T) {
	for _, least := range []time.Duration{300 * time.Millisecond, time.Minute} {
		cfg := config(3)
		cfg.MinBackoff = least
		w := &waiting{Entry: queue.NewEntry(cfg, token), t: t, now: start, retry: patient}
		w.does(queue.Stay)
		want := min(backoff.Pause(least, least, 1, token), renewal(0))
		assert.Equal(t, []time.Duration{want, want}, pauses(w, false, taken, taken))
	}
}

// The first in the queue asks when the holder's key should have expired, or the quarantine ended.
// If the master says the same again, it asks more and more rarely.
func TestFirstWaiterPollsAtExpiry(t *testing.T) {
	for name, left := range map[string]func(time.Duration) queue.Answer{
		"key": func(left time.Duration) queue.Answer {
			a := taken
			a.Left = left
			return a
		},
		"quarantine": quarantined,
	} {
		t.Run(name, func(t *testing.T) {
			last := left(3 * time.Millisecond)
			assert.Equal(t, ms(4, 8, 16, 32, 64, 100, 100),
				pauses(newWaiting(t, 3), true, repeated(7, last)...))
			assert.Equal(t, ms(1, 2, 4), pauses(newWaiting(t, 3), true, repeated(3, left(0))...),
				"in its last millisecond")
			assert.Equal(t, ms(100, 100, 16), pauses(newWaiting(t, 3), true,
				left(99*time.Millisecond), left(99*time.Millisecond), last))
			assert.Equal(t, ms(4, 8, 101, 4, 8), pauses(newWaiting(t, 3), true,
				last, last, left(100*time.Millisecond), last, last), "it begins anew")
			assert.Equal(t, []time.Duration{renewal(0)},
				pauses(newWaiting(t, 3), true, left(renewal(0))), "never later than usual")
			assert.Equal(t, []time.Duration{renewal(0)},
				pauses(newWaiting(t, 3), true, left(-1)), "it does not expire")
			assert.Equal(t, []time.Duration{renewal(1)},
				pauses(newWaiting(t, 3), true, behind(1, last)), "others are before this waiter")
		})
	}
	plain := refused
	plain.Left = 3 * time.Millisecond
	assert.Equal(t, []time.Duration{renewal(0)}, pauses(newWaiting(t, 3), true, plain))
}

// What is asked often for long stays within its bounds.
func TestRechecksStayBounded(t *testing.T) {
	last := taken
	last.Left = 0
	series := pauses(newWaiting(t, 3), true, repeated(200, last)...)
	for _, pause := range series[7:] {
		assert.Equal(t, 100*time.Millisecond, pause)
	}
	assert.Equal(t, ms(1), pauses(newWaiting(t, 3), false, last), "sooner than a poll")
}

// A waiter that saw the lock free, and others before itself, soon sees who took it.
func TestWaiterBehindRechecksVacantLock(t *testing.T) {
	w := newWaiting(t, 3)
	second := behind(1, absent)
	var got []time.Duration
	for w.now.Sub(start) < 900*time.Millisecond {
		w.answers(second, second, second)
		_, _, next := w.Step(w.now, w.retry)
		got = append(got, next.Sub(w.now))
		w.now = next
		if w.now.Sub(start) < time.Second {
			_, ask, _ := w.Step(w.now, w.retry)
			assert.Equal(t, []int{0, 1, 2}, ask)
		}
	}
	assert.Equal(t, ms(16, 32, 64, 100, 100, 100, 100, 100, 100, 100, 100), got)

	w = newWaiting(t, 3)
	w.answers(second, behind(1, taken), behind(1, taken))
	w.staysFor(renewal(1)) // no quorum is free
	w = newWaiting(t, 3)
	first := absent
	w.retry.Confirm = w.now.Add(time.Second)
	w.answers(first, first, first)
	w.staysFor(renewal(0), []int(nil)...) // nobody is before this waiter
}

// AskSoon has a master asked at once.
func TestAskSoonPollsAtOnce(t *testing.T) {
	w := newWaiting(t, 3)
	w.answers(taken, taken, taken)
	w.staysFor(renewal(0))
	w.now--
	w.AskSoon(1)
	w.staysFor(1, 1)
	w.AskSoon(2)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Equal(t, []int{0, 2}, ask, "with those that are due anyway")
}

// A call that is under way may have been answered before what it is to be asked for. So the master
// is asked once more after it, and only once.
func TestAskSoonDuringCallPollsOnceMore(t *testing.T) {
	w := newWaiting(t, 3)
	w.AskSoon(0)
	w.AskSoon(0)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Empty(t, ask)
	w.advance(time.Millisecond)
	w.answers(taken, taken, taken)
	_, ask, _ = w.Step(w.now, w.retry)
	assert.Equal(t, []int{0}, ask)
	w.answers(taken)
	w.staysFor(renewal(0))
}

// Every answer ends its call, also one that tells nothing.
func TestEveryAnswerEndsItsCall(t *testing.T) {
	for _, a := range []queue.Answer{taken, absent, refused, unknown, unsent, held} {
		w := newWaiting(t, 5)
		w.answers(a)
		w.AskSoon(0)
		_, ask, _ := w.Step(w.now, w.retry)
		assert.Equal(t, []int{0}, ask, "%v", a.Outcome)
	}
}
