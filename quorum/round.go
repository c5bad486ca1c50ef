package quorum

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// round is one question put to every master at once, and the count of the
// answers.
type round struct {
	question
	ops     []operation
	keeping atomic.Pointer[keeping] // what the answers mean for a lock; nil if nothing (yet)
	first   bool                    // to leave: the token was not released before

	mu      sync.Mutex // guards all below and the outcomes of ops
	tally   tally
	verdict verdict
	changed chan struct{} // gets a value when verdict changes
	awaited uint64        // bit i: settled waits for master i
	settled chan struct{} // closed once no master is awaited any more; nil if nobody asks
}

func newRound(q question) *round {
	m := q.claim.manager
	return &round{
		question: q,
		ops:      make([]operation, len(m.masters)),
		tally:    tally{masters: len(m.masters), quorum: m.quorum},
		changed:  make(chan struct{}, 2), // doomed or presumed, and the final verdict
	}
}

// submit hands the question to every lane, now. It is not sent at or after
// deadline.
func (r *round) submit(now, deadline clock.Instant) {
	for i := range r.ops {
		r.prepare(i, deadline)
	}
	r.claim.manager.lanes.Submit(time.Duration(now), r.claim.sequence, r.ops)
}

func (r *round) prepare(master int, deadline clock.Instant) {
	r.ops[master] = operation{
		Payload:  request{question: &r.question, master: uint8(master)},
		Owner:    r,
		Deadline: time.Duration(deadline),
		Undo:     r.verb == leaveVerb,
	}
}

// Settle counts one master's answer.
func (r *round) Settle(op *operation, dropped error) {
	q := &op.Payload
	outcome, err := q.read(dropped)
	r.claim.note(q, outcome, dropped)

	decided, verdict := r.count(q, outcome, err, dropped)
	if k := r.keeping.Load(); k != nil {
		k.answered(r, q, decided, verdict)
	}
	if decided {
		r.changed <- struct{}{} // it has room for each change there can be
	}
}

// count enters one answer. It returns the verdict, and whether this answer
// decided it.
func (r *round) count(q *request, outcome Outcome, err, dropped error) (decided bool, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.outcome, q.err, q.settled = outcome, err, true
	r.tally.add(outcome, dropped, r.first && outcome == Taken && q.sentOnce())
	if v := r.tally.verdict(r.verb); v != r.verdict && r.verdict < failed {
		r.verdict, decided = v, true
	}
	if bit := uint64(1) << q.master; r.awaited&bit != 0 {
		if r.awaited &^= bit; r.awaited == 0 {
			close(r.settled)
		}
	}
	return decided, r.verdict
}

func (r *round) current() verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.verdict
}

// wait returns the verdict, as soon as there is one and at deadline at the
// latest. It is undecided if ctx or the deadline came first.
//
// A round that has failed waits for as long again as it took so far, and a
// little, to learn which failure it is; so does a release for masters that have
// yet to answer.
func (r *round) wait(ctx context.Context, start, deadline clock.Instant) verdict {
	m := r.claim.manager
	now := m.opts.Clock.Now
	timer := m.timer(deadline.Sub(start))
	defer m.keep(timer)
	closed := m.done
	if r.verb == leaveVerb { // it is what Close waits for
		closed = nil
	}
	for {
		select {
		case <-r.changed:
		case <-ctx.Done():
			return r.current()
		case <-closed:
			return r.current()
		case <-timer.C:
			if left := deadline.Sub(now()); left > 0 { // the clock decides
				timer.Reset(max(left, shortestTimer))
				continue
			}
			return r.current()
		}
		switch v := r.current(); v {
		case undecided:
		case doomed, presumed:
			if r.mayBeUsurped() {
				continue // it is rare, and worth all the time there is
			}
			grace := now().Add(now().Sub(start) + classifyGrace)
			deadline = min(deadline, grace)
			timer.Reset(deadline.Sub(now()))
		default:
			return v
		}
	}
}

// shortestTimer keeps a wait from spinning where timers and the clock disagree,
// as with a fake clock.
const shortestTimer = 100 * time.Microsecond

// classifyGrace is the little: a scheduling hiccup or two.
const classifyGrace = 10 * time.Millisecond

// results returns what each master has answered so far.
func (r *round) results() []MasterResult {
	c := r.claim
	r.mu.Lock()
	defer r.mu.Unlock()
	results := make([]MasterResult, len(r.ops))
	for i := range r.ops {
		q, m := &r.ops[i].Payload, c.manager.masters[i]
		results[i] = MasterResult{Master: m.address, Outcome: q.outcome, Err: redact(q.err, c.token, m.password)}
		switch {
		case q.settled:
		case r.verdict == undecided:
			results[i].Err = errNoAnswerYet
		default:
			results[i].Err = errNotAwaited
		}
	}
	return results
}

// Why there is no answer: the round's time was over, or it was decided without this
// master, which may be in the best of health.
var (
	errNoAnswerYet = errors.New("no answer yet")
	errNotAwaited  = errors.New("not waited for")
)

// failure makes the error of a round that did not win.
func (r *round) failure(op string, reasons ...error) *AttemptError {
	return &AttemptError{
		Op: op, Name: r.claim.name, Quorum: r.claim.manager.quorum,
		Masters: r.results(), reasons: reasons,
	}
}

// having returns the masters (a bit set) with the given outcome so far.
func (r *round) having(o Outcome) (masters uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ops {
		if q := &r.ops[i].Payload; q.settled && q.outcome == o {
			masters |= 1 << i
		}
	}
	return masters
}

// mayBeUsurped tells whether answers to come may tell that the lock to be released was
// lost.
func (r *round) mayBeUsurped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.usurped > 0
}

// mayGrant tells whether a master may yet grant what it was asked for.
func (r *round) mayGrant() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.counts[Unknown] > 0 || r.tally.settled < len(r.ops)
}

// inItsOwnWay tells whether an acquire round failed only because tokens stand there
// that this Manager has given up.
func (r *round) inItsOwnWay(now clock.Instant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, enough := 0, len(r.ops)-r.tally.quorum+1
	for i := range r.ops {
		if q := &r.ops[i].Payload; q.settled && q.outcome == Taken && r.claim.manager.abandoned.has(q.vote.standing, now) {
			own++
		}
	}
	taken := r.tally.counts[Taken]
	return taken >= enough && taken-own < enough
}

// unsentError makes the error of an operation that was not begun, because ctx had
// ended.
func (m *Manager) unsentError(op, name string, ended []error) *AttemptError {
	failure := &AttemptError{
		Op: op, Name: name, Quorum: m.quorum,
		reasons: append([]error{ErrNoQuorum}, ended...),
	}
	for _, m := range m.masters {
		failure.Masters = append(failure.Masters, MasterResult{Master: m.address, Outcome: Unsent})
	}
	return failure
}

// awaitAll makes settled wait for every master. It comes before submit.
func (r *round) awaitAll() {
	r.awaited = ^uint64(0) >> (mostMasters - len(r.ops))
	r.settled = make(chan struct{})
}

// holder returns the one token, not this claim's, that stands on a majority, and
// "" if there is none. It waits for the masters that have not answered as wait
// does for the reason of a failure. It is for an acquire round after awaitAll.
func (r *round) holder(ctx context.Context, start clock.Instant) string {
	m := r.claim.manager
	timer := m.timer(m.opts.Clock.Now().Sub(start) + classifyGrace)
	defer m.keep(timer)
	select {
	case <-r.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	votes := map[string]int{}
	for i := range r.ops {
		q := &r.ops[i].Payload
		if !q.settled || q.outcome != Taken { // until settled, it is its lane's
			continue
		}
		token := q.vote.standing
		if votes[token]++; votes[token] >= m.quorum {
			return token
		}
	}
	return ""
}
