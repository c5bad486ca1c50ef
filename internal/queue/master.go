package queue

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Answer is what a master tells a waiter that asks how things stand.
type Answer struct {
	// Outcome is Held if this entry was granted the lock, Taken or Absent as for any other
	// request, and anything else if the master told nothing.
	Outcome vote.Outcome
	// Quarantined says of Refused that nobody has the lock there, but that the restart guard does
	// not let anybody have it.
	Quarantined bool
	// Err is why the outcome is what it is. This package only hands it on.
	Err error
	// Left is the time that the key has left, or the quarantine. It is negative if the key never
	// expires or is not there. A key in its last millisecond has 0 left.
	Left time.Duration
	// Rank is how many are before this waiter in the master's queue.
	Rank int64
}

// masterView is what an entry knows of one master.
type masterView struct {
	answer Answer        // what it told last
	heard  clock.Instant // when that was; 0 if never

	underWay bool          // a call is
	again    bool          // ask once more when it is answered
	asked    clock.Instant // when it was asked last; 0 if never
	due      clock.Instant // when to ask again
	polls    int           // how often in a row it was asked because it cannot tell
	rechecks int           // how often in a row it was asked sooner than usual
}

func (m *masterView) isQuarantined() bool {
	return m.answer.Outcome == vote.Refused && m.answer.Quarantined
}

// isNewlyAsked reports whether the first answer is still to come, and may well come.
func (m *masterView) isNewlyAsked(now clock.Instant, patience time.Duration) bool {
	return m.asked == 0 || m.heard == 0 && m.underWay && now.Sub(m.asked) < patience
}

// record takes in an answer. A grant stays as old as it was when first heard of. And one that a
// message told of while the call was under way is later than the call's answer, unless that is an
// error.
func (m *masterView) record(a Answer, now clock.Instant) {
	m.underWay = false
	wasHeld := m.answer.Outcome == vote.Held
	switch {
	case wasHeld && a.Outcome == vote.Held:
	case wasHeld && m.heard >= m.asked && a.Outcome != vote.Refused:
	default:
		m.answer, m.heard = a, now
	}
}

// dueAt returns when to ask a master how things stand. That is sooner than agreed if there is news
// to expect: a waiter before this one is about to take a free lock, or other masters have granted
// the lock since this one was asked.
func (e *Entry) dueAt(m *masterView) clock.Instant {
	if e.vacant > 0 && m.answer.Outcome == vote.Absent && m.answer.Rank > 0 { //mutant:believed-vacancy
		return min(m.due, m.heard.Add(min(firstRecheck<<m.rechecks, longestRecheck)))
	}
	if e.granted > 0 && m.answer.Outcome != vote.Held && m.asked <= e.granted {
		return min(m.due, e.granted.Add(e.cfg.Grant()/32))
	}
	return m.due
}

// pause returns how long to wait before a master is asked again. Those at the end of the queue wait
// longer. If no message can tell of a grant, the pause is much shorter than a grant.
func (e *Entry) pause(m *masterView, notified bool) time.Duration {
	pause := shortestRenewal + time.Duration(m.answer.Rank)*shortestRenewal/4
	pause = min(pause, longestRenewal)
	pause -= time.Duration(e.jitter * float64(pause) / 4)
	pause = m.recheck(pause)
	if notified {
		m.polls = 0
		return pause
	}
	m.polls++
	longest := max(e.cfg.Grant()/8, e.cfg.MinBackoff)
	return min(pause, backoff.Pause(e.cfg.MinBackoff, longest, m.polls, e.token))
}

// recheck shortens a pause if the master is about to have news for the first in the queue: the
// holder's key should expire, or the quarantine end. It doubles with each further time in a row, in
// case the master says the same again: a key may be extended in its last moment each time.
func (m *masterView) recheck(pause time.Duration) time.Duration { //mutant:recheck
	if m.answer.Outcome == vote.Absent {
		m.rechecks = min(m.rechecks+1, mostRechecks)
		return pause // dueAt shortens it
	}
	soon := pause
	isBlocked := m.answer.Outcome == vote.Taken || m.isQuarantined()
	if isBlocked && m.answer.Rank == 0 && m.answer.Left >= 0 {
		soon = min(m.answer.Left, pause) + time.Millisecond //mutant:recheck-vacancy
	}
	if soon > longestRecheck {
		m.rechecks = 0
		return min(soon, pause)
	}
	soon = min(soon<<m.rechecks, longestRecheck)
	m.rechecks = min(m.rechecks+1, mostRechecks)
	return soon
}
