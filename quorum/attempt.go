package quorum

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// acquirer makes attempts to acquire locks.
type acquirer struct {
	engine  *engine
	members *members
}

// maxRepeats is how often an attempt is repeated at once if only this Manager's own retired tokens
// blocked it.
const maxRepeats = 2 //mutant:max-repeats

// attempt tries once, with a new token, and returns that token. An earlier attempt of this Manager
// that is still being rolled back is no reason to fail: its release is on the way to the same
// masters, so the attempt is repeated.
func (a *acquirer) attempt(ctx context.Context, p acquireParams) (*Lock, string, error) {
	for n, start := 0, a.engine.clock.Now(); ; n++ {
		c := a.freshClaim(ctx, p)
		l, err := a.acquireWith(ctx, p, c, a.request(p, c))
		var failure *AttemptError
		if n == maxRepeats || !errors.As(err, &failure) || ctx.Err() != nil || !a.mayRepeat(ctx, start, failure) {
			return l, c.subject.Token, err
		}
	}
}

// mayRepeat reports whether an attempt may be repeated at once: only this Manager's own retired
// tokens blocked it, or masters' records that are known by now. It waits for these until
// AttemptTimeout has passed since the start of the first attempt.
func (a *acquirer) mayRepeat(ctx context.Context, start clock.Instant, failures ...*AttemptError) bool {
	settles, until := false, start.Add(a.engine.opts.AttemptTimeout)
	for _, failure := range failures {
		switch {
		case failure.foreign && errors.Is(failure, ErrOtherMasters): // perhaps not anymore
			return a.members.settle(ctx, until) && a.members.err() == nil //mutant:refused-looks-again
		case failure.unsettled():
			settles = true
		case !failure.blockedByRetired:
			return false
		}
	}
	return !settles || a.members.settle(ctx, until)
}

// unsettled reports whether an attempt failed only because it is not known yet whether the masters
// are used as another set.
func (e *AttemptError) unsettled() bool {
	return e.foreign && !errors.Is(e, ErrTaken) && !errors.Is(e, ErrOtherMasters) && !errors.Is(e, ErrConflict)
}

// freshClaim makes a claim for an attempt of a call whose context is ctx.
func (a *acquirer) freshClaim(ctx context.Context, p acquireParams) *claim {
	c := a.engine.newClaim(ctx, p.name)
	c.call = a.engine.events.contextOf(ctx)
	c.noteTTL(p.keep)
	if p.mode != "" {
		a.engine.enterOrder(c, p.mode)
	}
	return c
}

// request makes the request with which an attempt acquires the lock.
func (a *acquirer) request(p acquireParams, c *claim) wire.Request {
	if c.mode != "" {
		return c.subject.Admit(c.entry(p.keep, 0))
	}
	return c.subject.Acquire(p.keep, a.engine.proposal(), c.retention())
}

// confirm tries once with the token of a waiter's claim, which masters have already granted.
func (a *acquirer) confirm(ctx context.Context, p acquireParams, c *claim) (*Lock, error) {
	return a.acquireWith(ctx, p, c, c.subject.Confirm(p.keep, a.engine.proposal(), c.retention()))
}

// acquireWith tries once, with a claim that was not given up yet. If the attempt fails, acquireWith
// gives up the claim.
func (a *acquirer) acquireWith(ctx context.Context, p acquireParams, c *claim, request wire.Request) (*Lock, error) {
	start := a.engine.clock.Now() // before anything is sent: the window counts from here
	if ctx.Err() != nil {
		if c.enqueued {
			discard(a.engine, c, wire.Anyone, start)
		}
		return nil, a.engine.unsentError("acquire", p.name, ended(ctx))
	}
	t := a.begin(p, c, request, start)
	for a.next(&t) {
		t.verdict = t.last.run(ctx, t.sent, t.until) //mutant:attempt-verdict
	}
	if a.hasWon(&t) {
		return a.take(&t), nil
	}
	return nil, a.fail(ctx, &t)
}

// try is one try to acquire one lock, with a claim that was not given up yet. Its steps are apart,
// so that tries for several locks can be under way together: begin, then for each round next,
// sending it, and waiting for its verdict; at last hasWon, and either take or fail.
type try struct {
	params    acquireParams
	claim     *claim
	start     clock.Instant // the window counts from here
	until     clock.Instant // when the window closes
	first     *round        // requests the lock
	last      *round        // the latest round: the first, or the one that stores the fence; nil before
	sent      clock.Instant // when last is sent
	verdict   vote.Verdict  // of last
	late      bool          // nothing was left of the window in the end
	confirmed *extension    // nil unless the claim is a waiter's
}

// begin makes a try whose window counts from start.
func (a *acquirer) begin(p acquireParams, c *claim, request wire.Request, start clock.Instant) try {
	t := try{params: p, claim: c, start: start, until: start.Add(p.window), first: newRound(a.engine, c, request)}
	if p.seekHolder {
		t.first.awaitAll()
	}
	if request.Confirms() {
		t.confirmed = newExtension(t.first, nil, t.until, start.Add(p.keep))
	}
	return t
}

// next makes the try's next round, which the caller must send. It returns false if there is none.
func (a *acquirer) next(t *try) bool {
	switch {
	case t.last == nil:
		t.last, t.sent = t.first, t.start
		return true
	case t.claim.mode != "":
		return a.moveUp(t)
	case t.last == t.first && t.verdict == vote.Won && a.engine.opts.Fencing:
		return a.mint(t)
	}
	return false
}

// mint gives a granted claim its fence. If the first round did not store the fence, mint makes a
// second one, and returns true.
func (a *acquirer) mint(t *try) (again bool) {
	c, minting, now := t.claim, t.first.minting(), a.engine.clock.Now()
	fence, stored := minting.Fence(a.engine.system, t.first.Proposal(), a.engine.offsets.mastersTime(now))
	if fence > vote.MaxFence {
		t.verdict = vote.Failed
		return false
	}
	c.fence.Store(fence)
	if stored {
		return false
	}
	t.last, t.sent = newRound(a.engine, c, c.subject.Extend(t.first.TTL, fence, c.retention())), now
	return true
}

// hasWon reports whether the try has won in time. Its rounds must be over.
func (a *acquirer) hasWon(t *try) bool {
	t.late = a.engine.clock.Now() >= min(t.until, t.params.ends(t.start))
	return t.verdict == vote.Won && !t.late && !a.engine.closed.Load() //mutant:attempt-won
}

// take returns the lock that a try has won.
func (a *acquirer) take(t *try) *Lock {
	l := a.newLock(t.claim, t.params, t.start, t.until, t.start.Add(t.params.keep)) //mutant:new-lock
	if t.claim.enqueued {
		a.date(l, t.params)
	}
	a.publish(l, t.params)
	if t.confirmed != nil {
		t.confirmed.bind(l) //mutant:late-hand-off
	}
	return l
}

// fail rolls a failed try back and returns its error.
func (a *acquirer) fail(ctx context.Context, t *try) error {
	failure := a.failure(ctx, t)
	a.rollBack(ctx, t) //mutant:roll-back
	if !failure.unsettled() {
		a.engine.tellAttemptFailed(ctx, failure)
	}
	if a.engine.closed.Load() {
		return errClosedNotAcquired
	}
	if t.params.seekHolder {
		t.first.waitSettled(ctx, t.start)
		failure.holder = t.first.holder()
	}
	return failure
}

// failure returns the error of a failed try. It is ErrTaken if enough masters store another
// client's token, even if the try failed for another reason: the last of them may have answered
// only now.
func (a *acquirer) failure(ctx context.Context, t *try) *AttemptError {
	failure := t.last.failure("acquire", noQuorum(ctx)...)
	failure.classify(a.engine.system)
	failure.late, failure.blockedByRetired = t.late, t.first.blockedByRetired(a.engine.clock.Now())
	return failure
}

// rollBack releases what a failed try was granted. It waits for the masters that are known to have
// granted it, so that the next attempt finds them free. It waits for as long again as the try took,
// plus classifyGrace. The other masters are released in the background, and so are all of them once
// ctx has ended.
func (a *acquirer) rollBack(ctx context.Context, t *try) {
	now := a.engine.clock.Now()
	granted, to := a.retire(t, now)
	released := startRelease(a.engine, t.claim, to, now, granted, 0) //mutant:rollback
	if granted != 0 && ctx.Err() == nil {
		released.waitSettled(ctx, t.start)
	}
}

// retire retires the claim of a failed try. It returns the masters that are known to have granted
// it, and to whom they may hand the lock on.
//
// Nothing is handed on unless the try had a majority. A minority that is handed to a waiter would
// block the repairs of the client that has the lock or is about to have it.
func (a *acquirer) retire(t *try, now clock.Instant) (granted vote.Set, to wire.Heir) {
	granted, to = t.first.with(vote.Held, vote.Blocked, vote.Overtaken), wire.Nobody //mutant:rollback-heir
	if a.engine.system.HasQuorum(granted) {
		to = wire.Anyone
	}
	if granted != 0 || t.first.mayGrant() {
		a.engine.retire(t.claim, now)
	}
	return granted, to
}

// hold returns the lock of a waiter's claim that a quorum of the masters has granted until the
// given instant. The masters still have to be asked to keep it for the whole TTL: the lock is
// extended soon. handedOn says that a master has told of it. hold returns nil if the window is over
// or the Manager is closed.
func (a *acquirer) hold(p acquireParams, c *claim, until clock.Instant, fence int64, handedOn bool) *Lock {
	now := a.engine.clock.Now()
	if now >= until || a.engine.closed.Load() { //mutant:hold-late
		discard(a.engine, c, wire.Anyone, now)
		return nil
	}
	c.noteTTL(p.keep)
	c.fence.Store(fence)
	l := a.newLock(c, p, now, until, until.Add(p.keep-p.ttl))
	l.handedOn = handedOn
	c.since = a.engine.offsets.mastersTime(now)
	if l.renewal == nil {
		l.renewal = newRenewal(c.subject.Token, p, now)
		l.renewal.once = true
	}
	l.renewal.next = now.Add(fillDelay) //mutant:hold-fill
	a.publish(l, p)
	return l
}

// date makes the extensions of a confirmed lock tell since when it is held, because the token of a
// waiter does not. If there are no renewals, one extension tells it that lengthens nothing.
func (a *acquirer) date(l *Lock, p acquireParams) {
	now := a.engine.clock.Now()
	l.claim.since = a.engine.offsets.mastersTime(now)
	if l.renewal == nil {
		p.keep, p.window = time.Millisecond, 0
		l.renewal = newRenewal(l.claim.subject.Token, p, now)
		l.renewal.once, l.renewal.next = true, now.Add(dateDelay) //mutant:dated-confirmation
	}
}

// dateDelay is how long after a confirmation the masters are told since when the lock is held. A
// hold that is shorter does not pay for it.
const dateDelay = time.Second

// fillDelay is how long after a hand-off the lock is extended to its whole TTL. A hold that is
// shorter does not pay for it: its release drops the extension before it is sent.
const fillDelay = 10 * time.Millisecond

// publish makes a complete lock known: to events, to Held, and to the expiry loop, which renews it
// and notices its end. Only the expiry loop learns of a provisional lock.
func (a *acquirer) publish(l *Lock, p acquireParams) {
	e := a.engine
	next := l.renewalDue()
	if !p.provisional {
		l.claim.won.Store(true)
		if e.events.handlers.Lost != nil && !p.silent {
			next = min(next, l.windowCloses()) // to tell a loss in time //mutant:lost-told
		}
		l.tellAcquired(p.began)
		e.held.add(&l.held)
	}
	if next != clock.Never {
		e.expiry.look(&l.watched, next)
	}
}

// newLock returns the lock that a claim has won. Its window closes at until, and a quorum was told
// to keep the key until kept.
func (a *acquirer) newLock(c *claim, p acquireParams, start, until, kept clock.Instant) *Lock {
	l := &Lock{
		engine: a.engine, claim: c, since: a.engine.clock.Now(), limit: p.ends(start),
		until: until, kept: kept, silent: p.silent, leads: p.leads, whole: p.whole,
	}
	l.watched.item, l.held.item = l, l
	if p.renew { //mutant:lock-renewal
		l.renewal = newRenewal(cmp.Or(p.pace, c.subject.Token), p, start)
	}
	c.restUntil(l.since.Add(p.minHold)) //mutant:min-hold
	c.guess = false                     // masters have admitted its entry at its place //mutant:held-is-no-guess
	return l
}
