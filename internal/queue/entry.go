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
	masters []masterView

	granted clock.Instant // when the first of the current grants came; 0 if there are none
	vacant  clock.Instant // since when a quorum has been vacant or granted; 0 if none has
	emptied clock.Instant // when an answer last said that a key had become vacant; 0 if none did
}

// NewEntry returns an entry that is not yet in any master's queue.
func NewEntry(cfg Config, token string) *Entry {
	return &Entry{
		cfg: cfg, token: token, jitter: backoff.Jitter(token),
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
	m.due = e.plan(master, notified, now)
	if m.askAgain {
		m.due, m.askAgain = now, false
	}
}

// Granted records a message: a master has granted the lock to this entry.
func (e *Entry) Granted(master int, now clock.Instant) {
	m := &e.masters[master]
	m.answer.Outcome, m.answer.Quarantined, m.answer.Err = vote.Held, false, nil
	m.heard = now
}

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
// masters are taken.
func (e *Entry) turn(v view, r Retry) clock.Instant {
	if v.grants != 0 {
		return r.Confirm
	}
	return max(r.Confirm, e.vacant.Add(time.Duration(e.rank(v.answered))*turnLength)) //mutant:queue-turn
}

// patience returns how long the entry keeps too few grants before it gives them back. Waiters that
// split the masters must not all give back at the same time.
func (e *Entry) patience() time.Duration {
	grace := e.cfg.grace()
	return grace + time.Duration(e.jitter*float64(grace))
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
		case m.answer.Outcome == vote.Held && now.Sub(m.heard) < e.cfg.Grant():
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

// track records when the current grants and the current vacancy began.
func (e *Entry) track(v view, now clock.Instant) {
	since := func(began *clock.Instant, holds bool) {
		switch {
		case !holds:
			*began = 0
		case *began == 0:
			*began = now
		}
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
