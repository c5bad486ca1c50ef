package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Entry is a waiter's entry in the masters' queues, under one token. A released token never counts
// again, so the waiter's next entry needs a new token.
//
// All instants must be later than 0, because 0 means "not yet".
type Entry struct {
	cfg     Config
	token   string
	jitter  float64
	grant   time.Duration // how long a master grants the lock for
	masters []masterView

	granted clock.Instant // when the first of the current grants came; 0 if there are none
	ahead   int64         // how many waiters were ahead of this one then
	vacant  clock.Instant // since when a quorum has been vacant or granted; 0 if none has
	emptied clock.Instant // when an answer last said that a key had become vacant; 0 if none did

	until clock.Instant // see Window
	fence int64
}

// NewEntry returns an entry that is not yet in any master's queue. grant is how long a master
// grants the lock for; see Config.Grant.
func NewEntry(cfg Config, token string, grant time.Duration) *Entry {
	return &Entry{
		cfg: cfg, token: token, jitter: backoff.Jitter(token), grant: grant,
		masters: make([]masterView, cfg.System.Masters()),
	}
}

// Jitter returns a number in [0, 1) derived from the token. It spreads the actions of many waiters
// over time.
func (e *Entry) Jitter() float64 { return e.jitter }

// AskedAt returns when Step last said to poll a master, or 0 if it never did.
func (e *Entry) AskedAt(master int) clock.Instant { return e.masters[master].asked }

// Heard returns a master's last answer. ok is false if there is none.
func (e *Entry) Heard(master int) (a Answer, ok bool) {
	m := &e.masters[master]
	return m.answer, m.heard != 0
}

// Answered records a master's answer. notified says whether messages from the master can reach this
// waiter.
func (e *Entry) Answered(master int, a Answer, now clock.Instant, notified bool) {
	m := &e.masters[master]
	if m.record(a, now) {
		e.emptied = now
	}
	if a.Outcome == vote.Held && a.Left > 0 {
		m.term = max(m.term, e.termOf(m.asked, 0, a.Left, now)) //mutant:term-of-answer
	}
	m.due = e.plan(master, notified, now)
	if m.askAgain {
		m.due, m.askAgain = now, false
	}
}

// Window returns until when the lock can be relied on after Hold, and its fence, which is 0 without
// fencing.
func (e *Entry) Window() (until clock.Instant, fence int64) { return e.until, e.fence }

// AskSoon makes the next Step poll a master. If a call is in flight, a Step after that call polls
// once more, because the master may have answered before it had the news.
func (e *Entry) AskSoon(master int) {
	m := &e.masters[master]
	m.due, m.askAgain = 0, m.inFlight
}

// Step decides what the waiter does now. If the action is Stay, the caller must poll the masters in
// ask. It must call Step again when anything changes, and no later than next. A call to each master
// in ask counts as in flight until Answered.
func (e *Entry) Step(now clock.Instant, r Retry) (act Action, ask []int, next clock.Instant) {
	v := e.view(now)
	e.track(v, now)
	alarm := alarmClock{now: now, next: clock.Never}
	if act := e.decide(v, r, &alarm); act != Stay {
		return act, nil, 0
	}
	for i := range e.masters {
		m := &e.masters[i]
		if at := e.dueAt(m); !m.inFlight && alarm.isDue(at) {
			m.inFlight, m.asked = true, now
			ask = append(ask, i)
		}
	}
	return Stay, ask, alarm.next
}

// decide returns the action for Step.
func (e *Entry) decide(v view, r Retry, alarm *alarmClock) Action {
	y := e.cfg.System
	switch {
	case y.HasQuorum(v.grants):
		var ok bool
		if e.until, e.fence, ok = e.window(alarm.now); ok {
			return Hold
		}
		if e.mayGetFence(alarm.now) && !alarm.isDue(e.granted.Add(e.moment())) { //mutant:awaits-fence
			return Stay
		}
		return Confirm
	case y.HasQuorum(v.grants | v.vacant):
		if turn := e.turn(v, r); alarm.isDue(turn) && e.isFresh(v, turn, alarm.now) {
			return Confirm
		}
	case !y.HasQuorum(v.answered | v.pending):
		if alarm.isDue(r.Attempt) {
			return Attempt
		}
	}
	if v.grants != 0 && alarm.isDue(e.granted.Add(e.patience())) {
		return GiveBack //mutant:queue-gives-back
	}
	return Stay
}

// turn returns when this waiter's turn to confirm a vacant lock begins. The waiters ahead have
// their turns first. But a waiter with grants does not wait for its turn: the others see that its
// masters are taken. It waits for a moment, because more grants spare it the confirmation.
func (e *Entry) turn(v view, r Retry) clock.Instant {
	if v.grants != 0 { //mutant:turn-with-grants
		return max(r.Confirm, e.granted.Add(e.moment()))
	}
	return max(r.Confirm, e.vacant.Add(time.Duration(e.rank(v.answered))*turnLength)) //mutant:queue-turn
}

// moment is how long the entry waits for messages that usually come at the same time.
func (e *Entry) moment() time.Duration { return e.grant / 256 }

// patience returns how long the entry keeps too few grants before it gives them back. The other
// masters need a moment to grant the lock too. But everyone waits for grants that are not used.
//
// Grants are handed back to lower tickets only. So of the waiters that split the masters, the one
// with the fewest ahead of it gives back last. Those that have as many ahead of them, as far as
// they know, must not all give back at the same time.
//
// What counts is who was ahead before the grants: a waiter that is granted the lock on a master
// leaves the queue there.
func (e *Entry) patience() time.Duration {
	ahead := float64(e.ahead)
	latest, earliest := 1+1/(1+ahead), 1+1/(2+ahead) //mutant:lowest-gives-back-last
	return time.Duration(float64(e.grant/8) * (earliest + e.jitter*(latest-earliest)))
}

// answered returns the masters that have answered anything so far.
func (e *Entry) answered() (masters vote.Set) {
	for i := range e.masters {
		if e.masters[i].heard != 0 {
			masters |= vote.Only(i)
		}
	}
	return masters
}

// alarmClock remembers the earliest future time at which something is due.
type alarmClock struct{ now, next clock.Instant }

// isDue reports whether at has come. If not, it sets the alarm for at.
func (a *alarmClock) isDue(at clock.Instant) bool {
	if at > a.now {
		a.next = min(a.next, at)
	}
	return at <= a.now
}

// view is what an entry knows, as sets of masters.
type view struct {
	grants   vote.Set // granted the lock to this entry, and the grant has not expired
	vacant   vote.Set // reported that nobody holds the lock
	answered vote.Set // reported anything useful: these two, taken or quarantined
	pending  vote.Set // may still answer the first poll
}

// view groups the masters by their last answers.
func (e *Entry) view(now clock.Instant) (v view) {
	for i := range e.masters {
		m, one := &e.masters[i], vote.Only(i)
		switch {
		case m.answer.Outcome == vote.Held && now.Sub(m.heard) < e.grant:
			v.grants |= one
			v.answered |= one
		case m.answer.Outcome == vote.Absent:
			v.vacant |= one
			v.answered |= one
		case m.answer.Outcome == vote.Taken, m.isQuarantined():
			v.answered |= one
		case m.isNewlyAsked(now, e.cfg.AttemptTimeout/2):
			v.pending |= one
		}
	}
	return v
}

// rank returns how many waiters are ahead of this one. The masters may disagree, so it takes the
// quorum with the lowest ranks, and returns the highest of these.
func (e *Entry) rank(answered vote.Set) (rank int64) {
	masters := slices.SortedFunc(answered.Each(), func(a, b int) int {
		return cmp.Compare(e.masters[a].answer.Rank, e.masters[b].answer.Rank)
	})
	var lowest vote.Set
	for _, i := range masters {
		rank = e.masters[i].answer.Rank
		if lowest |= vote.Only(i); e.cfg.System.HasQuorum(lowest) {
			break
		}
	}
	return rank
}

// track records when the current grants and the current vacancy began, and who was ahead then.
func (e *Entry) track(v view, now clock.Instant) {
	since := func(began *clock.Instant, holds bool) {
		switch {
		case !holds:
			*began = 0
		case *began == 0:
			*began = now
		}
	}
	if e.granted == 0 && v.grants != 0 { //mutant:rank-before-grants
		e.ahead = e.rank(e.answered())
	}
	since(&e.granted, v.grants != 0)
	since(&e.vacant, e.cfg.System.HasQuorum(v.grants|v.vacant))
}

// isFresh reports whether the entry's knowledge of a quorum is recent. A grant always is. A report
// of a vacant key is recent if the waiter received it just now, or asked for it during its turn.
// Older reports do not count, because the waiters ahead have had time to take the lock since. Their
// masters become due for another poll. A quorum of the others is enough, so a hung master does not
// delay the waiter.
func (e *Entry) isFresh(v view, turn, now clock.Instant) bool {
	fresh := v.grants
	for i := range v.vacant.Each() {
		m := &e.masters[i]
		if m.asked < turn && now.Sub(m.heard) > turnLength/4 {
			m.due = 0
		} else {
			fresh |= vote.Only(i)
		}
	}
	return e.cfg.System.HasQuorum(fresh) //mutant:fresh-quorum
}
