package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// release is one call of Release. Other calls may wait for it.
type release struct {
	first bool          // it ended the lock
	done  chan struct{} // closed when err is set
	err   error
}

// Release gives up the lock. Its window closes at once, regardless of how the call ends. Then
// Release tells every master to remove the key if the key still stores this lock's token. It
// returns nil once a majority no longer stores the token. Masters that cannot be reached are told
// again in the background until the key would have expired.
//
// The error is ErrLost if the window was over before the call: another client may have held the
// lock in the meantime. It is also ErrLost if the window was open but a majority stores another
// token, because masters forgot the lock or someone removed it. Release never touches another
// client's key, and removes what is left of this lock in the background. If the client had to
// repeat the request, for example because a connection had died, the first try may have handed the
// lock on to the other token. In that case the lock counts as released.
//
// If too few masters answer, the error is ErrNoQuorum, and calling Release again asks them again.
// After Close it is ErrClosed, and the key is left to expire.
//
// Releasing a released lock again returns nil, so Release can be deferred and also called early. A
// lock that was given to another process with Detach is over: Release returns ErrLost and does
// nothing.
//
// If the lock was acquired with MinHold, and that time is not over yet, the masters keep it taken
// for the rest of it.
//
// If ctx has already ended, Release is sent anyway and waits for the masters as usual. If ctx ends
// while Release waits, Release returns an error that satisfies errors.Is for ctx's error, and the
// release continues in the background.
func (l *Lock) Release(ctx context.Context) error {
	mustHave(ctx)
	if err := l.engine.enter(); err != nil {
		return err
	}
	defer l.engine.exit()
	return l.giveUp(ctx, "release")
}

// giveUp is Release, except that it also works while the Manager is being closed. op is the
// operation that errors name.
func (l *Lock) giveUp(ctx context.Context, op string) error {
	now := l.engine.clock.Now()
	g := l.beginRelease(now)
	ctx = releaseContext(ctx)
	if g.mine != nil {
		l.engine.expiry.forget(&l.watched)
		g.round = startRelease(l.engine, l.claim, wire.Anyone, now, 0, l.nextFence())
	}
	return l.endRelease(ctx, g, now, op)
}

// releaseContext returns the context with which to wait for a release. If ctx has ended, perhaps
// only just now because it ends with the lock, the release is waited for as usual.
func releaseContext(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx) //mutant:release-context
	}
	return ctx
}

// endRelease waits for the outcome of a call of Release that began at now.
func (l *Lock) endRelease(ctx context.Context, g givingUp, now clock.Instant, op string) error {
	switch mine := g.mine; {
	case g.over != nil:
		if !isOwnEnd(g.over) { // it is another process's by now
			l.letGo(g.over, now) //mutant:release-lets-go
		}
		return l.lostError(op, g.over)
	case mine != nil:
		mine.err = l.awaitRelease(ctx, g.round, now, op)
		switch {
		case !mine.first:
		case errors.Is(mine.err, ErrLost):
			l.tellLost(ErrDenied)
		default:
			l.tellReleased(now, false, mine.err)
		}
		if mine.err != nil && !errors.Is(mine.err, ErrLost) {
			l.allowRetry(mine)
		}
		close(mine.done)
		return mine.err
	}
	select {
	case <-g.other.done:
		return g.other.err //mutant:release-other
	case <-ctx.Done():
		return &AttemptError{
			Op: op, Name: l.Name(), Quorum: l.engine.system.Quorum(), system: l.engine.system, reasons: noQuorum(ctx),
		}
	}
}

// givingUp is what a call of Release has to do.
type givingUp struct {
	mine  *release // a new release for the call to carry out,
	other *release // or an existing one to wait for,
	over  error    // or why there is nothing to release
	round *round   // of mine
}

// beginRelease closes the window.
func (l *Lock) beginRelease(now clock.Instant) givingUp {
	l.mu.Lock()
	defer l.unlock()
	if l.release != nil {
		return givingUp{other: l.release}
	}
	if over := l.over(now); over != nil && !errors.Is(over, ErrReleased) { //mutant:release-over
		return givingUp{over: over}
	}
	first := l.ended == nil
	if first { //mutant:release-ends
		l.finish(ErrReleased)
	}
	l.release = &release{first: first, done: make(chan struct{})}
	return givingUp{mine: l.release}
}

// allowRetry lets later calls of Release try again after one that failed. Calls that waited for the
// failed one return its error.
func (l *Lock) allowRetry(failed *release) {
	l.mu.Lock()
	defer l.unlock()
	if l.release == failed {
		l.release = nil
	}
}

// awaitRelease waits until a majority has answered a release that was sent at now.
func (l *Lock) awaitRelease(ctx context.Context, r *round, now clock.Instant, op string) error {
	switch r.wait(ctx, now.Add(l.engine.opts.AttemptTimeout)) {
	case vote.Won, vote.Tentative:
		return nil
	case vote.LostToRival:
		return r.failure(op, ErrLost, ErrDenied)
	}
	return r.failure(op, noQuorum(ctx)...)
}

// nextFence returns the fence that the lock's release proposes for a waiter, or 0 without fencing.
func (l *Lock) nextFence() int64 {
	if !l.engine.opts.Fencing {
		return 0
	}
	return max(l.engine.proposal(), min(l.Fence()+1, vote.MaxFence)) //mutant:next-fence
}

// letGo removes what masters still store of a lock that is over, in the background. It acts only
// once per lock. That is enough: nothing is sent for the lock afterwards, and a release that does
// not arrive is repeated.
func (l *Lock) letGo(over error, now clock.Instant) {
	if l.gone.Swap(true) {
		return
	}
	to := wire.Nobody // a grant of what is left could block the lock's new holder
	if l.endedEarly(over, now) {
		to = wire.Anyone
	}
	startRelease(l.engine, l.claim, to, now, 0, 0)
}

// endedEarly reports whether a lock that is over has no new holder, because its bound or Close
// ended it inside its window.
func (l *Lock) endedEarly(over error, now clock.Instant) bool {
	l.mu.Lock()
	defer l.unlock()
	return now < l.until && (errors.Is(over, ErrHoldLimit) || errors.Is(over, ErrClosed)) //mutant:ended-early
}

// letGoInTime is letGo for a lock that ended by itself. It acts when the window would have closed.
// Until then the lock stays in the expiry loop. With a LockDelay, the keys are left to expire:
// nobody else gets the lock before, and the holder may not have noticed yet. A leader's lock is let
// go when the leader has noticed.
func (l *Lock) letGoInTime(over error, now clock.Instant) {
	l.mu.Lock()
	closes := l.closes()
	l.unlock()
	switch {
	case isOwnEnd(over), errors.Is(over, ErrClosed):
	case l.leads: //mutant:leader-lets-go
	case l.engine.opts.LockDelay > 0: //mutant:delay-lets-expire
	case now >= closes:
		l.letGo(over, now)
	default:
		l.engine.expiry.look(&l.watched, closes)
	}
}
