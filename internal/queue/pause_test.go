package queue_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/clock"
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

// The first waiter in the queue polls a master every half second at first. The more waiters are
// ahead of a waiter, the less often it polls.
func TestPeriodDependsOnRank(t *testing.T) {
	for rank, period := range map[int64]time.Duration{
		0: shortest, 1: 625 * time.Millisecond, 2: 750 * time.Millisecond,
		27: 3875 * time.Millisecond, 28: 4 * time.Second, 29: 4 * time.Second, 1e6: 4 * time.Second,
	} {
		for _, a := range []queue.Answer{taken, absent, refused, unknown, unsent} {
			w := newTestEntry(t, 3)
			want := w.untilSlot(0, period)
			assert.Equal(t, []time.Duration{want}, pauses(w, true, behind(rank, a)), "%v, rank %d", a.Outcome, rank)
		}
	}
}

// While a master says nothing new, it is polled less and less often, down to every four seconds.
func TestPeriodDoublesWhileNothingIsNew(t *testing.T) {
	for _, a := range []queue.Answer{taken, quarantined(time.Hour), behind(1, taken), unknown, refused} {
		w := newTestEntry(t, 3)
		first := shortest + time.Duration(a.Rank)*shortest/4
		for _, period := range []time.Duration{first, 2 * first, min(4*first, 4*time.Second), 4 * time.Second, 4 * time.Second} {
			want := w.untilSlot(0, period)
			assert.Equal(t, []time.Duration{want}, pauses(w, true, a), "%v, period %v", a.Outcome, period)
			assert.Less(t, period/4, want)
			assert.LessOrEqual(t, want, period/4*5)
		}
		assert.Equal(t, ms(4000, 4000), pauses(w, true, a, a), "in its own slot each time")
	}
}

// Anything new makes the waiter poll often again.
func TestNewsResetsPeriod(t *testing.T) {
	for _, news := range []queue.Answer{behind(1, taken), absent, refused, unknown, quarantined(time.Hour)} {
		w := newTestEntry(t, 3)
		pauses(w, true, repeated(5, taken)...)
		want := w.untilSlot(0, shortest+time.Duration(news.Rank)*shortest/4)
		assert.Equal(t, []time.Duration{want}, pauses(w, true, news), "%v, rank %d", news.Outcome, news.Rank)
	}
	w := newTestEntry(t, 3)
	pauses(w, true, unknown, refused, unsent, unknown, unsent)
	want := w.untilSlot(0, 4*time.Second)
	assert.Equal(t, []time.Duration{want}, pauses(w, true, refused), "it still reports nothing")
}

// A waiter's masters have their slots at different times, so one of N answers every N-th part of
// the period.
func TestMastersArePolledInTurn(t *testing.T) {
	for n := 1; n <= 5; n++ {
		w := newTestEntry(t, n)
		slots := make([]time.Duration, n)
		for w.now.Sub(start) < time.Minute {
			for i := range n {
				if w.AskedAt(i) == w.now {
					w.Answered(i, taken, w.now, true)
					slots[i] = time.Duration(w.now) % (4 * time.Second)
				}
			}
			_, _, next := w.Step(w.now, w.retry)
			w.now = next
			w.does(queue.Stay) // polls
		}
		slices.Sort(slots)
		for i := range n {
			gap := slots[(i+1)%n] - slots[i]
			if gap <= 0 {
				gap += 4 * time.Second
			}
			assert.InDelta(t, 4*time.Second/time.Duration(n), gap, float64(200*time.Millisecond), "%v", slots)
			assert.Zero(t, slots[i]%(200*time.Millisecond), "waiters share their slots")
		}
	}
}

// Waiters spread over the slots by their tokens.
func TestWaitersSpreadOverSlots(t *testing.T) {
	next := map[clock.Instant]bool{}
	for i := range 1000 {
		w := queue.NewEntry(config(1), strconv.Itoa(i)+token, time.Second)
		w.Step(start, noAttempts)
		w.Answered(0, taken, start, true)
		_, _, at := w.Step(start, noAttempts)
		next[at] = true
	}
	assert.Len(t, next, 20)
}

// One master says that nobody has the lock anymore, although no message came. So the waiter polls
// the others soon, once.
func TestVacatedKeyMakesWaiterPollOthersSoon(t *testing.T) {
	w := newTestEntry(t, 3)
	w.answers(taken, taken, taken)
	w.AskSoon(0)
	w.does(queue.Stay) // polls master 0
	w.answers(absent)
	w.staysFor(time.Second / 32)
	_, ask, _ := w.Step(w.now, w.retry)
	assert.Equal(t, []int{1, 2}, ask)
	w.Answered(1, taken, w.now, true)
	w.Answered(2, taken, w.now, true)
	_, ask, next := w.Step(w.now, w.retry)
	assert.Empty(t, ask)
	assert.Greater(t, next.Sub(w.now), shortest/4)

	w = newTestEntry(t, 3)
	w.answers(absent, taken, taken)
	w.staysFor(w.untilAnySlot(shortest)) // it was vacant from the beginning
	w = newTestEntry(t, 3)
	w.answers(unknown, taken, taken)
	w.AskSoon(0)
	w.does(queue.Stay) // polls master 0
	w.answers(absent)
	w.staysFor(w.untilAnySlot(shortest)) // it may have restarted empty
}

// If messages cannot reach a waiter, it polls more often. It backs off, but polls at least every
// Grant/8, because grants are short. It does not poll a master more often that reports nothing.
func TestPollsReplaceMessages(t *testing.T) {
	poll := func(n int) time.Duration {
		return backoff.Pause(16*time.Millisecond, 125*time.Millisecond, n, token)
	}
	w := newTestEntry(t, 3)
	assert.Equal(t, []time.Duration{poll(1), poll(2), poll(3), poll(4), poll(5)},
		pauses(w, false, repeated(5, taken)...))
	assert.Equal(t, poll(4), poll(5))
	want := w.untilSlot(0, 2*shortest)
	assert.Equal(t, []time.Duration{want}, pauses(w, true, taken))
	assert.Equal(t, []time.Duration{poll(1)}, pauses(w, false, taken), "the backoff starts anew")
	for _, a := range []queue.Answer{unknown, refused, unsent} {
		w := newTestEntry(t, 3)
		want := w.untilSlot(0, shortest)
		assert.Equal(t, []time.Duration{want}, pauses(w, false, a), "%v", a.Outcome)
	}
}

// MinBackoff limits how often a waiter polls, even if it is longer than Grant/8. But a waiter still
// renews its place on time.
func TestPollsObserveMinBackoff(t *testing.T) {
	for _, least := range []time.Duration{300 * time.Millisecond, time.Minute} {
		cfg := config(3)
		cfg.MinBackoff = least
		w := &testEntry{Entry: queue.NewEntry(cfg, token, time.Second), t: t, masters: 3, now: start, retry: noAttempts}
		w.does(queue.Stay)
		want := min(backoff.Pause(least, least, 1, token), w.untilSlot(0, shortest))
		assert.Equal(t, []time.Duration{want}, pauses(w, false, taken))
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
			w := newTestEntry(t, 3)
			slot := w.untilSlot(0, shortest)
			assert.Equal(t, []time.Duration{slot},
				pauses(w, true, left(slot)), "never later than the slot")
			assert.Equal(t, []time.Duration{slot},
				pauses(newTestEntry(t, 3), true, left(-1)), "no expiry")
			w = newTestEntry(t, 3)
			slot = w.untilSlot(0, shortest*5/4)
			assert.Equal(t, []time.Duration{slot},
				pauses(w, true, behind(1, last)), "another waiter is ahead")
		})
	}
	plain := refused
	plain.Left = 3 * time.Millisecond
	w := newTestEntry(t, 3)
	want := w.untilSlot(0, shortest)
	assert.Equal(t, []time.Duration{want}, pauses(w, true, plain))
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
	w.staysFor(w.untilAnySlot(shortest * 5 / 4)) // no quorum is vacant
	w = newTestEntry(t, 3)
	first := absent
	w.retry.Confirm = w.now.Add(time.Second)
	w.answers(first, first, first)
	w.staysFor(w.untilAnySlot(shortest)) // nobody is ahead
}

func TestAskSoonPollsAtOnce(t *testing.T) {
	w := newTestEntry(t, 3)
	w.answers(taken, taken, taken)
	w.staysFor(w.untilAnySlot(shortest))
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
	w.staysFor(w.untilAnySlot(2*shortest, shortest, shortest))
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
