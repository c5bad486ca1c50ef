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
	"github.com/quorumlock/redlock/internal/wire"
)

// gathering is one call of TryAcquireAll or AcquireAll.
//
// A call that waits keeps provisional locks, which nobody knows of yet. They are always those with
// the lowest keys, and the call waits for the lock with the next key. Suppose that calls waited for
// each other in a circle. Each of them would keep the lock that the call before it waits for, so
// each would wait for a higher key than the call before it. That cannot go round. All processes
// agree on the order, because it is that of the keys' bytes.
//
// An attempt at all missing locks may win higher ones too, but it gives them back at once, without
// waiting for anybody. A call that was refused waits for its turn. So everybody advances.
type gathering struct {
	waiters *waiters
	engine  *engine
	params  acquireParams // of each lock, except for its name
	names   []string      // in the order of the call
	sorted  []string      // in the order of their keys
	held    []*Lock       // provisional locks of the first in sorted
	ticket  int64         // of all its waits; 0 before the first

	mu     sync.Mutex         // guards all below
	lost   bool               // a provisional lock was lost
	cancel context.CancelFunc // ends the wait; nil if there is none
}

func newGathering(s *waiters, p acquireParams, names []string) *gathering {
	sorted := slices.Clone(names)
	slices.Sort(sorted) // their keys have one prefix, so that is the order of the keys //mutant:gathering-order
	return &gathering{waiters: s, engine: s.acquirer.engine, params: p, names: names, sorted: sorted}
}

// try makes one attempt.
func (g *gathering) try(ctx context.Context) (*Locks, error) {
	won, failures := g.waiters.acquirer.attemptAll(ctx, g.params, g.sorted, false)
	if failures != nil {
		return nil, g.failure(failures...)
	}
	return g.take(won), nil
}

// failure returns the error of the call.
func (g *gathering) failure(failures ...*AttemptError) error {
	if g.engine.closed.Load() {
		return errClosedNotAcquired
	}
	return newLocksError("acquire", len(g.names), failures)
}

// acquire acquires all locks, waiting for one after the other.
func (g *gathering) acquire(ctx context.Context) (*Locks, error) {
	ctx, cancel := g.params.boundWait(ctx)
	defer cancel()
	defer func() { g.giveBack(0) }() // whatever happens, even if the client panics
	for losses := 0; ; {
		if g.dropLost() { // perhaps the TTL is too short, or the masters keep forgetting
			g.engine.sleep(ctx, g.pause(losses))
			losses++
		}
		locks, refused := g.attempt(ctx)
		if locks == nil && len(g.held) == len(g.sorted) {
			locks = g.complete()
		}
		if locks != nil {
			return locks, nil
		}
		if len(g.held) == len(g.sorted) {
			continue // one of them was lost just now
		}
		l, err := g.wait(ctx, refused)
		var failure *AttemptError
		switch {
		case l != nil:
			g.held = append(g.held, l)
		case g.hasLost():
		case errors.As(err, &failure):
			return nil, g.failure(failure)
		default:
			return nil, err
		}
	}
}

// attempt tries to acquire the missing locks, all at once. It returns all locks if none was held
// before. Otherwise it keeps those that come next, and returns why it did not get the one after
// them, or nil if it did not try that one.
func (g *gathering) attempt(ctx context.Context) (*Locks, *AttemptError) {
	missing := g.uncontended()
	if len(missing) == 0 || g.engine.closed.Load() {
		return nil, nil
	}
	p, all := g.provisional(), len(missing) == len(g.sorted)
	if all {
		p = g.params
	}
	won, failures := g.waiters.acquirer.attemptAll(ctx, p, missing, true)
	if all && failures == nil {
		return g.take(won), nil
	}
	for i := range won {
		t := &won[i]
		t.params = g.provisional()
		t.params.name = t.claim.name
		g.held = append(g.held, g.waiters.acquirer.take(t))
	}
	if failures == nil {
		return nil, nil
	}
	return nil, failures[0]
}

// uncontended returns the missing names up to the first one that somebody else waits for. That one
// is hardly to be had without waiting, and the ones after it would only be taken from others for a
// moment.
func (g *gathering) uncontended() []string {
	missing := g.sorted[len(g.held):]
	for i, name := range missing {
		if g.waiters.contended(g.engine.opts.Prefix+name, g.params.mode != "") {
			return missing[:i]
		}
	}
	return missing
}

// provisional returns the parameters of a provisional lock. It is kept alive for as long as
// needed, and ends without a trace.
func (g *gathering) provisional() acquireParams {
	p := g.params
	p.limit, p.minHold = 0, 0
	p.renew, p.silent, p.provisional, p.whole = true, true, true, g
	if len(g.held) > 0 {
		p.pace = g.held[0].Token()
	}
	return p
}

// wait waits for the first lock that is missing. refused says why an attempt at it has just failed,
// or is nil. The wait ends if a provisional lock is lost.
func (g *gathering) wait(ctx context.Context, refused *AttemptError) (*Lock, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	g.cancel = cancel
	lost := g.lost
	g.mu.Unlock()
	if lost {
		return nil, nil
	}
	p := g.provisional()
	p.ticket = &g.ticket //mutant:gathering-ticket
	p.name, p.refused = g.sorted[len(g.held)], refused
	return g.waiters.acquire(ctx, p)
}

// partEnded ends the wait if a provisional lock was lost.
func (g *gathering) partEnded(_ string, why error) {
	if isOwnEnd(why) {
		return
	}
	g.mu.Lock()
	g.lost = true
	cancel := g.cancel
	g.mu.Unlock()
	if cancel != nil {
		cancel() //mutant:lost-prefix
	}
}

func (g *gathering) hasLost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// dropLost gives back the provisional locks from the first lost one on. It reports whether there
// was any.
func (g *gathering) dropLost() bool {
	g.mu.Lock()
	g.lost = false // before looking
	g.mu.Unlock()
	first := slices.IndexFunc(g.held, (*Lock).isOver) //mutant:drop-lost
	if first < 0 {
		return false
	}
	g.giveBack(first)
	return true
}

// pause returns how long to wait after the n-th loss.
func (g *gathering) pause(n int) time.Duration {
	o := &g.engine.opts
	seed := strconv.FormatInt(int64(g.params.began)^int64(n), 36) // differs from one call to another
	return backoff.Pause(o.MinBackoff, o.MaxBackoff, n, seed)
}

// take returns the locks of tries that have won.
func (g *gathering) take(won []try) *Locks {
	locks := newLocks(g.engine, g.names)
	pace := won[0].claim.subject.Token
	for i := range won {
		t := &won[i]
		t.params.whole, t.params.pace = locks, pace
		locks.add(g.waiters.acquirer.take(t))
	}
	return locks
}

// complete makes the provisional locks the user's own. It returns nil if one of them is lost.
func (g *gathering) complete() *Locks {
	if slices.ContainsFunc(g.held, (*Lock).isOver) { //mutant:complete-unbroken
		return nil
	}
	now := g.engine.clock.Now()
	locks := newLocks(g.engine, g.names)
	p := g.params
	p.whole, p.pace = locks, g.held[0].Token()
	for _, l := range g.held {
		g.waiters.acquirer.adopt(l, p, now)
		locks.add(l)
	}
	g.held = nil
	return locks
}

// giveBack gives back the provisional locks from the given one on, in the background.
func (g *gathering) giveBack(first int) {
	now := g.engine.clock.Now()
	var rounds []*round
	for _, l := range g.held[first:] {
		if r := l.beginGiveBack(now); r != nil {
			rounds = append(rounds, r)
		}
	}
	g.held = g.held[:first]
	if rounds != nil {
		submitAll(g.engine, now, rounds) //mutant:give-back
	}
}

// tellNotAcquired tells that the call returned without the locks, for each name that is the reason.
func (g *gathering) tellNotAcquired(ctx context.Context, err error) {
	var failures *LocksError
	p := g.params
	if !errors.As(err, &failures) {
		for _, p.name = range g.names {
			g.engine.tellNotAcquired(ctx, p, err)
		}
		return
	}
	for _, failure := range failures.decisive() {
		p.name = failure.Name
		g.engine.tellNotAcquired(ctx, p, failure)
	}
}

// A provisional lock becomes its user's, or it is given back.

// adopt makes a provisional lock its user's from now on. Like a lock that was handed on, it is soon
// extended to its whole TTL. That is also how all parts of a whole get the same window.
func (a *acquirer) adopt(l *Lock, p acquireParams, now clock.Instant) {
	renewal := newRenewal(p.pace, p, now)
	renewal.once, renewal.next = !p.renew, now.Add(fillDelay) //mutant:adopted-fill
	l.mu.Lock()
	l.since, l.limit, l.whole, l.renewal = now, p.ends(now), p.whole, renewal
	l.unlock()
	l.claim.restUntil(now.Add(p.minHold)) //mutant:adopted-min-hold
	a.publish(l, p)
	l.adopted(p.silent)
}

// adopted ends the silence about a lock. If it was lost just now, it was lost after its adoption.
func (l *Lock) adopted(silent bool) {
	l.mu.Lock()
	lost, whole := l.ended, l.whole
	l.silent = silent
	l.mu.Unlock()
	if lost == nil {
		return
	}
	l.engine.held.remove(&l.held)
	whole.partEnded(l.Name(), lost)
	l.tellLost(lost)
}

// beginGiveBack ends a provisional lock. It returns the round that hands it on, which the caller
// must submit, or nil if the lock was lost.
func (l *Lock) beginGiveBack(now clock.Instant) *round {
	l.end(ErrReleased)
	over := l.Err()
	l.engine.expiry.forget(&l.watched)
	if !errors.Is(over, ErrReleased) && !errors.Is(over, ErrClosed) {
		l.letGo(over, now)
		return nil
	}
	l.engine.retire(l.claim, now)
	r := newRelease(l.engine, l.claim, wire.Anyone, now, 0, l.nextFence())
	r.prepareAll(now, clock.Never)
	return r
}
