package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// acquirer makes attempts to acquire locks.
type acquirer struct{ engine *engine }

// maxRepeats is how often an attempt is repeated at once if only this Manager's own retired tokens
// blocked it.
const maxRepeats = 2 //mutant:max-repeats

// attempt tries once, with a new token, and returns that token. An earlier attempt of this Manager
// that is still being rolled back is no reason to fail: its release is on the way to the same
// masters, so the attempt is repeated.
func (a *acquirer) attempt(ctx context.Context, p acquireParams) (*Lock, string, error) {
	for n := 0; ; n++ {
		c := a.engine.newClaim(p.name)
		c.call = a.engine.events.contextOf(ctx)
		c.noteTTL(p.keep)
		l, err := a.acquireWith(ctx, p, c, c.subject.Acquire(p.keep, a.engine.proposal(), c.retention()))
		var failure *AttemptError
		if n == maxRepeats || !errors.As(err, &failure) || !failure.blockedByRetired || ctx.Err() != nil {
			return l, c.subject.Token, err
		}
	}
}

// confirm tries once with the token of a waiter's claim, which masters have already granted.
func (a *acquirer) confirm(ctx context.Context, p acquireParams, c *claim) (*Lock, error) {
	return a.acquireWith(ctx, p, c, c.subject.Confirm(p.keep, a.engine.proposal(), c.retention()))
}

// acquireWith tries once, with a claim that was not given up yet. If the attempt fails, acquireWith
// gives up the claim.
func (a *acquirer) acquireWith(ctx context.Context, p acquireParams, c *claim, request wire.Request) (*Lock, error) {
	start := a.engine.clock.Now() // before anything is sent: the window counts from here
	until := start.Add(p.window)
	if ctx.Err() != nil {
		if c.enqueued {
			discard(a.engine, c, wire.Anyone, start)
		}
		return nil, a.engine.unsentError("acquire", p.name, ended(ctx))
	}
	r := newRound(a.engine, c, request)
	if p.seekHolder {
		r.awaitAll()
	}
	var confirmed *extension
	if request.Confirms() {
		confirmed = newExtension(r, nil, until, start.Add(p.keep))
	}
	verdict, last := r.run(ctx, start, until), r //mutant:attempt-verdict
	if verdict == vote.Won && a.engine.opts.Fencing {
		verdict, last = a.mint(ctx, r, until)
	}
	late := a.engine.clock.Now() >= min(until, p.ends(start))
	if verdict == vote.Won && !late && !a.engine.closed.Load() { //mutant:attempt-won
		l := a.newLock(c, p, start, until, start.Add(p.keep)) //mutant:new-lock
		if c.enqueued {
			a.date(l, p)
		}
		a.publish(l, p)
		if confirmed != nil {
			confirmed.bind(l) //mutant:late-hand-off
		}
		return l, nil
	}
	return nil, a.fail(ctx, p, r, last, start, late)
}

// fail rolls a failed attempt back and returns its error. last is the attempt's last round, r its
// first.
func (a *acquirer) fail(ctx context.Context, p acquireParams, r, last *round, start clock.Instant, late bool) error {
	failure := last.acquireFailure(ctx)
	failure.late, failure.blockedByRetired = late, r.blockedByRetired(a.engine.clock.Now())
	a.rollBack(ctx, r, start) //mutant:roll-back
	a.engine.tellAttemptFailed(ctx, failure)
	if a.engine.closed.Load() {
		return errClosedNotAcquired
	}
	if p.seekHolder {
		r.waitSettled(ctx, start)
		failure.holder = r.holder()
	}
	return failure
}

// acquireFailure returns the error of an attempt whose last round is r. It is ErrTaken if enough
// masters store another client's token, even if the round failed for another reason: the last of
// them may have answered only now.
func (r *round) acquireFailure(ctx context.Context) *AttemptError {
	failure := r.failure("acquire", noQuorum(ctx)...)
	failure.classify(r.engine.system)
	return failure
}

// mint gives a granted claim its fence. If the first round did not store the fence, mint runs a
// second. It returns the last round and its verdict.
func (a *acquirer) mint(ctx context.Context, granted *round, until clock.Instant) (vote.Verdict, *round) {
	c, minting, start := granted.claim, granted.minting(), a.engine.clock.Now()
	fence, stored := minting.Fence(a.engine.system, granted.Proposal(), a.engine.offsets.mastersTime(start))
	if fence > vote.MaxFence {
		return vote.Failed, granted
	}
	c.fence.Store(fence)
	if stored {
		return vote.Won, granted
	}
	r := newRound(a.engine, c, c.subject.Extend(granted.TTL, fence, c.retention()))
	return r.run(ctx, start, until), r //mutant:second-round
}

// rollBack releases what a failed attempt was granted. It waits for the masters that are known to
// have granted it, so that the next attempt finds them free. It waits for as long again as the
// attempt took, plus classifyGrace. The other masters are released in the background, and so are
// all of them once ctx has ended.
//
// Nothing is handed on unless the attempt had a majority. A minority that is handed to a waiter
// would block the repairs of the client that has the lock or is about to have it.
func (a *acquirer) rollBack(ctx context.Context, attempt *round, start clock.Instant) {
	c, now := attempt.claim, a.engine.clock.Now()
	granted := attempt.with(vote.Held)
	to := wire.Nobody //mutant:rollback-heir
	if a.engine.system.HasQuorum(granted) {
		to = wire.Anyone
	}
	if granted != 0 || attempt.mayGrant() {
		a.engine.retire(c, now)
	}
	released := startRelease(a.engine, c, to, now, granted, 0) //mutant:rollback
	if granted != 0 && ctx.Err() == nil {
		released.waitSettled(ctx, start)
	}
}

// hold returns the lock of a waiter's claim that a quorum of the masters has granted until the
// given instant. The masters still have to be asked to keep it for the whole TTL: the lock is
// extended soon. hold returns nil if the window is over or the Manager is closed.
func (a *acquirer) hold(p acquireParams, c *claim, until clock.Instant, fence int64) *Lock {
	now := a.engine.clock.Now()
	if now >= until || a.engine.closed.Load() { //mutant:hold-late
		discard(a.engine, c, wire.Anyone, now)
		return nil
	}
	c.noteTTL(p.keep)
	c.fence.Store(fence)
	l := a.newLock(c, p, now, until, until.Add(p.keep-p.ttl))
	l.handedOn = true
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
// and notices its end.
func (a *acquirer) publish(l *Lock, p acquireParams) {
	e := a.engine
	l.claim.won.Store(true)
	next := clock.Never
	if l.renewal != nil {
		next = l.renewal.next
	}
	if e.events.handlers.Lost != nil && !p.silent {
		next = min(next, l.closes()) // to tell a loss in time //mutant:lost-told
	}
	l.tellAcquired(p.began)
	e.held.add(&l.held)
	if next != clock.Never {
		e.expiry.look(&l.watched, next)
	}
}

// newLock returns the lock that a claim has won. Its window closes at until, and a quorum was told
// to keep the key until kept.
func (a *acquirer) newLock(c *claim, p acquireParams, start, until, kept clock.Instant) *Lock {
	l := &Lock{
		engine: a.engine, claim: c, since: a.engine.clock.Now(), limit: p.ends(start),
		until: until, kept: kept, told: p.silent, leads: p.leads,
	}
	l.watched.item, l.held.item = l, l
	if p.renew { //mutant:lock-renewal
		l.renewal = newRenewal(c.subject.Token, p, start)
	}
	c.restUntil(l.since.Add(p.minHold)) //mutant:min-hold
	return l
}
