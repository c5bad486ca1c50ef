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
	told   bool          // a message told of the grant

	inFlight bool          // a call is in flight
	askAgain bool          // poll once more after the call in flight
	asked    clock.Instant // when the master was last polled; 0 if never
	due      clock.Instant // when to poll again
	quiet    int           // how many answers in a row said nothing new
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

// reports reports whether the master said anything about the lock.
func (a Answer) reports() bool {
	switch a.Outcome {
	case vote.Held, vote.Taken, vote.Absent:
		return true
	}
	return a.Outcome == vote.Refused && a.Quarantined
}

// repeats reports whether a says nothing that the answer before did not say.
func (a Answer) repeats(before Answer) bool {
	if !a.reports() || !before.reports() {
		return a.reports() == before.reports()
	}
	return a.Outcome == before.Outcome && a.Rank == before.Rank
}

// record records an answer. Hearing of a grant again does not renew it. A message that came during
// the call is newer than the call's answer, so it prevails. But a Refused answer always replaces a
// grant. A grant that was replaced never counts again: the master may have lost it. record reports
// whether the key has become vacant since the answer before.
func (m *masterView) record(a Answer, now clock.Instant) (emptied bool) {
	m.inFlight = false
	before := m.answer.Outcome
	if m.heard != 0 && a.repeats(m.answer) {
		m.quiet = min(m.quiet+1, maxQuiet)
	} else {
		m.quiet = 0
	}
	switch {
	case before == vote.Held && a.Outcome == vote.Held:
		return false
	case before == vote.Held && m.heard >= m.asked && a.Outcome != vote.Refused:
		return false
	}
	m.answer, m.heard = a, now
	m.term, m.fenced, m.told = 0, fencedTerm{}, false //mutant:replaced-term
	return a.Outcome == vote.Absent && (before == vote.Taken || before == vote.Held)
}

// dueAt returns when to poll a master. That is sooner than planned in three cases: a waiter ahead
// is about to take a vacant lock, or, since this master was polled, another one has granted the
// lock or lost its key. In the last two, messages may have been lost.
func (e *Entry) dueAt(m *masterView) clock.Instant {
	if e.vacant > 0 && m.answer.Outcome == vote.Absent && m.answer.Rank > 0 { //mutant:believed-vacancy
		return min(m.due, m.heard.Add(min(firstRecheck<<m.rechecks, longestRecheck)))
	}
	soon := e.grant / 32
	if e.granted > 0 && m.answer.Outcome != vote.Held && m.asked <= e.granted {
		return min(m.due, e.granted.Add(soon))
	}
	if e.emptied > 0 && m.answer.Outcome != vote.Absent && m.asked <= e.emptied { //mutant:news-of-vacancy
		return min(m.due, e.emptied.Add(soon))
	}
	return m.due
}

// plan returns when to poll a master that has just answered. If its messages cannot reach the
// waiter, the pause is much shorter than a grant. But a master that reports nothing grants nothing
// either, and once it can be subscribed to, the waiter polls it anyway.
func (e *Entry) plan(master int, notified bool, now clock.Instant) clock.Instant {
	m := &e.masters[master]
	blind := !notified && m.answer.reports() //mutant:silent-master
	if blind {
		m.quiet = 0
	}
	pause := m.recheck(e.slot(master, m.period(), now).Sub(now))
	if !blind {
		m.polls = 0
		return now.Add(pause)
	}
	m.polls++
	longest := max(e.grant/8, e.cfg.MinBackoff)
	return now.Add(min(pause, backoff.Pause(e.cfg.MinBackoff, longest, m.polls, e.token)))
}

// period returns how often to poll a master. Waiters at the end of the queue poll less often. The
// period doubles while the master says nothing new.
func (m *masterView) period() time.Duration {
	period := shortestPeriod + time.Duration(m.answer.Rank)*shortestPeriod/4
	return min(min(period, longestPeriod)<<m.quiet, longestPeriod) //mutant:quiet-period
}

// slot returns the next instant to poll a master that is polled once per period. It is at least a
// quarter of the period from now, and five quarters at most.
//
// The waiters are spread over the period by their tokens, and each waiter's masters evenly: one of
// N masters has its slot in every N-th part of the period, and tells what the messages of all
// others should have told. A period has few slots, so that the lanes send the polls of many waiters
// as one pipeline.
func (e *Entry) slot(master int, period time.Duration, now clock.Instant) clock.Instant {
	share := e.jitter + float64(master)/float64(len(e.masters)) //mutant:slots-spread
	offset := time.Duration(share * float64(period)).Truncate(period / slots)
	elapsed := (now.Add(period/4).Sub(0) - offset) % period
	if elapsed < 0 {
		elapsed += period
	}
	return now.Add(period/4 + period - elapsed)
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
