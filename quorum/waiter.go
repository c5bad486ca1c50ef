package quorum

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/wire"
)

// waiters is what all callers of Acquire have in common.
type waiters struct {
	*acquirer
	queue    queue.Config
	locals   *localQueues
	notifier *notifier
}

func newWaiters(a *acquirer, n *notifier) *waiters {
	return &waiters{
		acquirer: a, notifier: n, locals: newLocalQueues(&a.contention, a.done),
		queue: queue.Config{System: a.system, AttemptTimeout: a.opts.AttemptTimeout, MinBackoff: a.opts.MinBackoff},
	}
}

// acquire acquires a lock, waiting for it: for its turn among the callers in this process, and then
// among those on the masters.
//
// A caller that wins too late for any validity to be left lets the others go first: its TTL may be
// hopeless, and theirs are not.
func (s *waiters) acquire(ctx context.Context, p acquireParams) (*Lock, error) {
	w := &waiter{waiters: s, acquireParams: p, wake: newSignal()}
	for {
		l, err := w.takeTurn(ctx)
		var failure *AttemptError
		if err == nil || !errors.As(err, &failure) || !failure.late {
			return l, err
		}
		if !s.sleep(ctx, w.pause(w.attempts+w.failures)) {
			return nil, w.waitedInVain(ctx, failure)
		}
	}
}

// waiter is a caller of Acquire.
//
// It has a place in each master's queue for the lock. Whoever releases the lock hands it on there,
// and the masters tell the waiter. Package queue decides what to do about what they tell; waiter
// does it. Nothing that a master says to a waiter, and no order that the queues keep, has a part in
// the lock's safety: a waiter confirms the lock with one more round, by the rules of any attempt.
type waiter struct {
	*waiters
	acquireParams
	ticket int64
	wake   signal // something has changed

	failures int // confirmations that failed
	attempts int // plain attempts that failed
	retry    queue.Retry

	mu    sync.Mutex  // guards entry and its state
	entry *queueEntry // nil while it is not in the queues
}

// queueEntry is a waiter's entry in the masters' queues, under a token of its own. A token that was
// given up is never counted again, so the waiter's next entry has another. Its ticket stays the
// same.
type queueEntry struct {
	waiter  *waiter
	claim   *claim
	request wire.Request
	state   *queue.Entry
}

// takeTurn waits for the waiter's turn in this process, and contends.
func (w *waiter) takeTurn(ctx context.Context) (*Lock, error) { //mutant:take-turn
	key := w.opts.Prefix + w.name
	q, ok := w.locals.takeTurn(ctx, key)
	if !ok {
		return nil, w.waitedInVain(ctx, w.locals.why(q))
	}
	acquired := clock.Never
	defer func() { w.locals.pass(key, q, acquired) }() // also when a client's code panics
	l, err := w.contend(ctx, key, q)
	if err == nil {
		acquired = w.clock.Now()
	}
	return l, err
}

// waitedInVain makes the error of an acquisition that ctx or Close ended. It changes nothing about
// the last failure: those behind in the local queue may be looking at it.
func (w *waiter) waitedInVain(ctx context.Context, last *AttemptError) error {
	if w.closed.Load() {
		return ErrClosed
	}
	if last == nil {
		last = w.unsentError("acquire", w.name, nil)
	}
	failure := *last
	failure.reasons = append(last.reasons[:1:1], ended(ctx)...)
	failure.Masters = slices.Clone(last.Masters) // they are the caller's now
	return &failure
}

// contend makes attempts, and waits in the masters' queues in between, until one attempt wins, even
// if too late, ctx ends, or the Manager is closed.
func (w *waiter) contend(ctx context.Context, key string, q *localQueue) (*Lock, error) {
	defer w.leave(wire.Anyone) //mutant:waiter-leaves
	next := queue.Attempt
	if w.contention.contended(key, w.clock.Now()) && ctx.Err() == nil {
		next = queue.Stay
	}
	last := w.locals.contend(q, w) // the last attempt that ctx did not interrupt, even another's
	for {
		l, err := w.act(ctx, next)
		var failure *AttemptError
		switch {
		case l != nil:
			return l, nil
		case errors.As(err, &failure):
			if last == nil || ctx.Err() == nil {
				last = failure
				w.locals.failed(q, failure)
			}
			if failure.late && ctx.Err() == nil { //mutant:late-contender
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
			return nil, w.waitedInVain(ctx, w.why(last))
		}
	}
}

// act does what is to be done next.
func (w *waiter) act(ctx context.Context, next queue.Action) (*Lock, error) {
	switch next {
	case queue.Attempt:
		l, _, err := w.attempt(ctx, w.acquireParams)
		if err != nil {
			w.retry.Attempt = w.clock.Now().Add(w.pause(w.attempts))
			w.attempts++
		}
		return l, err
	case queue.Confirm:
		l, err := w.confirm(ctx, w.acquireParams, w.withdrawEntry().claim)
		if err != nil {
			w.retry.Confirm = w.clock.Now().Add(w.pause(w.failures))
			w.failures++
		}
		return l, err
	case queue.GiveBack:
		w.leave(wire.LowerThan(w.ticket)) //mutant:waiter-gives-back
	case queue.Stay:
	}
	return nil, nil
}

// pause is how long to wait after the n-th failed try.
func (w *waiter) pause(n int) time.Duration {
	seed := strconv.FormatInt(int64(n)^w.ticket, 36) + w.name
	return backoff.Pause(w.opts.MinBackoff, w.opts.MaxBackoff, n, seed)
}

// withdrawEntry takes the waiter's entry away from it, for its token to be used up.
func (w *waiter) withdrawEntry() *queueEntry {
	w.mu.Lock()
	e := w.entry
	w.entry = nil
	w.mu.Unlock()
	if e != nil {
		w.notifier.unregister(e.claim.subject.Token)
	}
	return e
}

// leave leaves the queues, in the background, and hands on what was granted.
func (w *waiter) leave(to wire.Heir) {
	if e := w.withdrawEntry(); e != nil {
		now := w.clock.Now()
		w.retire(e.claim, now)
		startRelease(w.engine, e.claim, to, now, 0)
	}
}

// await waits until there is something to do. over tells that ctx ended or the Manager was closed
// before.
func (w *waiter) await(ctx context.Context) (next queue.Action, over bool, err error) {
	if ctx.Err() != nil || w.closed.Load() {
		return queue.Stay, true, nil
	}
	if err := w.enqueue(ctx); err != nil {
		return queue.Stay, false, err
	}
	timer := w.timers.take(0)
	defer w.timers.giveBack(timer)
	for {
		now := w.clock.Now()
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
			return queue.Stay, true, nil
		case <-w.done:
			return queue.Stay, true, nil
		}
	}
}

// step decides what to do now; see queue.Entry.Step.
func (w *waiter) step(now clock.Instant) (action queue.Action, ask []int, look clock.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entry.state.Step(now, w.retry)
}

// enqueue makes a new entry, if there is none.
func (w *waiter) enqueue(ctx context.Context) error {
	if w.entry != nil {
		return nil
	}
	c := w.newClaim(w.name)
	c.enqueued = true
	c.asked(max(w.ttl, queue.Lease))
	e := &queueEntry{waiter: w, claim: c, state: queue.NewEntry(w.queue, c.subject.Token)}
	channel, err := w.notifier.register(e)
	if err != nil {
		return err
	}
	if w.ticket == 0 {
		w.ticket = w.newTicket(ctx, c)
	}
	e.request = c.subject.Wait(wire.Place{Ticket: w.ticket, Lease: queue.Lease, Grant: w.queue.Grant(), Channel: channel})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entry = e
	return nil
}

// newTicket returns what time it is on the masters. They are asked first, if they have not told
// before: a waiter that went by its own clock might wait behind everybody, or before.
func (w *waiter) newTicket(ctx context.Context, c *claim) int64 {
	if !w.system.HasQuorum(w.offsets.known()) {
		place := wire.Place{Lease: queue.Lease, Grant: w.queue.Grant()}
		newRound(w.engine, c, c.subject.Wait(place)).run(ctx, w.clock.Now(), clock.Never)
	}
	return max(w.offsets.mastersTime(w.clock.Now()), 1) //mutant:ticket
}

// why returns why the waiter has not got the lock: by what the masters told last, if that says that
// it is taken, and otherwise by the last attempt.
func (w *waiter) why(last *AttemptError) *AttemptError {
	failure := w.unsentError("acquire", w.name, nil)
	if !w.told(failure.Masters) {
		return last
	}
	failure.classify(w.system)
	if last != nil && !errors.Is(failure, ErrTaken) {
		return last
	}
	return failure
}

// told fills in what the masters told the waiter last. It returns false if it is not in the queues.
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
	for i, m := range w.masters {
		results[i].Err = m.Redact(results[i].Err, e.claim.subject.Token)
	}
	return true
}

// ask asks one master how things stand. Each time it is an operation of its own: the lane is not
// done with the last one when that one's answer comes, and the next may be due by then.
func (e *queueEntry) ask(master int, now clock.Instant) {
	w := e.waiter
	w.lanes.SubmitTo(master, e.claim.sequence, &redisconn.Op{
		Payload: wire.Call{Request: &e.request, Master: uint8(master)},
		Owner:   e, Deadline: time.Duration(now.Add(w.opts.AttemptTimeout)),
	})
}

// Done notes what a master told.
func (e *queueEntry) Done(op *redisconn.Op, dropped error) {
	w, call := e.waiter, &op.Payload
	a := call.Read(dropped)
	w.apply(e.claim, call, &a, dropped)
	master, now := int(call.Master), w.clock.Now()
	notified := w.notifier.notifies(master)
	w.mu.Lock()
	asked := e.state.AskedAt(master)
	e.state.Answered(master, queue.Answer{
		Outcome: a.Outcome, Quarantined: a.Quarantined, Err: a.Err, Left: a.Left, Rank: a.Rank,
	}, now, notified)
	w.mu.Unlock()
	if a.Unheard && w.masters[master].CountsListeners() {
		w.notifier.unheard(master, asked)
	}
	w.wake.raise()
}

func (e *queueEntry) token() string   { return e.claim.subject.Token }
func (e *queueEntry) jitter() float64 { return e.state.Jitter() }

// granted takes in a message that a master has granted the lock.
func (e *queueEntry) granted(master int) {
	w, now := e.waiter, e.waiter.clock.Now()
	w.mu.Lock()
	e.state.Granted(master, now)
	w.mu.Unlock()
	w.wake.raise()
}

// askSoon has a master asked soon.
func (e *queueEntry) askSoon(master int) {
	w := e.waiter
	w.mu.Lock()
	e.state.AskSoon(master)
	w.mu.Unlock()
	w.wake.raise()
}
