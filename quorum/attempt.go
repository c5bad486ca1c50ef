package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// acquirer makes attempts to acquire locks.
type acquirer struct{ *engine }

// maxRepeats is how often an attempt that stood in its own way is repeated at once.
const maxRepeats = 2 //mutant:max-repeats

// attempt tries once, with a token of its own, and returns that token. What an earlier attempt of
// this Manager has yet to roll back is no reason to fail: its release is on the way to the same
// masters, so the attempt is repeated.
func (a *acquirer) attempt(ctx context.Context, p acquireParams) (*Lock, string, error) {
	for n := 0; ; n++ {
		c := a.newClaim(p.name)
		c.asked(p.ttl)
		l, err := a.acquireWith(ctx, p, c, c.subject.Acquire(p.ttl, a.proposal(), c.retention()))
		var failure *AttemptError
		if n == maxRepeats || !errors.As(err, &failure) || !failure.blockedByRetired || ctx.Err() != nil {
			return l, c.subject.Token, err
		}
	}
}

// confirm tries once with the token of a waiter's claim, which was granted to it by masters.
func (a *acquirer) confirm(ctx context.Context, p acquireParams, c *claim) (*Lock, error) {
	return a.acquireWith(ctx, p, c, c.subject.Confirm(p.ttl, a.proposal(), c.retention()))
}

// proposal returns the fence that an attempt proposes, 0 without fencing.
func (a *acquirer) proposal() int64 {
	if !a.opts.Fencing {
		return 0
	}
	return vote.Propose(a.offsets.mastersTime(a.clock.Now()))
}

// acquireWith tries once, with a claim that was not given up yet. If the attempt fails, the claim
// is.
func (a *acquirer) acquireWith(ctx context.Context, p acquireParams, c *claim, request wire.Request) (*Lock, error) {
	start := a.clock.Now() // before anything is sent: the window counts from here
	until := start.Add(p.window)
	if ctx.Err() != nil {
		a.withdraw(c, start)
		return nil, a.unsentError("acquire", p.name, ended(ctx))
	}
	r := newRound(a.engine, c, request)
	if p.seekHolder {
		r.awaitAll()
	}
	var confirmed *extension
	if request.Confirms() {
		confirmed = newExtension(r, nil, until, start.Add(p.ttl))
	}
	verdict, last := r.run(ctx, start, until), r //mutant:attempt-verdict
	if verdict == vote.Won && a.opts.Fencing {
		verdict, last = a.mint(ctx, r, until)
	}
	late := a.clock.Now() >= min(until, p.ends(start))
	if verdict == vote.Won && !late && !a.closed.Load() { //mutant:attempt-won
		l := a.newLock(c, p, start, until) //mutant:new-lock
		l.watchRenewal()                   // from here on others renew it
		if confirmed != nil {
			confirmed.bind(l) //mutant:late-hand-off
		}
		return l, nil
	}
	return nil, a.fail(ctx, p, r, last, start, late)
}

// withdraw releases a claim that was made to wait and was not confirmed.
func (a *acquirer) withdraw(c *claim, now clock.Instant) {
	if c.enqueued {
		a.retire(c, now)
		startRelease(a.engine, c, wire.Anyone, now, 0)
	}
}

// fail rolls a failed attempt back and returns its error. last is the attempt's last round, r its
// first.
func (a *acquirer) fail(ctx context.Context, p acquireParams, r, last *round, start clock.Instant, late bool) error {
	failure := last.acquireFailure(ctx)
	failure.late, failure.blockedByRetired = late, r.blockedByRetired(a.clock.Now())
	a.rollBack(ctx, r, start) //mutant:roll-back
	if a.closed.Load() {
		return ErrClosed
	}
	if p.seekHolder {
		r.waitSettled(ctx, start)
		failure.holder = r.holder()
	}
	return failure
}

// acquireFailure makes the error of an attempt whose last round is r. It is ErrTaken if enough
// masters store another's token, whether or not the round failed for that: the last of them may
// have answered just now.
func (r *round) acquireFailure(ctx context.Context) *AttemptError {
	failure := r.failure("acquire", noQuorum(ctx)...)
	failure.classify(r.engine.system)
	return failure
}

// mint gives a claim that was granted its fence, with a second round if the first did not store
// it. It returns the verdict on the last round, and that round.
func (a *acquirer) mint(ctx context.Context, granted *round, until clock.Instant) (vote.Verdict, *round) {
	c, minting, start := granted.claim, granted.minting(), a.clock.Now()
	fence, stored := minting.Fence(a.system, granted.Proposal(), a.offsets.mastersTime(start))
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
// have granted it, for as long again as the attempt took and a little, so that the next attempt
// finds them free. The others are dealt with in the background, and so is everything once ctx has
// ended.
//
// Nothing is handed on, unless the attempt had a majority: a minority that goes to a waiter would
// keep out the repairs of whoever has the lock, or is about to.
func (a *acquirer) rollBack(ctx context.Context, attempt *round, start clock.Instant) {
	c, now := attempt.claim, a.clock.Now()
	granted := attempt.with(vote.Held)
	to := wire.Nobody //mutant:rollback-heir
	if a.system.HasQuorum(granted) {
		to = wire.Anyone
	}
	if granted != 0 || attempt.mayGrant() {
		a.retire(c, now)
	}
	released := startRelease(a.engine, c, to, now, granted) //mutant:rollback
	if granted != 0 && ctx.Err() == nil {
		released.waitSettled(ctx, start)
	}
}

// newLock makes the lock that a claim has won.
func (a *acquirer) newLock(c *claim, p acquireParams, start, until clock.Instant) *Lock {
	l := &Lock{engine: a.engine, claim: c, until: until, kept: start.Add(p.ttl)}
	l.watched.item = l
	if p.renew { //mutant:lock-renewal
		l.renewal = newRenewal(c.subject.Token, p, start)
	}
	return l
}
