package queue

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
)

// Grant is what a message says of a master's grant.
type Grant struct {
	// Asked is when the waiter was about to send the question under which the master granted it the
	// lock.
	Asked clock.Instant
	// Age is how long before the grant that question reached the master.
	Age time.Duration
	// Fence is the fence that the master stored with the grant; 0 if it stored none.
	Fence int64
}

// term is the instant until which a master's grant stands at least. It is in the past if nothing is
// known of a grant.
//
// It counts from a question, and never from the arrival of a message: a message can be late, and
// the grant may be over by then. The master had the question after it was sent, and granted the
// lock Age after it had the question.
type term = clock.Instant

// fencedTerm is the term of a grant with which the master stored a fence.
type fencedTerm struct {
	until term
	fence int64
}

// termOf returns the term of a grant that lasts for length, by the master's clock. It was made age
// after the master had received a question, by the master's clock too. The master's clock may be
// fast.
func (e *Entry) termOf(asked clock.Instant, age, length time.Duration, now clock.Instant) term {
	granted := asked
	if age > 0 {
		granted = asked.Add(max(e.cfg.Drift.Window(age), 0)) //mutant:term-age
	}
	return min(granted, now).Add(e.cfg.Drift.Window(length)) //mutant:term
}

// Granted records a message: a master has granted the lock to this entry.
func (e *Entry) Granted(master int, g Grant, now clock.Instant) {
	m := &e.masters[master]
	m.answer.Outcome, m.answer.Quarantined, m.answer.Err = vote.Held, false, nil
	m.heard, m.told = now, true
	until := e.termOf(g.Asked, g.Age, e.grant, now) //mutant:grant-named
	m.term = max(m.term, until)
	if g.Fence > 0 && until > m.fenced.until {
		m.fenced = fencedTerm{until, g.Fence}
	}
}

// window returns until when a quorum's grants stand at least, and the lock's fence. ok is false if
// that is no reason to hold the lock without asking again: too little time is left, or there is no
// fence.
//
// A fence counts only if the masters that count for the window have stored it, each of them anew
// and with its grant. They all stored the same one.
func (e *Entry) window(now clock.Instant) (until clock.Instant, fence int64, ok bool) {
	terms, standing := make([]clock.Instant, len(e.masters)), vote.Set(0)
	for i := range e.masters {
		m := &e.masters[i]
		terms[i] = m.term
		if e.cfg.Fencing {
			terms[i] = m.fenced.until //mutant:window-fenced
		}
		if terms[i] > now { //mutant:term-over
			standing |= vote.Only(i)
		}
	}
	if e.cfg.Fencing {
		fence, standing = e.commonFence(standing) //mutant:fence-masters
	}
	until, ok = vote.Agreed(e.cfg.System, standing, terms) //mutant:window-agreed
	return until, fence, ok && until.Sub(now) >= minWindow //mutant:window-short
}

// mayGetFence reports whether messages that have yet to come may complete a quorum that stored one
// fence. An answer may tell of a grant before the message does, and has no fence.
func (e *Entry) mayGetFence(now clock.Instant) bool {
	var untold vote.Set
	by := map[int64]vote.Set{}
	for i := range e.masters {
		switch m := &e.masters[i]; {
		case !m.told && (m.answer.Outcome == vote.Held || m.heard < e.granted):
			untold |= vote.Only(i)
		case m.fenced.until > now:
			by[m.fenced.fence] |= vote.Only(i)
		}
	}
	may := e.cfg.System.HasQuorum(untold)
	for _, stored := range by {
		may = may || e.cfg.System.HasQuorum(stored|untold) && !e.cfg.System.HasQuorum(stored)
	}
	return e.cfg.Fencing && may
}

// commonFence returns the fence that a quorum of the masters has stored, and those masters. It
// returns none if there is no such fence.
func (e *Entry) commonFence(masters vote.Set) (fence int64, stored vote.Set) {
	by := map[int64]vote.Set{}
	for i := range masters.Each() {
		f := e.masters[i].fenced.fence
		by[f] |= vote.Only(i)
		if e.cfg.System.HasQuorum(by[f]) { //mutant:fence-quorum
			fence = f
		}
	}
	return fence, by[fence]
}
