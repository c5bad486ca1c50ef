package quorum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// waiters is the state that all callers of Acquire share.
type waiters struct {
	acquirer *acquirer
	config   queue.Config
	locals   *localQueues
	notifier *notifier
}

func newWaiters(a *acquirer, n *notifier) *waiters {
	e := a.engine
	return &waiters{
		acquirer: a, notifier: n, locals: newLocalQueues(&e.contention, e.done),
		config: queue.Config{
			System: e.system, AttemptTimeout: e.opts.AttemptTimeout, MinBackoff: e.opts.MinBackoff,
			Drift: e.opts.Drift, Fencing: e.opts.Fencing,
		},
	}
}

// acquireWithin is acquire, bounded by WaitAtMost.
func (s *waiters) acquireWithin(ctx context.Context, p acquireParams) (*Lock, error) {
	ctx, cancel := p.boundWait(ctx)
	defer cancel()
	return s.acquire(ctx, p)
}

// boundWait returns a context that also ends when WaitAtMost is over. The caller must call the
// CancelFunc.
func (p *acquireParams) boundWait(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.waitAtMost == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, p.waitAtMost, &waitedError{p.waitAtMost}) //mutant:wait-at-most
}

// contended reports whether an attempt at a lock of an ordered kind, or a plain one, is likely to
// fail, because somebody waits for it, here or elsewhere.
func (s *waiters) contended(key string, ordered bool) bool {
	return s.locals.contended(localKey{key, ordered}) || s.acquirer.engine.contention.contended(key, s.acquirer.engine.clock.Now())
}

// waitedError is why a call stopped waiting. Unlike the end of the caller's context, it is no
// context error.
type waitedError struct{ atMost time.Duration }

func (e *waitedError) Error() string { return fmt.Sprintf("waited for %v", e.atMost) }

// Is makes it an ErrWaitExceeded.
func (e *waitedError) Is(target error) bool { return target == ErrWaitExceeded } //nolint:errorlint // this is what errors.Is asks

// acquire acquires a lock. It waits for its turn, first in the local queue of this process and then
// in the masters' queues.
//
// A caller that wins too late to have any validity left lets the others go first. Its TTL may be
// too short to ever succeed, and theirs need not be.
func (s *waiters) acquire(ctx context.Context, p acquireParams) (*Lock, error) {
	if p.mode != "" {
		return s.admit(ctx, p)
	}
	w := &waiter{waiters: s, engine: s.acquirer.engine, params: p, ticket: p.keptTicket(), wake: newSignal()}
	w.hasWaited = w.ticket != 0
	for {
		l, err := w.takeTurn(ctx)
		var failure *AttemptError
		if err == nil || !errors.As(err, &failure) || !failure.late {
			return l, err
		}
		if !w.engine.sleep(ctx, w.pause(w.attempts+w.failures)) {
			return nil, waitedInVain(ctx, w.engine, w.params.name, failure)
		}
	}
}

// waiter is a caller of Acquire.
//
// It has a place in each master's queue for the lock. When a holder releases the lock, the masters
// hand it on and notify the waiter. Package queue decides what to do next; waiter does it.
type waiter struct {
	waiters *waiters
	engine  *engine
	params  acquireParams
	ticket  int64
	wake    signal // something has changed

	hasWaited bool // the call has waited for another lock

	failures int // confirmations that failed
	attempts int // plain attempts that failed
	retry    queue.Retry

	mu    sync.Mutex  // guards entry and its state
	entry *queueEntry // nil while it is not in the queues
}

// queueEntry is a waiter's entry in the masters' queues, under its own token. A token that was
// given up never counts again, so the waiter's next entry has a new token. The waiter's ticket
// stays the same.
type queueEntry struct {
	waiter   *waiter
	claim    *claim
	grant    time.Duration // how long a master grants the lock for
	delay    time.Duration // how much longer it keeps the key; see Options.LockDelay
	channels []string      // by master; see notifier
	state    *queue.Entry
}

// takeTurn waits for the waiter's turn in this process, and contends. A call that has waited for
// another lock before contends at once, with its ticket. In the local queue, it would wait behind
// younger calls.
func (w *waiter) takeTurn(ctx context.Context) (*Lock, error) { //mutant:take-turn
	key := w.engine.opts.Prefix + w.params.name
	if w.hasWaited { //mutant:beside-local-queue
		return w.contend(ctx, key, new(localQueue))
	}
	q, ok := w.waiters.locals.takeTurn(ctx, localKey{key, false}, 1)
	if !ok {
		return nil, waitedInVain(ctx, w.engine, w.params.name, cmp.Or(w.waiters.locals.why(q), w.params.refused))
	}
	acquired := clock.Never
	defer func() { w.waiters.locals.pass(localKey{key, false}, q, acquired) }() // also if the client panics
	l, err := w.contend(ctx, key, q)
	if err == nil {
		acquired = w.engine.clock.Now()
	}
	return l, err
}

// waitedInVain returns the error of an acquisition that ctx or Close ended. It does not modify
// last, because callers behind in the local queue may be reading it.
func waitedInVain(ctx context.Context, e *engine, name string, last *AttemptError) error {
	if e.closed.Load() {
		return errClosedNotAcquired
	}
	if last == nil {
		last = e.unsentError("acquire", name, nil)
	}
	failure := *last
	failure.reasons = append(last.reasons[:1:1], ended(ctx)...)
	failure.Masters = slices.Clone(last.Masters) // they are the caller's now
	return &failure
}

// contend makes attempts, and waits in the masters' queues in between. It returns when an attempt
// wins, even too late, when ctx ends, or when the Manager is closed.
func (w *waiter) contend(ctx context.Context, key string, q *localQueue) (*Lock, error) {
	defer w.leave(wire.Anyone) //mutant:waiter-leaves
	next := queue.Attempt
	if ctx.Err() == nil && (w.params.refused != nil || w.engine.contention.contended(key, w.engine.clock.Now())) { //mutant:refused-waits
		next = queue.Stay
	}
	last := cmp.Or(w.waiters.locals.contend(q, w), w.params.refused) // the last attempt that ctx did not interrupt, even another caller's
	for {
		l, err := w.act(ctx, next)
		var failure *AttemptError
		switch {
		case l != nil:
			return l, nil
		case errors.As(err, &failure):
			if last == nil || ctx.Err() == nil {
				last = failure
				w.waiters.locals.failed(q, failure)
			}
			if (failure.late || errors.Is(failure, ErrOtherMasters)) && ctx.Err() == nil { //mutant:late-contender
				return nil, failure
			}
		case err != nil:
			return nil, err
		}
		var over bool
		if next, over, err = w.await(ctx); err != nil {
			return nil, err
		}
		if over {
			return nil, waitedInVain(ctx, w.engine, w.params.name, w.why(last))
		}
	}
}

// act takes the given action.
func (w *waiter) act(ctx context.Context, next queue.Action) (*Lock, error) {
	switch next {
	case queue.Attempt:
		l, _, err := w.waiters.acquirer.attempt(ctx, w.params)
		if err != nil {
			w.retry.Attempt = w.engine.clock.Now().Add(w.pause(w.attempts))
			w.attempts++
		}
		return l, err
	case queue.Confirm:
		l, err := w.waiters.acquirer.confirm(ctx, w.params, w.takeEntry().claim)
		if err != nil {
			w.retry.Confirm = w.engine.clock.Now().Add(w.pause(w.failures))
			w.failures++
		}
		return l, err
	case queue.Hold:
		return w.hold(), nil
	case queue.GiveBack:
		w.leave(wire.LowerThan(w.ticket)) //mutant:waiter-gives-back
	case queue.Stay:
	}
	return nil, nil
}

// hold takes the lock that a quorum has granted to the waiter's entry. It returns nil if too much
// time has passed meanwhile.
func (w *waiter) hold() *Lock {
	e := w.takeEntry()
	until, fence := e.state.Window() // only Step changes it
	return w.waiters.acquirer.hold(w.params, e.claim, until, fence, true)
}

// pause returns how long to wait after the n-th failed try.
func (w *waiter) pause(n int) time.Duration {
	seed := strconv.FormatInt(int64(n)^w.ticket, 36) + w.params.name
	return backoff.Pause(w.engine.opts.MinBackoff, w.engine.opts.MaxBackoff, n, seed)
}

// takeEntry removes the waiter's entry and returns it, because its token is about to be used up. It
// returns nil if there is none.
func (w *waiter) takeEntry() *queueEntry {
	w.mu.Lock()
	e := w.entry
	w.entry = nil
	w.mu.Unlock()
	if e != nil {
		w.waiters.notifier.unregister(e.claim.subject.Token)
	}
	return e
}

// leave leaves the queues in the background, and hands on whatever was granted.
func (w *waiter) leave(to wire.Heir) {
	if e := w.takeEntry(); e != nil { //mutant:left-entry
		discard(w.engine, e.claim, to, w.engine.clock.Now())
	}
}

// await waits until there is something to do. over reports that ctx ended or the Manager was closed
// first.
func (w *waiter) await(ctx context.Context) (next queue.Action, over bool, err error) {
	isOver := func() bool { return ctx.Err() != nil || w.engine.closed.Load() }
	if isOver() {
		return queue.Stay, true, nil
	}
	if err := w.enqueue(ctx); err != nil {
		return queue.Stay, false, err
	}
	timer := w.engine.timers.take(0)
	defer w.engine.timers.giveBack(timer)
	for {
		if isOver() { // also if something else has happened at the same time
			return queue.Stay, true, nil
		}
		now := w.engine.clock.Now()
		action, ask, look := w.step(now)
		if action != queue.Stay {
			return action, false, nil
		}
		for _, master := range ask {
			w.entry.ask(master, now)
		}
		timer.Reset(max(look.Sub(now), minTimer))
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
		case <-w.engine.done:
		}
	}
}

// step decides what to do now; see queue.Entry.Step.
func (w *waiter) step(now clock.Instant) (action queue.Action, ask []int, look clock.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entry.state.Step(now, w.retry)
}

// enqueue makes a new entry if there is none.
func (w *waiter) enqueue(ctx context.Context) error {
	if w.entry != nil {
		return nil
	}
	c := w.engine.newWaitersClaim(ctx, w.params.name)
	c.enqueued, c.call = true, w.engine.events.contextOf(ctx)
	delay := w.params.keep - w.params.ttl
	c.noteTTL(max(w.params.keep, queue.Lease))
	grant := w.waiters.config.Grant(w.params.ttl, max(w.engine.opts.RestartGuard-delay, 0))
	e := &queueEntry{waiter: w, claim: c, grant: grant, delay: delay, state: queue.NewEntry(w.waiters.config, c.subject.Token, grant)}
	var err error
	if e.channels, err = w.waiters.notifier.register(e); err != nil {
		return err
	}
	if w.ticket == 0 {
		w.ticket = w.newTicket(ctx, c)
		w.params.keepTicket(w.ticket)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entry = e
	return nil
}

// newTicket returns the current time on the masters. It asks them first if too few have reported
// their time. A waiter that used its own clock might end up behind everyone else, or ahead of them.
func (w *waiter) newTicket(ctx context.Context, c *claim) int64 {
	if !w.engine.system.HasQuorum(w.engine.offsets.known()) {
		place := wire.Place{Lease: queue.Lease}
		newRound(w.engine, c, c.subject.Wait(place)).run(ctx, w.engine.clock.Now(), clock.Never)
	}
	return max(w.engine.offsets.mastersTime(w.engine.clock.Now()), 1) //mutant:ticket
}

// why returns why the waiter does not have the lock. It goes by the masters' latest answers if
// those say that the lock is taken, and otherwise by the last attempt.
func (w *waiter) why(last *AttemptError) *AttemptError {
	failure := w.engine.unsentError("acquire", w.params.name, nil)
	if !w.told(failure.Masters) {
		return last
	}
	failure.classify(w.engine.system)
	if last != nil && !errors.Is(failure, ErrTaken) {
		return last
	}
	return failure
}

// told fills in the masters' latest answers to the waiter. It returns false if the waiter is not in
// the queues.
func (w *waiter) told(results []MasterResult) bool {
	w.mu.Lock()
	e := w.entry
	for i := range results {
		if e == nil {
			break
		}
		if a, ok := e.state.Heard(i); ok {
			results[i].Outcome, results[i].Err = Outcome(a.Outcome), a.Err
		}
	}
	w.mu.Unlock()
	if e == nil {
		return false
	}
	for i, m := range w.engine.masters {
		results[i].Err = m.Redact(results[i].Err, e.claim.subject.Token)
	}
	return true
}

// question asks one master for the state of the lock.
type question struct {
	request wire.Request
	op      redisconn.Op
}

// ask asks one master for the state of the lock. Each call makes a new operation: the next one may
// be due as soon as the last one's answer arrives, and the lane is not done with the last one by
// then.
//
// The question is named by the time at which it is about to be sent. A master's message repeats
// that name.
func (e *queueEntry) ask(master int, now clock.Instant) {
	w, c := e.waiter, e.claim
	deadline := time.Duration(now.Add(w.engine.opts.AttemptTimeout))
	q := &question{request: c.subject.Wait(wire.Place{
		Ticket: w.ticket, Lease: queue.Lease,
		Grant:     e.grant + e.delay, //mutant:grant-delay
		Question:  sinceOrigin(now),  //mutant:question-named
		Retention: c.retention(), Channel: e.channels[master],
	})}
	q.request.SetDeadline(deadline) //mutant:wait-deadline
	q.op = redisconn.Op{
		Payload: wire.Call{Request: &q.request, Master: uint8(master)}, Owner: e, Deadline: deadline,
	}
	w.engine.lanes.SubmitTo(master, c.sequence, &q.op)
}

// Done records a master's answer.
func (e *queueEntry) Done(op *redisconn.Op, dropped error) {
	w, call := e.waiter, &op.Payload
	a := call.Read(dropped)
	w.engine.apply(e.claim, call, &a, dropped)
	master, now := int(call.Master), w.engine.clock.Now()
	notified := w.waiters.notifier.notifies(master)
	w.mu.Lock()
	asked := e.state.AskedAt(master)
	left := a.Left
	if a.Outcome == vote.Held {
		left -= e.delay // no lock is held for that part //mutant:held-delay
	}
	e.state.Answered(master, queue.Answer{
		Outcome: a.Outcome, Quarantined: a.Quarantined, Err: a.Err, Left: left, Rank: a.Rank,
	}, now, notified)
	w.mu.Unlock()
	if a.Unheard && w.engine.masters[master].CountsListeners() {
		w.waiters.notifier.unheard(master, asked)
	}
	w.wake.raise()
}

func (e *queueEntry) token() string   { return e.claim.subject.Token }
func (e *queueEntry) jitter() float64 { return e.state.Jitter() }

// received records a message that a master has granted the lock.
func (e *queueEntry) received(master int, payload string) {
	g, ok := wire.ParseGrant(payload)
	if !ok {
		return
	}
	w, now := e.waiter, e.waiter.engine.clock.Now()
	e.claim.record(master, vote.Granted, 0)
	w.mu.Lock()
	e.state.Granted(master, queue.Grant{Asked: instant(g.Question), Age: g.Age, Fence: g.Fence}, now)
	w.mu.Unlock()
	w.wake.raise()
}

// askSoon makes the waiter ask a master soon.
func (e *queueEntry) askSoon(master int) {
	w := e.waiter
	w.mu.Lock()
	e.state.AskSoon(master)
	w.mu.Unlock()
	w.wake.raise()
}
