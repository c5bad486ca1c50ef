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
	// Overtaken is Held for an entry with another fence than the request asked for. Taken means
	// that a lock of another kind is in the way, and Absent that the master has no such entry.
	Outcome vote.Outcome
	// Fence is the one that the entry has there, if it stands.
	Fence int64
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
}

// Turn is a master's message that there is room before the entry now.
type Turn struct {
	// Asked is when the waiter was about to send its latest request that had reached the master,
	// rounded down to microseconds.
	Asked clock.Instant
	// Fence is the one that the entry had.
	Fence int64
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
	fence   int64         // that the entry has there
	hasRoom bool          // with that fence
	final   bool          // the master will never have the entry
	term    clock.Instant // until when its lease lasts at least
	lasts   clock.Instant // the same, if the entry stands; also if only a message has told of it

	inFlight bool          // a call is in flight
	askAgain bool          // ask once more after the call in flight
	asked    clock.Instant // when the master was last asked; 0 if never
	lease    time.Duration // the lease that it was asked for then
	moving   int64         // the fence that it was asked for then
	due      clock.Instant // when to ask again
	rechecks int           // how many pauses in a row were shorter than usual
}

// record records an answer.
func (e *Entry) record(master int, a Answer, now clock.Instant) {
	m := &e.masters[master]
	switch a.Outcome {
	case vote.Held, vote.Overtaken, vote.Blocked:
		switch {
		case !m.stands, a.Anew && m.since != m.asked: // a message may have told of it before the answer //mutant:admitted-anew
			m.enter(m.asked, 0)
		case m.lasts <= now: // it may have expired, and a late request may have made it stand again //mutant:stood-throughout
			m.enter(m.asked, 0)
		}
		lease := m.lease //mutant:term-of-lease
		if a.Outcome != vote.Blocked {
			lease = e.cfg.TTL
		}
		m.term = max(m.term, m.asked.Add(e.cfg.Window(lease))) //mutant:term-of-request
		m.lasts = max(m.lasts, m.term)
		e.see(master, a.Fence, a.Outcome != vote.Blocked, a.Before)
	case vote.Absent: // it was forgotten, or the lease is over
		m.final, m.stands, m.hasRoom, m.term = true, false, false, 0 //mutant:waiter-is-not-readmitted
	case vote.Taken:
		m.stands, m.hasRoom, m.term = false, false, 0
	}
}

// enter records that a master has admitted the entry, and until when it lasts. What is known of an
// earlier admission does not count.
func (m *masterView) enter(asked, lasts clock.Instant) {
	m.stands, m.since, m.fence, m.hasRoom, m.term, m.lasts = true, asked, 0, false, 0, lasts
}

// see records a report on the entry with a fence. While it has that fence, the room before it does
// not shrink, so a master that had room for it still has: a report that says otherwise is older. If
// the entry has a higher fence now, earlier reports do not count.
func (e *Entry) see(master int, fence int64, hasRoom bool, before []string) {
	m := &e.masters[master]
	if fence > m.fence { //mutant:report-of-fence
		m.fence, m.hasRoom = fence, false
	}
	if fence == m.fence && hasRoom {
		e.room.Name(master, before, !m.hasRoom)
		m.hasRoom = true
	}
}

// plan returns when to ask a master that has just answered. notified says whether messages from it
// can reach this waiter.
func (e *Entry) plan(master int, notified bool, now clock.Instant) clock.Instant {
	m := &e.masters[master]
	period := e.period(master)
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
	case vote.Held, vote.Overtaken, vote.Blocked, vote.Taken, vote.Absent:
		return true
	}
	return a.Quarantined
}

// recheck shortens a pause if the master will soon have news, because what is in the way may end.
// If it did not, the pauses become longer.
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

// period returns how often to ask a master. Two polls in a row may get lost before the lease ends.
func (e *Entry) period(master int) time.Duration {
	return min(periodOf(e.masters[master].answer.Rank), 2*e.Lease(master)/7) //mutant:period-of-lease
}

// periodOf returns how often to ask a master that has that many entries before this one.
func periodOf(rank int64) time.Duration {
	return min(shortestPeriod+time.Duration(rank)*shortestPeriod/4, longestPeriod)
}
