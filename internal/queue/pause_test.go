package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
)

// ms returns durations in milliseconds.
func ms(all ...int) (series []time.Duration) {
	for _, n := range all {
		series = append(series, time.Duration(n)*time.Millisecond)
	}
	return series
}

// pauses makes master 0 answer each time it is polled. It returns how long the waiter pauses before
// each further poll. The other masters never answer.
func pauses(w *testEntry, notified bool, answers ...queue.Answer) (pauses []time.Duration) {
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

// repeated returns the same answer n times.
func repeated(n int, a queue.Answer) (answers []queue.Answer) {
	for range n {
		answers = append(answers, a)
	}
	return answers
}

// The first waiter in the queue renews its place every half second. The more waiters are ahead of a
// waiter, the less often it renews. Jitter shortens each interval by up to a quarter.
func TestRenewalIntervals(t *testing.T) {
	for rank, whole := range map[int64]time.Duration{
		0: 500 * time.Millisecond, 1: 625 * time.Millisecond, 2: 750 * time.Millisecond,
		35: 4875 * time.Millisecond, 36: 5 * time.Second, 37: 5 * time.Second, 1e6: 5 * time.Second,
	} {
		want := whole - time.Duration(jitter*float64(whole)/4)
		assert.Equal(t, renewal(rank), want)
		for _, a := range []queue.Answer{taken, absent, refused, unknown, unsent} {
			got := pauses(newTestEntry(t, 3), true, behind(rank, a))
			assert.Equal(t, []time.Duration{want}, got, "%v, rank %d", a.Outcome, rank)
		}
	}
}

// If messages cannot reach a waiter, it polls more often. It backs off, but polls at least every
// Grant/8, because grants are short.
func TestPollsReplaceMessages(t *testing.T) {
	poll := func(n int) time.Duration {
		return backoff.Pause(16*time.Millisecond, 125*time.Millisecond, n, token)
	}
	w := newTestEntry(t, 3)
	assert.Equal(t, []time.Duration{poll(1), poll(2), poll(3), poll(4), poll(5)},
		pauses(w, false, repeated(5, taken)...))
	assert.Equal(t, poll(4), poll(5))
	assert.Equal(t, []time.Duration{renewal(0)}, pauses(w, true, taken))
	assert.Equal(t, []time.Duration{poll(1)}, pauses(w, false, taken), "the backoff starts anew")
}

// MinBackoff limits how often a waiter polls, even if it is longer than Grant/8. But a waiter still
// renews its place on time.
func TestPollsObserveMinBackoff(t *testing.T) {
	for _, least := range []time.Duration{300 * time.Millisecond, time.Minute} {
		cfg := config(3)
		cfg.MinBackoff = least
		w := &testEntry{Entry: queue.NewEntry(cfg, token, time.Second), t: t, now: start, retry: noAttempts}
		w.does(queue.Stay)
		want := min(backoff.Pause(least, least, 1, token), renewal(0))
		assert.Equal(t, []time.Duration{want, want}, pauses(w, false, taken, taken))
	}
}

// The first waiter in the queue polls when the holder's key or the quarantine should have ended. If
// the master gives the same answer again, the waiter backs off.
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
				pauses(newTestEntry(t, 3), true, repeated(7, last)...))
			assert.Equal(t, ms(1, 2, 4), pauses(newTestEntry(t, 3), true, repeated(3, left(0))...),
				"the last millisecond")
			assert.Equal(t, ms(100, 100, 16), pauses(newTestEntry(t, 3), true,
				left(99*time.Millisecond), left(99*time.Millisecond), last))
			assert.Equal(t, ms(4, 8, 101, 4, 8), pauses(newTestEntry(t, 3), true,
				last, last, left(100*time.Millisecond), last, last), "the backoff starts anew")
			assert.Equal(t, []time.Duration{renewal(0)},
				pauses(newTestEntry(t, 3), true, left(renewal(0))), "never later than the renewal")
			assert.Equal(t, []time.Duration{renewal(0)},
				pauses(newTestEntry(t, 3), true, left(-1)), "no expiry")
			assert.Equal(t, []time.Duration{renewal(1)},
				pauses(newTestEntry(t, 3), true, behind(1, last)), "another waiter is ahead")
		})
	}
	plain := refused
	plain.Left = 3 * time.Millisecond
	assert.Equal(t, []time.Duration{renewal(0)}, pauses(newTestEntry(t, 3), true, plain))
}

// The pause between rechecks stays at its bound, however often the same answer comes.
func TestRechecksStayBounded(t *testing.T) {
	last := taken
	last.Left = 0
	series := pauses(newTestEntry(t, 3), true, repeated(200, last)...)
	for _, pause := range series[7:] {
		assert.Equal(t, 100*time.Millisecond, pause)
	}
	assert.Equal(t, ms(1), pauses(newTestEntry(t, 3), false, last), "sooner than a poll")
}

// A waiter that finds the lock vacant, with others ahead, polls again soon to see who takes it.
func TestWaiterBehindRechecksVacantLock(t *testing.T) {
	w := newTestEntry(t, 3)
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

	w = newTestEntry(t, 3)
	w.answers(second, behind(1, taken), behind(1, taken))
	w.staysFor(renewal(1)) // no quorum is vacant
	w = newTestEntry(t, 3)
	first := absent
	w.retry.Confirm = w.now.Add(time.Second)
	w.answers(first, first, first)
	w.staysFor(renewal(0), []int(nil)...) // nobody is ahead
}

func TestAskSoonPollsAtOnce(t *testing.T) {
	w := newTestEntry(t, 3)
	w.answers(taken, taken, taken)
	w.staysFor(renewal(0))
	w.now--
	w.AskSoon(1)
	w.staysFor(1, 1)
	w.AskSoon(2)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Equal(t, []int{0, 2}, ask, "master 0 is due anyway")
}

// The master may have answered the call in flight before it had the news. So the waiter polls once
// more after that call, and only once.
func TestAskSoonDuringCallPollsOnceMore(t *testing.T) {
	w := newTestEntry(t, 3)
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

// Every answer ends its call, even if it reports nothing.
func TestEveryAnswerEndsItsCall(t *testing.T) {
	for _, a := range []queue.Answer{taken, absent, refused, unknown, unsent, held} {
		w := newTestEntry(t, 5)
		w.answers(a)
		w.AskSoon(0)
		_, ask, _ := w.Step(w.now, w.retry)
		assert.Equal(t, []int{0}, ask, "%v", a.Outcome)
	}
}
