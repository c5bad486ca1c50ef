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

// Answers that most tests need.
var (
	held    = queue.Answer{Outcome: vote.Held, Left: time.Second}
	taken   = queue.Answer{Outcome: vote.Taken, Left: time.Hour}
	absent  = queue.Answer{Outcome: vote.Absent, Left: -2 * time.Millisecond}
	refused = queue.Answer{Outcome: vote.Refused, Err: errors.New("refused")}
	unknown = queue.Answer{Outcome: vote.Unknown, Err: errors.New("no answer")}
	unsent  = queue.Answer{Outcome: vote.Unsent, Err: errors.New("not sent")}
)

// quarantined returns the answer of a quarantined master.
func quarantined(left time.Duration) queue.Answer {
	a := refused
	a.Quarantined, a.Left = true, left
	return a
}

// behind returns a with the given rank: that many waiters are ahead.
func behind(rank int64, a queue.Answer) queue.Answer {
	a.Rank = rank
	return a
}

// config returns a Config for masters that grant the lock for one second. Their clocks are exact.
func config(masters int) queue.Config {
	return queue.Config{
		System: vote.Majority(masters), AttemptTimeout: time.Second, MinBackoff: 16 * time.Millisecond,
	}
}

const token = "some token or other"

// jitter is the jitter of token.
var jitter = backoff.Jitter(token)

// noAttempts is a Retry that forbids plain attempts.
var noAttempts = queue.Retry{Attempt: clock.Never}

// testEntry is an entry with the current time.
type testEntry struct {
	*queue.Entry
	t       *testing.T
	masters int
	now     clock.Instant
	retry   queue.Retry
}

// newTestEntry returns an entry that has just polled all masters.
func newTestEntry(t *testing.T, masters int) *testEntry {
	t.Helper()
	return pollAll(t, config(masters))
}

// pollAll returns an entry that has just polled all masters.
func pollAll(t *testing.T, cfg queue.Config) *testEntry {
	t.Helper()
	masters := cfg.System.Masters()
	w := &testEntry{Entry: queue.NewEntry(cfg, token, time.Second), t: t, masters: masters, now: start, retry: noAttempts}
	act, ask, next := w.Step(w.now, w.retry)
	assert.Equal(t, queue.Stay, act)
	assert.Len(t, ask, masters)
	assert.Equal(t, clock.Never, next)
	return w
}

// answers makes masters 0, 1 and so on answer now.
func (w *testEntry) answers(all ...queue.Answer) {
	for i, a := range all {
		w.Answered(i, a, w.now, true)
	}
}

// granted delivers a message: a master has granted the lock under the latest question, at once.
func (w *testEntry) granted(master int) {
	w.Granted(master, queue.Grant{Asked: w.AskedAt(master)}, w.now)
}

// stale delivers a message of a grant that is over.
func (w *testEntry) stale(master int) { w.Granted(master, queue.Grant{Asked: 1}, w.now) }

func (w *testEntry) advance(d time.Duration) { w.now = w.now.Add(d) }

// staysFor checks that the waiter stays, polls the given masters, and wants another Step after d.
// Then it lets d pass.
func (w *testEntry) staysFor(d time.Duration, ask ...int) {
	w.t.Helper()
	act, asked, next := w.Step(w.now, w.retry)
	assert.Equal(w.t, queue.Stay, act)
	assert.Equal(w.t, ask, asked, "asked")
	assert.Equal(w.t, d, next.Sub(w.now), "next step")
	w.now = next
}

// does checks the waiter's action. For Stay it does not check the polls.
func (w *testEntry) does(want queue.Action) {
	w.t.Helper()
	act, ask, next := w.Step(w.now, w.retry)
	assert.Equal(w.t, want, act)
	if want != queue.Stay {
		assert.Empty(w.t, ask)
		assert.Zero(w.t, next)
	}
}

// untilSlot returns how long it is until the next slot of a master that is polled once per period.
func (w *testEntry) untilSlot(master int, period time.Duration) time.Duration {
	share := jitter + float64(master)/float64(w.masters)
	slot := clock.Instant(time.Duration(share * float64(period)).Truncate(period / 20))
	for slot <= w.now.Add(period/4) {
		slot = slot.Add(period)
	}
	return slot.Sub(w.now)
}

// untilAnySlot returns how long it is until the first slot of any master. Master i is polled once
// per periods[i], or, if there is one period only, all are.
func (w *testEntry) untilAnySlot(periods ...time.Duration) time.Duration {
	first := time.Hour
	for i := range w.masters {
		first = min(first, w.untilSlot(i, periods[i%len(periods)]))
	}
	return first
}

// shortest is how often the first waiter in the queue polls a master at first.
const shortest = 500 * time.Millisecond

// patience is how long the waiter keeps too few grants if nobody is ahead of it. It is from 3/2 to
// 2 times an eighth of the grant.
var patience = time.Duration(float64(125*time.Millisecond) * (1.5 + jitter*0.5))

// A grant must outlast a confirmation, and a dead waiter must cost at most two seconds.
func TestGrantIsBounded(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		time.Millisecond:       500 * time.Millisecond,
		500 * time.Millisecond: 500 * time.Millisecond,
		time.Second:            time.Second,
		2 * time.Second:        2 * time.Second,
		time.Hour:              2 * time.Second,
	} {
		assert.Equal(t, want, queue.Config{AttemptTimeout: timeout}.Grant(time.Minute, 0), "%v", timeout)
	}
}

// What is granted longer than the TTL or the restart guard is not covered by them. Masters count
// milliseconds, so a grant has no fraction of one.
func TestGrantIsNoLongerThanTTLAndGuard(t *testing.T) {
	cfg := queue.Config{AttemptTimeout: 1500*time.Millisecond + 999*time.Microsecond}
	for _, test := range []struct{ ttl, guard, want time.Duration }{
		{time.Minute, 0, 1500 * time.Millisecond},
		{time.Minute, time.Hour, 1500 * time.Millisecond},
		{1499 * time.Millisecond, 0, 1499 * time.Millisecond},
		{time.Minute, 1498 * time.Millisecond, 1498 * time.Millisecond},
		{300 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond},
		{200 * time.Millisecond, 300 * time.Millisecond, 200 * time.Millisecond},
		{200*time.Millisecond + 1, 0, 200 * time.Millisecond},
		{time.Millisecond, time.Millisecond, time.Millisecond},
	} {
		assert.Equal(t, test.want, cfg.Grant(test.ttl, test.guard), "TTL %v, guard %v", test.ttl, test.guard)
	}
}

// The longest interval between polls is 5 s, so a place survives two lost renewals in a row.
func TestLease(t *testing.T) {
	assert.Equal(t, 15*time.Second, queue.Lease)
}

func TestActionsHaveNames(t *testing.T) {
	for act, name := range []string{"stay", "confirm", "give back", "attempt", "hold", "Action(5)"} {
		assert.Equal(t, name, queue.Action(act).String())
	}
}

func TestJitterDependsOnToken(t *testing.T) {
	assert.Equal(t, jitter, queue.NewEntry(config(3), token, time.Second).Jitter())
	assert.NotEqual(t, jitter, queue.NewEntry(config(3), "x"+token, time.Second).Jitter())
}

// A new entry polls every master once, and then waits for the answers.
func TestNewEntryAsksAllMasters(t *testing.T) {
	e := queue.NewEntry(config(3), token, time.Second)
	for i := range 3 {
		assert.Zero(t, e.AskedAt(i))
		_, ok := e.Heard(i)
		assert.False(t, ok)
	}
	act, ask, next := e.Step(start, queue.Retry{})
	assert.Equal(t, queue.Stay, act, "the masters may still answer")
	assert.Equal(t, []int{0, 1, 2}, ask)
	assert.Equal(t, clock.Never, next)
	assert.Equal(t, start, e.AskedAt(2))
	_, ask, _ = e.Step(start+1, queue.Retry{})
	assert.Empty(t, ask)
	assert.Equal(t, start, e.AskedAt(2))
}

func TestHeardReturnsLastAnswer(t *testing.T) {
	w := newTestEntry(t, 3)
	want := behind(8, quarantined(7))
	w.answers(want)
	a, ok := w.Heard(0)
	assert.True(t, ok)
	assert.Equal(t, want, a)
	w.granted(0)
	a, _ = w.Heard(0)
	assert.Equal(t, queue.Answer{Outcome: vote.Held, Left: 7, Rank: 8}, a, "a message changes only the outcome")
	w.granted(1)
	a, ok = w.Heard(1)
	assert.True(t, ok)
	assert.Equal(t, vote.Held, a.Outcome)
}

// A waiter holds the lock at once if a quorum has granted it, but not with fewer grants. If the
// grants are over by the time their messages come, it confirms instead.
func TestQuorumOfGrantsIsEnough(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for grants := range n + 1 {
			for want, message := range map[queue.Action]func(*testEntry, int){
				queue.Hold: (*testEntry).granted, queue.Confirm: (*testEntry).stale,
			} {
				w := newTestEntry(t, n)
				w.retry.Confirm = clock.Never // applies only without a quorum of grants
				for i := range n {
					w.Answered(i, taken, w.now, true)
				}
				for i := range grants {
					message(w, i)
				}
				if grants < n/2+1 {
					want = queue.Stay
				}
				act, _, _ := w.Step(w.now, w.retry)
				assert.Equal(t, want, act, "%d of %d", grants, n)
			}
		}
	}
}

// A grant is over when the master's time for it has passed since the message, or the first answer
// that told of it. From then on it is not even a reason to confirm.
func TestGrantExpires(t *testing.T) {
	for _, test := range []struct {
		age  time.Duration
		want queue.Action
	}{{time.Second - 1, queue.Confirm}, {time.Second, queue.Stay}} {
		w := newTestEntry(t, 3)
		w.granted(0)
		w.advance(test.age)
		w.Answered(1, held, w.now, true)
		w.does(test.want)
	}
}

// A grant counts from when the waiter first heard of it. A later answer may repeat it just before
// it expires.
func TestRepeatedAnswerDoesNotRenewGrant(t *testing.T) {
	for _, test := range []struct {
		between []queue.Answer
		want    queue.Action
	}{
		{nil, queue.GiveBack},
		{[]queue.Answer{held}, queue.GiveBack},
		{[]queue.Answer{taken, held}, queue.Confirm}, // another grant
	} {
		w := newTestEntry(t, 3)
		w.answers(held)
		for _, a := range test.between {
			w.advance(time.Millisecond)
			w.AskSoon(0)
			w.does(queue.Stay) // polls master 0
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

// A master sends a message only when it grants the lock, so the grant is new.
func TestMessageRenewsGrant(t *testing.T) {
	w := newTestEntry(t, 3)
	w.granted(0)
	w.advance(600 * time.Millisecond)
	w.granted(0)
	w.advance(600 * time.Millisecond)
	w.stale(1)
	w.does(queue.Confirm)
}

// A message that comes during a call is newer than the call's answer, so it prevails. But if the
// master refuses the call, its state is unknown.
func TestMessageDuringCallPrevailsOverAnswer(t *testing.T) {
	for _, test := range []struct {
		answer queue.Answer
		want   vote.Outcome
	}{
		{taken, vote.Held}, {absent, vote.Held}, {unknown, vote.Held}, {unsent, vote.Held},
		{held, vote.Held}, {refused, vote.Refused}, {quarantined(time.Second), vote.Refused},
	} {
		w := newTestEntry(t, 3)
		w.granted(0)
		w.answers(test.answer)
		a, _ := w.Heard(0)
		assert.Equal(t, test.want, a.Outcome, "%v", test.answer.Outcome)
	}
}

func TestLaterAnswerReplacesGrant(t *testing.T) {
	for _, later := range []queue.Answer{taken, absent, unknown, refused, unsent} {
		w := newTestEntry(t, 3)
		w.answers(taken, taken, taken)
		w.granted(0)
		w.advance(1)
		w.AskSoon(0)
		w.does(queue.Stay) // polls master 0
		w.advance(1)
		w.answers(later)
		a, _ := w.Heard(0)
		assert.Equal(t, later, a)
	}
}

// A waiter gives back too few grants when its patience ends, counted from the first grant.
func TestTooFewGrantsAreGivenBack(t *testing.T) {
	w := newTestEntry(t, 5)
	w.answers(taken, taken, taken, taken, taken)
	w.granted(0)
	w.staysFor(time.Second / 32)
	w.staysFor(patience-time.Second/32, 1, 2, 3, 4)
	w.now--
	w.granted(1) // does not extend the patience
	w.staysFor(1)
	w.does(queue.GiveBack)
}

// The patience starts anew if the waiter had no grants in between.
func TestPatienceStartsAnewWithoutGrants(t *testing.T) {
	w := newTestEntry(t, 3)
	w.answers(held, taken, taken)
	w.does(queue.Stay)
	w.advance(100 * time.Millisecond)
	w.AskSoon(0)
	w.does(queue.Stay) // polls master 0
	w.answers(taken)
	w.does(queue.Stay)
	w.advance(50 * time.Millisecond)
	w.granted(1)
	w.does(queue.Stay)
	w.advance(patience - 1)
	w.does(queue.Stay)
	w.advance(1)
	w.does(queue.GiveBack)
}

// After a grant, the waiter soon polls the masters that it has not polled since. So it finds grants
// whose messages were lost.
func TestGrantMakesWaiterPollOthersSoon(t *testing.T) {
	w := newTestEntry(t, 5)
	w.answers(taken, taken, taken, taken)
	w.advance(10 * time.Millisecond)
	w.AskSoon(1)
	w.granted(0)
	w.staysFor(time.Second/32, 1)
	assert.Equal(t, start.Add(10*time.Millisecond), w.AskedAt(1), "polled when the grant came, not since")
	w.answers(held, taken)
	w.staysFor(patience-time.Second/32, 1, 2, 3)
	w.answers(held, taken, taken, taken)
	w.now = w.AskedAt(1)
	w.staysFor(patience - time.Second/32) // all have been polled since
}
