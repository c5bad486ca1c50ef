package admission

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Answer is a master's answer to a request about the entry.
type Answer struct {
	// Outcome is Held if the entry stands and has room, Blocked if it stands and others leave none.
	// Overtaken means that it was not admitted, Taken that a lock of another kind is in the way, and
	// Absent that the master has no such entry.
	Outcome vote.Outcome
	// Anew says that this request made the master admit the entry.
	Anew bool
	// Before is which entries a permit has before it, if the outcome is Held.
	Before []string
	// Conflict says that the outcome is Refused because the name is in use with another kind of
	// lock. Quarantined says that it is because of the restart guard.
	Conflict, Quarantined bool
	// Err explains the outcome. This package only passes it on.
	Err error
	// Left is how long what is in the way lasts, unless it is renewed; 0 if that is not known.
	Left time.Duration
	// Rank is how many entries are before this one.
	Rank int64
	// Floor is the fence to exceed, if the outcome is Overtaken.
	Floor int64
}

// Turn is a master's message that there is room before the entry now.
type Turn struct {
	// Asked is when the waiter was about to send its latest request that had reached the master,
	// rounded down to microseconds.
	Asked clock.Instant
	// Gone is the token of the entry that was released; "" if none was.
	Gone string
	// Before is which entries a permit has before it.
	Before []string
}

// masterView is what is known of the entry on one master.
type masterView struct {
	answer  Answer        // the last answer
	heard   clock.Instant // when it came; 0 if never
	stands  bool          // the entry was admitted, as far as is known
	since   clock.Instant // when the request was about to be sent that made the master admit it
	hasRoom bool
	final   bool          // the master will never have the entry
	term    clock.Instant // until when its lease lasts at least

	inFlight bool          // a call is in flight
	askAgain bool          // ask once more after the call in flight
	asked    clock.Instant // when the master was last asked; 0 if never
	lease    time.Duration // the lease that it was asked for then
	due      clock.Instant // when to ask again
	rechecks int           // how many pauses in a row were shorter than usual
}

// record records an answer. While an entry stands, the room before it does not shrink, so a master
// that had room for it still has: an answer that says otherwise is older than the message.
func (e *Entry) record(master int, a Answer) {
	m := &e.masters[master]
	switch a.Outcome {
	case vote.Held, vote.Blocked:
		anew := !m.stands || a.Anew && m.since != m.asked // a message may have told of it before the answer
		if anew {                                         //mutant:admitted-anew
			*m = masterView{answer: m.answer, heard: m.heard, asked: m.asked, lease: m.lease, rechecks: m.rechecks}
			m.stands, m.since = true, m.asked
			e.room.Forget(master)
		}
		lease := m.lease //mutant:term-of-lease
		if a.Outcome == vote.Held {
			m.hasRoom, lease = true, e.cfg.TTL
			e.room.Name(master, a.Before, anew)
		}
		m.term = max(m.term, m.asked.Add(e.cfg.Window(lease))) //mutant:term-of-request
	case vote.Overtaken:
		m.final = true
		e.floor = max(e.floor, a.Floor)
	case vote.Absent: // it was forgotten, or the lease is over
		m.final, m.stands, m.term = true, false, 0 //mutant:waiter-is-not-readmitted
	case vote.Taken:
		m.stands, m.term = false, 0
	}
}

// plan returns when to ask a master that has just answered. notified says whether messages from it
// can reach this waiter.
func (e *Entry) plan(master int, notified bool, now clock.Instant) clock.Instant {
	m := &e.masters[master]
	period := periodOf(m.answer.Rank)
	pause := time.Duration(float64(period) * (3 + e.jitter) / 4)
	switch a := m.answer; {
	case m.final:
		return clock.Never
	case !a.reports():
		pause = min(pause, e.backOff(m))
	case !m.stands && a.Quarantined:
		pause = min(pause, a.Left+time.Millisecond)
	case !m.stands && a.Outcome == vote.Taken && a.Left > 0:
		pause = m.recheck(pause, a.Left)
	case m.hasRoom: // and waits for other masters to have
		pause = m.recheck(pause, 0)
	case !notified:
		pause = min(pause, e.backOff(m))
	case a.Rank <= max(int64(e.cfg.Permits), 1): // it is the first to wait
		pause = m.recheck(pause, a.Left)
	}
	return now.Add(pause)
}

// reports reports whether the master said anything about the lock.
func (a Answer) reports() bool {
	switch a.Outcome {
	case vote.Held, vote.Blocked, vote.Taken, vote.Absent, vote.Overtaken:
		return true
	}
	return a.Quarantined
}

// recheck shortens a pause if the master will soon have news, because what is in the way may end. If
// it did not, the pauses become longer.
func (m *masterView) recheck(pause, left time.Duration) time.Duration {
	if soon := left + time.Millisecond; soon > longestRecheck {
		m.rechecks = 0
		return min(soon, pause)
	}
	soon := min(max(left, firstRecheck)<<m.rechecks, longestRecheck)
	m.rechecks = min(m.rechecks+1, maxRechecks)
	if soon == longestRecheck && m.rechecks == maxRechecks {
		return pause
	}
	return min(soon, pause)
}

func (e *Entry) backOff(m *masterView) time.Duration {
	m.rechecks = min(m.rechecks+1, maxRechecks)
	return backoff.Pause(e.cfg.MinBackoff, e.cfg.MaxBackoff, m.rechecks, e.token)
}

// periodOf returns how often to ask a master that has that many entries before this one.
func periodOf(rank int64) time.Duration {
	return min(shortestPeriod+time.Duration(rank)*shortestPeriod/4, longestPeriod)
}
