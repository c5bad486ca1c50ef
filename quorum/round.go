package quorum

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// round is one request to all masters at once, and the count of their answers.
type round struct {
	wire.Request
	engine   *engine
	claim    *claim
	ops      []redisconn.Op
	observer observer // nil for none

	sent, deadline clock.Instant // when it is sent, and when it is given up
	first          bool          // release: the token was not released before
	impatient      bool          // an entry that is behind another one has to wait anyway

	mu      sync.Mutex // guards all below and the answers in ops
	verdict vote.Verdict
	tally   vote.Tally
	leaning clock.Instant // when verdict became Doomed or Tentative, or what impatient says was known; 0 before
	changed chan struct{} // gets a value when verdict or leaning changes
	awaited vote.Set      // settled waits for these
	settled chan struct{} // closed once no master is awaited; nil if nobody asks
}

// observer is called with each answer to a round, by the lane that brought it. decided says that
// this answer changed the verdict. It is an interface because a round knows nothing about locks.
type observer interface {
	answered(master int, a *wire.Answer, decided bool, v vote.Verdict)
}

func newRound(e *engine, c *claim, request wire.Request) *round {
	r := &round{
		Request: request, engine: e, claim: c,
		ops:     make([]redisconn.Op, e.system.Masters()),
		changed: make(chan struct{}, 3), // Blocked, Doomed or Tentative, and the final verdict
	}
	if n := c.mode.Permits(); n > 0 { //mutant:round-room
		r.tally.Room = vote.NewRoom(n, e.system)
	}
	return r
}

// startRelease gives up the claim's token on every master: where it was granted, where it was
// refused, and where the outcome is unknown. Masters that cannot be reached now are owed the
// release. It uses no context but the lanes' own. The round's settled channel is closed once the
// awaited masters have answered.
//
// next is the fence that the next holder may get with the key; 0 for none. Only a claim's first
// release proposes it: all masters get the same number, once.
func startRelease(e *engine, c *claim, to wire.Heir, now clock.Instant, awaited vote.Set, next int64) *round {
	r := newRelease(e, c, to, now, awaited, next)
	r.submit(now, clock.Never) //mutant:release-submit
	return r
}

// newRelease makes the round of startRelease. The masters are owed the release from then on, so the
// caller must submit it.
func newRelease(e *engine, c *claim, to wire.Heir, now clock.Instant, awaited vote.Set, next int64) *round {
	first := !c.released.Swap(true)
	if !first {
		next = 0
	}
	r := newRound(e, c, c.releaseRequest(to, next, now))
	r.first = first
	r.awaited, r.settled = awaited, make(chan struct{})
	for _, releaser := range e.releasers {
		releaser.owing.add(1)
	}
	return r
}

// discard retires a failed claim, and releases it in the background.
func discard(e *engine, c *claim, to wire.Heir, now clock.Instant) {
	e.retire(c, now)
	startRelease(e, c, to, now, 0, 0)
}

// run sends the request and waits for the verdict, for Options.AttemptTimeout at most and no later
// than until.
func (r *round) run(ctx context.Context, start, until clock.Instant) vote.Verdict {
	r.submit(start, r.engine.timeout(start, until))
	return r.await(ctx)
}

// timeout returns when to give up a round that is sent at start.
func (e *engine) timeout(start, until clock.Instant) clock.Instant {
	return min(start.Add(e.opts.AttemptTimeout), until)
}

// submit hands the request to every lane. The request is not sent at or after deadline.
func (r *round) submit(now, deadline clock.Instant) {
	r.prepareAll(now, deadline)
	r.engine.lanes.Submit(time.Duration(now), r.claim.sequence, r.ops)
}

// submitAll hands the requests of several rounds to every lane at once, so that a master gets them
// together. prepareAll must have been called for each round.
func submitAll(e *engine, now clock.Instant, rounds []*round) {
	all := make([]fanout.Submission[wire.Call], len(rounds))
	for i, r := range rounds {
		all[i] = fanout.Submission[wire.Call]{Sequence: r.claim.sequence, Ops: r.ops}
	}
	e.lanes.SubmitAll(time.Duration(now), all)
}

// prepareAll prepares the operations for all masters. They are not sent at or after deadline.
func (r *round) prepareAll(now, deadline clock.Instant) {
	r.sent, r.deadline = now, deadline
	r.SetDeadline(time.Duration(deadline)) //mutant:round-deadline
	for i := range r.ops {
		r.prepare(i, deadline)
	}
}

func (r *round) prepare(master int, deadline clock.Instant) {
	r.ops[master] = redisconn.Op{
		Payload:  wire.Call{Request: &r.Request, Master: uint8(master)},
		Owner:    r,
		Deadline: time.Duration(deadline),
		Undo:     r.Op == vote.Release,
	}
}

// Done counts one master's answer.
func (r *round) Done(op *redisconn.Op, dropped error) {
	call := &op.Payload
	a := call.Read(dropped)
	r.engine.apply(r.claim, call, &a, dropped)
	decided, verdict := r.count(call, a, dropped)
	if r.observer != nil {
		r.observer.answered(int(call.Master), &a, decided, verdict)
	}
	if decided || r.blocked(&a) {
		r.changed <- struct{}{} // it has room for every possible change
	}
}

// blocked reports whether an answer is the first that says that an impatient round's entry has to
// wait, while nothing else is known.
func (r *round) blocked(a *wire.Answer) bool {
	if !r.impatient || a.Outcome != vote.Blocked { //mutant:impatient
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaning != 0 {
		return false
	}
	r.leaning = r.engine.clock.Now()
	return true
}

// count counts one answer. It returns whether this answer changed the verdict, and the verdict.
func (r *round) count(call *wire.Call, a wire.Answer, dropped error) (decided bool, v vote.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	master := int(call.Master)
	call.Answer, call.Settled = a, true
	r.tally.Add(vote.Ballot{ //mutant:ballot
		Master: master, Outcome: a.Outcome,
		Untouched: errors.Is(dropped, fanout.ErrNothingSent),
		Usurped:   r.first && a.Outcome == vote.Taken && a.SentOnce, //mutant:usurped-ballot
		Before:    a.Before,
	})
	if v := r.tally.Verdict(r.engine.system, r.Op); v != r.verdict && !r.verdict.Final() {
		r.verdict, decided = v, true
		if !v.Final() {
			r.leaning = r.engine.clock.Now()
		}
	}
	if r.awaited.Has(master) {
		if r.awaited &^= vote.Only(master); r.awaited == 0 {
			close(r.settled)
		}
	}
	return decided, r.verdict
}

func (r *round) current() vote.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.verdict
}

// await returns the verdict as soon as it is final, at the round's deadline, or when ctx ends; see
// wait.
func (r *round) await(ctx context.Context) vote.Verdict { return r.wait(ctx, r.deadline) }

// wait returns the verdict as soon as it is final. At deadline, or when ctx ends, it returns the
// current verdict.
//
// A round that has failed waits as long again as it took to fail, plus classifyGrace, to find out
// why it failed. So does an impatient one once a master has another entry before its own. A release
// waits just as long for masters that have yet to answer. How long it was waited for before does
// not matter, so several rounds can be waited for one after the other.
func (r *round) wait(ctx context.Context, deadline clock.Instant) vote.Verdict {
	now := r.engine.clock.Now
	timer := r.engine.timers.take(deadline.Sub(now())) //mutant:wait-timer
	defer r.engine.timers.giveBack(timer)
	closed := r.engine.done
	if r.Op == vote.Release { // Close waits for releases //mutant:close-ends-rounds
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
				timer.Reset(max(left, minTimer))
				continue
			}
			return r.current()
		}
		switch v := r.current(); {
		case v.Final():
			return v
		case !r.leans(), r.mayBeUsurped(): // the latter is rare, and worth waiting for until deadline
		default:
			deadline = min(deadline, r.graceEnds()) //mutant:grace-ends
			timer.Reset(deadline.Sub(now()))
		}
	}
}

// leans reports whether there is no reason to wait for the last answers.
func (r *round) leans() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leaning != 0
}

// graceEnds returns until when to wait for the reason of a failure that is known already.
func (r *round) graceEnds() clock.Instant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leaning.Add(r.leaning.Sub(r.sent) + classifyGrace)
}

// classifyGrace covers scheduling jitter while a round waits for the reason of its failure.
const classifyGrace = 10 * time.Millisecond

// mayBeUsurped reports whether the remaining answers may show that the lock being released was
// lost.
func (r *round) mayBeUsurped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.Usurped() != 0 //mutant:wait-for-usurpers
}

// mayGrant reports whether a master may yet grant the request.
func (r *round) mayGrant() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.With(vote.Unknown) != 0 || r.tally.Settled() != r.engine.system.All()
}

// with returns the masters that have answered with one of the outcomes so far.
func (r *round) with(outcomes ...vote.Outcome) (masters vote.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range outcomes {
		masters |= r.tally.With(o)
	}
	return masters
}

// each visits the answers so far. visit must not use the round.
func (r *round) each(visit func(master int, a *wire.Answer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ops {
		if call := &r.ops[i].Payload; call.Settled { // until then it is its lane's
			visit(i, &call.Answer)
		}
	}
}

// stored returns the other token that each master stores, or nil if that is not known.
func (r *round) stored() []*string {
	tokens := make([]*string, len(r.ops))
	r.each(func(master int, a *wire.Answer) {
		if a.Outcome == vote.Taken || a.Outcome == vote.Blocked {
			tokens[master] = &a.Stored // it never changes again
		}
	})
	return tokens
}

// holder returns the other token that a quorum stores, or "" if there is none.
func (r *round) holder() string {
	tokens := make([]string, len(r.ops))
	for i, token := range r.stored() {
		if token != nil {
			tokens[i] = *token
		}
	}
	return r.engine.system.Holder(tokens)
}

// minting collects what the masters that granted the claim reported about fences.
func (r *round) minting() (m vote.Minting) {
	r.each(func(master int, a *wire.Answer) {
		if a.Outcome == vote.Held {
			m.Add(master, a.Fence, a.Anew)
		}
	})
	return m
}

// results returns what each master has answered so far, with secrets redacted.
func (r *round) results() []MasterResult {
	results := make([]MasterResult, len(r.ops))
	missing := errNotAwaited
	r.mu.Lock()
	if r.verdict == vote.Undecided {
		missing = errNoAnswerYet
	}
	for i := range r.ops {
		results[i].Err = missing
		if call := &r.ops[i].Payload; call.Settled { // until then it is its lane's
			results[i].Outcome, results[i].Err = Outcome(call.Answer.Outcome), call.Answer.Err
		}
	}
	r.mu.Unlock()
	for i, m := range r.engine.masters {
		results[i].Master = m.Name()
		if err := results[i].Err; !errors.Is(err, missing) {
			results[i].Err = m.Redact(err, r.claim.subject.Token) //mutant:redact-results
		}
	}
	return results
}

// These errors say why there is no answer. Either the round ran out of time, or it was decided
// without this master, which may be perfectly healthy.
var (
	errNoAnswerYet = errors.New("no answer yet")
	errNotAwaited  = errors.New("not waited for")
)

// failure returns the error of a round that did not win.
func (r *round) failure(op string, reasons ...error) *AttemptError {
	foreign := r.foreign()
	if err := r.engine.set.err(); foreign && err != nil {
		reasons = append(reasons, err)
	}
	return &AttemptError{
		Op: op, Name: r.claim.name, Quorum: r.engine.system.Quorum(), system: r.engine.system,
		Masters: r.results(), reasons: reasons, foreign: foreign,
	}
}

// foreign reports whether a master refused the request because of its record.
func (r *round) foreign() (foreign bool) {
	r.each(func(_ int, a *wire.Answer) { foreign = foreign || a.Foreign })
	return foreign
}

// awaitAll makes settled wait for every master. It must be called before submit.
func (r *round) awaitAll() {
	r.awaited, r.settled = r.engine.system.All(), make(chan struct{})
}

// waitSettled waits for the awaited masters, for as long again as has passed since start, plus
// classifyGrace.
func (r *round) waitSettled(ctx context.Context, start clock.Instant) {
	waitSettled(ctx, r.engine, start, r)
}

// waitSettled waits for several rounds, for as long together as round.waitSettled for one.
func waitSettled(ctx context.Context, e *engine, start clock.Instant, rounds ...*round) {
	timer := e.timers.take(e.clock.Now().Sub(start) + classifyGrace)
	defer e.timers.giveBack(timer)
	for _, r := range rounds {
		select {
		case <-r.settled:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// blockedByRetired reports whether an acquire round failed only because masters store tokens that
// this Manager has given up.
func (r *round) blockedByRetired(now clock.Instant) bool {
	var taken, own vote.Set
	for i, token := range r.stored() {
		if token == nil {
			continue
		}
		taken |= vote.Only(i)
		if r.engine.retired.has(*token, now) {
			own |= vote.Only(i)
		}
	}
	y := r.engine.system
	return y.Blocks(taken) && !y.Blocks(taken&^own)
}
