package quorum

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/admission"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// maxEntrants is how many callers of one Manager may have entries for one lock that wait on the
// masters. The others wait in the local queue, and cost nothing but memory.
const maxEntrants = 16

// entrant is a caller of Acquire for a lock of an ordered kind. It has an entry on each master,
// from its first request until it gives up the lock. Package admission decides what to do next;
// entrant does it.
type entrant struct {
	waiters *waiters
	engine  *engine
	params  acquireParams
	wake    signal // something has changed

	mu    sync.Mutex // guards entry and its state
	entry *waitingEntry
}

// waitingEntry is an entrant's entry, under one token. The claim's own place counts only once the
// entry holds the lock. Until then it is where the state says.
type waitingEntry struct {
	entrant  *entrant
	claim    *claim
	channels []string // by master; see notifier
	state    *admission.Entry
	told     atomic.Bool // a master has told that there is room
}

// admit is acquire for a lock of an ordered kind.
func (s *waiters) admit(ctx context.Context, p acquireParams) (*Lock, error) {
	e := s.acquirer.engine
	w := &entrant{waiters: s, engine: e, params: p, wake: newSignal()}
	key := localKey{e.opts.Prefix + p.name, true}
	q, ok := s.locals.takeTurn(ctx, key, maxEntrants)
	if !ok {
		return nil, waitedInVain(ctx, e, p.name, cmp.Or(s.locals.why(q), p.refused))
	}
	last := cmp.Or(s.locals.contend(q, w), p.refused)
	joined := sync.OnceFunc(func() { s.locals.joined(key, q) })
	defer func() { // also if the client panics
		w.leave() //mutant:entrant-leaves
		joined()
		s.locals.leave(key, q)
	}()
	for reentries, again := 0, 0; ; {
		l, failure, err := w.enter(ctx, joined)
		if l != nil || err != nil {
			return l, err
		} else if failure.foreign && ctx.Err() == nil {
			if again++; again <= maxRepeats && s.acquirer.mayRepeat(ctx, e.clock.Now(), failure) {
				w.leave()
				continue
			} else if errors.Is(failure, ErrOtherMasters) {
				return nil, failure
			}
		}
		if ctx.Err() == nil || last == nil {
			last = failure
			s.locals.failed(q, failure)
		}
		l, again, err := w.await(ctx, last)
		if l != nil || err != nil {
			return l, err
		}
		if !again {
			return nil, waitedInVain(ctx, e, p.name, w.why(last))
		}
		w.leave() //mutant:entrant-reenters
		reentries++
		if !e.sleep(ctx, backoff.Pause(e.opts.MinBackoff, e.opts.MaxBackoff, reentries, p.name)) {
			return nil, waitedInVain(ctx, e, p.name, last)
		}
	}
}

// enter asks all masters to admit a new entry. It returns the lock if there is room at once, and
// otherwise why not. joined is called once the requests are under way.
func (w *entrant) enter(ctx context.Context, joined func()) (*Lock, *AttemptError, error) {
	e, p := w.engine, w.params
	if ctx.Err() != nil {
		return nil, e.unsentError("acquire", p.name, ended(ctx)), nil
	}
	c := w.waiters.acquirer.freshClaim(ctx, p)
	config := w.waiters.admissionConfig(p)
	n := &waitingEntry{entrant: w, claim: c, state: admission.NewEntry(config, c.subject.Token, c.place, c.guess)}
	start := e.clock.Now() // before anything is sent: the window counts from here
	n.state.AskedAll(start)
	var err error
	if n.channels, err = w.waiters.notifier.register(n); err != nil { // from now on, mu guards the state
		return nil, nil, err
	}
	w.mu.Lock()
	w.entry = n
	w.mu.Unlock()

	until := start.Add(p.window)
	r := newRound(e, c, c.subject.Admit(n.describe(0, start)))
	r.observer, r.impatient = n, true
	r.submit(start, e.timeout(start, until))
	joined()
	verdict := r.await(ctx)
	if now := e.clock.Now(); verdict == vote.Won && now < min(until, p.ends(start)) && !e.closed.Load() { //mutant:entrant-won
		w.takeEntry()
		l := w.waiters.acquirer.newLock(c, p, start, until, start.Add(p.keep))
		w.waiters.acquirer.publish(l, p)
		return l, nil, nil
	}
	failure := r.failure("acquire", noQuorum(ctx)...)
	failure.classify(e.system)
	if verdict != vote.Scattered { // otherwise there is room, but at a higher place //mutant:scattered-untold
		e.tellAttemptFailed(ctx, failure)
	}
	return nil, failure, nil
}

// describe describes the entry for a master that is about to be asked.
func (n *waitingEntry) describe(master int, now clock.Instant) wire.Entry {
	p := n.entrant.params
	delay := p.keep - p.ttl
	entry := n.claim.entry(p.keep, n.state.Lease(master)+delay) //mutant:lease-delay
	entry.Fence = n.state.Place()
	entry.Guess = n.state.Guess()
	entry.Question, entry.Channels = sinceOrigin(now), n.channels
	return entry
}

func (s *waiters) admissionConfig(p acquireParams) admission.Config {
	e := s.acquirer.engine
	guard := e.opts.RestartGuard
	if guard > 0 {
		guard -= p.keep - p.ttl
	}
	return admission.Config{
		System: e.system, Permits: p.mode.Permits(), Window: e.opts.Drift.Window, TTL: p.ttl, Guard: guard,
		Patience:   e.opts.AttemptTimeout,
		MinBackoff: e.opts.MinBackoff, MaxBackoff: e.opts.MaxBackoff,
	}
}

// await waits until there is room for the entry. again says that the entrant needs another entry.
// If neither, ctx has ended or the Manager was closed.
func (w *entrant) await(ctx context.Context, last *AttemptError) (l *Lock, again bool, err error) {
	timer := w.engine.timers.take(0)
	defer w.engine.timers.giveBack(timer)
	for ctx.Err() == nil && !w.engine.closed.Load() {
		now := w.engine.clock.Now()
		action, ask, next := w.step(now)
		switch action {
		case admission.Hold:
			n := w.takeEntry()
			w.engine.place(n.claim, n.state.Place()) //mutant:held-at-its-place
			if l := w.waiters.acquirer.hold(w.params, n.claim, n.state.Window(), n.claim.fence.Load(), n.told.Load()); l != nil {
				return l, false, nil
			}
			return nil, true, nil
		case admission.Reenter:
			return nil, true, nil
		case admission.GiveUp:
			return nil, false, w.why(last)
		case admission.Stay:
		}
		for _, master := range ask {
			w.entry.ask(master, now)
		}
		timer.Reset(max(next.Sub(now), minTimer))
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
		case <-w.engine.done:
		}
	}
	return nil, false, nil
}

// step decides what to do now; see admission.Entry.Step.
func (w *entrant) step(now clock.Instant) (action admission.Action, ask []int, next clock.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entry.state.Step(now)
}

// takeEntry removes the entry and returns it, because it is about to be used up. It returns nil if
// there is none.
func (w *entrant) takeEntry() *waitingEntry {
	w.mu.Lock()
	n := w.entry
	w.entry = nil
	w.mu.Unlock()
	if n != nil {
		w.waiters.notifier.unregister(n.claim.subject.Token)
	}
	return n
}

// leave removes the entry from the masters, in the background.
func (w *entrant) leave() {
	if n := w.takeEntry(); n != nil {
		discard(w.engine, n.claim, wire.Nobody, w.engine.clock.Now())
	}
}

// why returns why the entrant does not have the lock. It goes by the masters' latest answers if
// those say that there is no room, and otherwise by the last attempt.
func (w *entrant) why(last *AttemptError) *AttemptError {
	failure := w.engine.unsentError("acquire", w.params.name, nil)
	w.mu.Lock()
	n := w.entry
	for i := range failure.Masters {
		if n == nil {
			break
		}
		if a, ok := n.state.Heard(i); ok {
			failure.Masters[i].Outcome, failure.Masters[i].Err = Outcome(a.Outcome), a.Err
		}
	}
	w.mu.Unlock()
	if n == nil {
		return last
	}
	for i, m := range w.engine.masters {
		failure.Masters[i].Err = m.Redact(failure.Masters[i].Err, n.claim.subject.Token)
	}
	failure.classify(w.engine.system)
	if last != nil && !errors.Is(failure, ErrTaken) && !errors.Is(failure, ErrConflict) {
		return last
	}
	return failure
}

// ask asks one master to keep the entry, or to admit it.
func (n *waitingEntry) ask(master int, now clock.Instant) {
	e, c := n.entrant.engine, n.claim
	n.entrant.mu.Lock()
	describe := c.subject.Admit
	if n.state.Stands(master) { //mutant:waiter-remains
		describe = c.subject.Remain
	}
	entry := n.describe(master, now)
	n.entrant.mu.Unlock()
	deadline := time.Duration(now.Add(e.opts.AttemptTimeout))
	q := &question{request: describe(entry)}
	q.request.SetDeadline(deadline)
	q.op = redisconn.Op{
		Payload: wire.Call{Request: &q.request, Master: uint8(master)}, Owner: n, Deadline: deadline,
	}
	e.lanes.SubmitTo(master, c.sequence, &q.op)
}

// Done records a master's answer to a question.
func (n *waitingEntry) Done(op *redisconn.Op, dropped error) {
	call := &op.Payload
	a := call.Read(dropped)
	n.entrant.engine.apply(n.claim, call, &a, dropped)
	n.answered(int(call.Master), &a, false, vote.Undecided)
}

// answered records a master's answer.
func (n *waitingEntry) answered(master int, a *wire.Answer, _ bool, _ vote.Verdict) {
	w := n.entrant
	notifier, now := w.waiters.notifier, w.engine.clock.Now()
	notified := notifier.notifies(master)
	w.mu.Lock()
	asked := n.state.AskedAt(master)
	n.state.Answered(master, admission.Answer{
		Outcome: a.Outcome, Anew: a.Anew, Before: a.Before, Conflict: errors.Is(a.Err, ErrConflict),
		Quarantined: a.Quarantined, Err: a.Err, Left: a.Left, Rank: a.Rank, Fence: a.Fence,
	}, now, notified)
	w.mu.Unlock()
	if a.Unheard && a.Outcome == vote.Blocked && w.engine.masters[master].CountsListeners() {
		notifier.unheard(master, asked)
	}
	w.wake.raise()
}

func (n *waitingEntry) token() string   { return n.claim.subject.Token }
func (n *waitingEntry) jitter() float64 { return n.state.Jitter() }

// received records a message.
func (n *waitingEntry) received(master int, payload string) {
	_, turn, ok := wire.ParseTurn(payload)
	if !ok {
		return
	}
	w, now := n.entrant, n.entrant.engine.clock.Now()
	if turn.Unfenced {
		n.askSoon(master)
		return
	}
	w.mu.Lock()
	n.told.Store(true) //mutant:told-of-room
	n.state.Advanced(master, admission.Turn{Asked: instant(turn.Question), Fence: turn.Fence, Gone: turn.Gone, Before: turn.Before}, now)
	w.mu.Unlock()
	w.wake.raise()
}

// askSoon makes the entrant ask a master soon.
func (n *waitingEntry) askSoon(master int) {
	w := n.entrant
	w.mu.Lock()
	n.state.AskSoon(master)
	w.mu.Unlock()
	w.wake.raise()
}
