package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Entry is a waiter's entry in the masters' queues, under one token. A token that was given up is
// never counted again, so the waiter's next entry needs another one.
//
// Instants are later than 0, which stands for "not so far".
type Entry struct {
	cfg     Config
	token   string
	jitter  float64
	masters []masterView

	granted clock.Instant // when the first of the present grants came; 0 for none
	vacant  clock.Instant // when a quorum was first seen free for this entry; 0 if it is not
}

// NewEntry returns an entry that no master has been told of yet.
func NewEntry(cfg Config, token string) *Entry {
	return &Entry{
		cfg: cfg, token: token, jitter: backoff.Jitter(token),
		masters: make([]masterView, cfg.System.Masters()),
	}
}

// Jitter returns a number in [0, 1) that is drawn from the token. It spreads over time what many
// waiters do at once.
func (e *Entry) Jitter() float64 { return e.jitter }

// AskedAt returns when Step last said to ask a master, and 0 if it never did.
func (e *Entry) AskedAt(master int) clock.Instant { return e.masters[master].asked }

// Heard returns what a master told last. ok is false if it has told nothing yet.
func (e *Entry) Heard(master int) (a Answer, ok bool) {
	m := &e.masters[master]
	return m.answer, m.heard != 0
}

// Answered takes in a master's answer. notified says whether the master can tell this waiter by
// message that it was granted the lock.
func (e *Entry) Answered(master int, a Answer, now clock.Instant, notified bool) {
	m := &e.masters[master]
	m.record(a, now)
	m.due = now.Add(e.pause(m, notified))
	if m.again {
		m.due, m.again = now, false
	}
}

// Granted takes in a message: a master has granted this entry the lock.
func (e *Entry) Granted(master int, now clock.Instant) {
	m := &e.masters[master]
	m.answer.Outcome, m.answer.Quarantined, m.answer.Err = vote.Held, false, nil
	m.heard = now
}

// AskSoon makes the next Step ask a master. If a call is under way, Step asks once more after it:
// the master may have been asked before it had what it is to be asked for.
func (e *Entry) AskSoon(master int) {
	m := &e.masters[master]
	m.due, m.again = 0, m.underWay
}

// Step decides what to do now. If that is Stay, the caller asks the given masters how things stand,
// and calls Step again at next at the latest, or once anything has changed. The masters count as
// being asked from now on, until Answered.
func (e *Entry) Step(now clock.Instant, r Retry) (act Action, ask []int, next clock.Instant) {
	v := e.view(now)
	e.track(v, now)
	wake := alarm{now: now, next: clock.Never}
	if act := e.decide(v, r, &wake); act != Stay {
		return act, nil, 0
	}
	for i := range e.masters {
		m := &e.masters[i]
		if at := e.dueAt(m); !m.underWay && wake.isDue(at) {
			m.underWay, m.asked = true, now
			ask = append(ask, i)
		}
	}
	return Stay, ask, wake.next
}

// decide is Step without the masters to ask.
func (e *Entry) decide(v view, r Retry, wake *alarm) Action {
	y := e.cfg.System
	switch {
	case y.HasQuorum(v.grants):
		return Confirm
	case y.HasQuorum(v.grants | v.vacant):
		if turn := e.turn(v, r); wake.isDue(turn) && e.isFresh(v, turn, wake.now) {
			return Confirm
		}
	case !y.HasQuorum(v.answered | v.pending):
		if wake.isDue(r.Attempt) {
			return Attempt
		}
	}
	if v.grants != 0 && wake.isDue(e.granted.Add(e.keptFor())) {
		return GiveBack //mutant:queue-gives-back
	}
	return Stay
}

// turn returns when it is this waiter's turn to confirm a lock that nobody holds. Those before it
// have theirs first. Whoever was granted some of it goes at once, because the others see that those
// masters are taken.
func (e *Entry) turn(v view, r Retry) clock.Instant {
	if v.grants != 0 {
		return r.Confirm
	}
	return max(r.Confirm, e.vacant.Add(time.Duration(e.rank(v.answered))*patience)) //mutant:queue-turn
}

// keptFor returns for how long the entry keeps grants that are too few. Waiters that split the
// masters must not all give back at the same time.
func (e *Entry) keptFor() time.Duration {
	grace := e.cfg.grace()
	return grace + time.Duration(e.jitter*float64(grace))
}

// alarm collects the times at which something is to be done, and keeps the first one that is yet
// to come.
type alarm struct{ now, next clock.Instant }

// isDue reports whether at has come. If not, the alarm is set for it.
func (a *alarm) isDue(at clock.Instant) bool {
	if at > a.now {
		a.next = min(a.next, at)
	}
	return at <= a.now
}

// view is how things stand for an entry.
type view struct {
	grants   vote.Set // granted this entry the lock, not too long ago
	vacant   vote.Set // nobody has the lock there
	answered vote.Set // said something of use: those two, and where others or nobody may have it
	pending  vote.Set // were asked for the first time just now
}

// view sorts the masters by what they told last.
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

// rank returns the lowest number of others that are before this waiter at most, on some quorum of
// those that answered.
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

// track records when the current state began.
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

// isFresh reports whether a quorum is granted to this entry, or was seen vacant lately, or has been
// asked again in this waiter's turn. Masters that were seen vacant some time ago become due: those
// before this waiter have had time to take the lock since. One that hangs now is not waited for.
func (e *Entry) isFresh(v view, turn, now clock.Instant) bool {
	fresh := v.grants
	for i := range v.vacant.Each() {
		m := &e.masters[i]
		if m.asked < turn && now.Sub(m.heard) > patience/4 {
			m.due = 0
		} else {
			fresh |= vote.Only(i)
		}
	}
	return e.cfg.System.HasQuorum(fresh) //mutant:fresh-quorum
}
