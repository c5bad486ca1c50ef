package queue

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Answer is a master's answer to a poll.
type Answer struct {
	// Outcome is Held if the master granted the lock to this entry. Taken and Absent mean the same
	// as for other requests. With any other outcome, the master reported nothing.
	Outcome vote.Outcome
	// Quarantined says that the outcome is Refused because of the restart guard: nobody holds the
	// lock on this master, and nobody can take it yet.
	Quarantined bool
	// Err explains the outcome. This package only passes it on.
	Err error
	// Left is the remaining time of the key or the quarantine. It is negative if the key never
	// expires or does not exist. A key in its last millisecond has 0 left.
	Left time.Duration
	// Rank is how many waiters are ahead of this one in the master's queue.
	Rank int64
}

// masterView is what an entry knows about one master.
type masterView struct {
	answer Answer        // the last answer
	heard  clock.Instant // when it came; 0 if never
	term   term          // of the grant that lasts longest; 0 if there is none
	fenced fencedTerm    // of the grant with a fence that lasts longest

	inFlight bool          // a call is in flight
	askAgain bool          // poll once more after the call in flight
	asked    clock.Instant // when the master was last polled; 0 if never
	due      clock.Instant // when to poll again
	polls    int           // how many polls in a row replaced messages
	rechecks int           // how many polls in a row came sooner than usual
}

func (m *masterView) isQuarantined() bool {
	return m.answer.Outcome == vote.Refused && m.answer.Quarantined
}

// isNewlyAsked reports whether the master has not answered yet, and was polled less than timeout
// ago or not at all.
func (m *masterView) isNewlyAsked(now clock.Instant, timeout time.Duration) bool {
	return m.asked == 0 || m.heard == 0 && m.inFlight && now.Sub(m.asked) < timeout
}

// record records an answer. Hearing of a grant again does not renew it. A message that came during
// the call is newer than the call's answer, so it prevails. But a Refused answer always replaces a
// grant. A grant that was replaced never counts again: the master may have lost it.
func (m *masterView) record(a Answer, now clock.Instant) {
	m.inFlight = false
	wasHeld := m.answer.Outcome == vote.Held
	switch {
	case wasHeld && a.Outcome == vote.Held:
	case wasHeld && m.heard >= m.asked && a.Outcome != vote.Refused:
	default:
		m.answer, m.heard = a, now
		m.term, m.fenced = 0, fencedTerm{} //mutant:replaced-term
	}
}

// dueAt returns when to poll a master. That is sooner than planned in two cases: a waiter ahead is
// about to take a vacant lock, or another master has granted the lock since this one was polled.
func (e *Entry) dueAt(m *masterView) clock.Instant {
	if e.vacant > 0 && m.answer.Outcome == vote.Absent && m.answer.Rank > 0 { //mutant:believed-vacancy
		return min(m.due, m.heard.Add(min(firstRecheck<<m.rechecks, longestRecheck)))
	}
	if e.granted > 0 && m.answer.Outcome != vote.Held && m.asked <= e.granted {
		return min(m.due, e.granted.Add(e.grant/32))
	}
	return m.due
}

// pause returns how long to wait before the next poll of a master. Waiters at the end of the queue
// wait longer. If the master's messages cannot reach the waiter, the pause is much shorter than a
// grant.
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
	longest := max(e.grant/8, e.cfg.MinBackoff)
	return min(pause, backoff.Pause(e.cfg.MinBackoff, longest, m.polls, e.token))
}

// recheck shortens a pause if the master will soon have news for the first waiter in the queue: the
// holder's key is about to expire, or the quarantine is about to end. The short pauses double,
// because the same answer may come again and again: a holder may always extend its key at the last
// moment.
func (m *masterView) recheck(pause time.Duration) time.Duration { //mutant:recheck
	if m.answer.Outcome == vote.Absent {
		m.rechecks = min(m.rechecks+1, maxRechecks)
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
	m.rechecks = min(m.rechecks+1, maxRechecks)
	return soon
}
