package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/clock"
)

// release is one call of Release, which others may wait for.
type release struct {
	done chan struct{} // closed when err is set
	err  error
}

// Release gives the lock up. Its window closes at once, whatever comes of the
// call; then every master is told to remove the key if it still has this lock's
// token. It returns nil once a majority no longer has it. Masters that cannot be
// reached are told again in the background until the key would have expired.
//
// If the window was over before the call, the error is ErrLost: somebody else
// may have held the lock meanwhile. It is ErrLost too if the window was open, but a
// majority has another's token: then masters forgot the lock, or somebody removed it.
// Of a release that the client had to repeat, as on a connection that had died, nobody
// can tell whether the first try handed the lock on to that other one, so that counts
// as a release.
// Nobody else's key is touched; what is left of
// this lock's own is removed in the background. If too few masters answer, the
// error is ErrNoQuorum, and calling Release again asks them again. After Close
// it is ErrClosed, and the key is left to expire.
//
// A second Release of a lock that was released returns nil, so that it can be
// deferred and called early too.
//
// The release is sent on an ended ctx too, and then waits for the masters as
// with a live one. A ctx that ends while Release waits ends the wait, with an
// error that satisfies errors.Is for ctx's; the release goes on in the
// background.
func (l *Lock) Release(ctx context.Context) error {
	mustHave(ctx)
	m := l.claim.manager
	if err := m.enter(); err != nil {
		return err
	}
	defer m.exit()
	return l.giveUp(ctx)
}

// giveUp is Release without regard to whether the Manager is being closed.
func (l *Lock) giveUp(ctx context.Context) error {
	now := l.claim.manager.opts.Clock.Now()
	mine, other, over := l.beginRelease(now)
	if ctx.Err() != nil { // perhaps only just now, because it ends with the lock
		ctx = context.WithoutCancel(ctx)
	}
	switch {
	case over != nil:
		l.letGo(over, now)
		return l.lostError("release", over)
	case mine != nil:
		mine.err = l.askRelease(ctx, now)
		if mine.err != nil && !errors.Is(mine.err, ErrLost) {
			l.retryRelease(mine)
		}
		close(mine.done)
		return mine.err
	}
	select {
	case <-other.done:
		return other.err
	case <-ctx.Done():
		return &AttemptError{Op: "release", Name: l.Name(), Quorum: l.claim.manager.quorum,
			reasons: append([]error{ErrNoQuorum}, ended(ctx)...)}
	}
}

// beginRelease closes the window. It returns the call that is this one's to
// make, or the one that is already made, or why there is nothing to release.
func (l *Lock) beginRelease(now clock.Instant) (mine, other *release, over error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.release != nil {
		return nil, l.release, nil
	}
	if over := l.over(now); over != nil && !errors.Is(over, errReleased) {
		return nil, nil, over
	}
	if l.ended == nil {
		l.finish(errReleased)
	}
	l.release = &release{done: make(chan struct{})}
	return l.release, nil, nil
}

// letGoInTime is letGo for a lock that ended by itself, once its window would have
// closed: the watch comes back to it then.
func (l *Lock) letGoInTime(over error, now clock.Instant) {
	l.mu.Lock()
	closes := l.closes()
	l.mu.Unlock()
	switch {
	case errors.Is(over, errReleased), errors.Is(over, ErrClosed):
	case now >= closes:
		l.letGo(over, now)
	default:
		l.claim.manager.watch.look(l, closes)
	}
}

// letGo has what the masters still have of a lock that is over removed in the
// background. Once is enough: nothing follows it, and what does not arrive is
// owed.
func (l *Lock) letGo(over error, now clock.Instant) {
	if l.gone.Swap(true) {
		return
	}
	to := nobody // what is left may be in the way of who has it now
	if errors.Is(over, ErrHoldLimit) {
		to = anyone
	}
	l.claim.leave(to, now, 0)
}

// retryRelease makes room for calls after one that failed. Those that waited for it
// have failed with it.
func (l *Lock) retryRelease(failed *release) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.release == failed {
		l.release = nil
	}
}

// askRelease tells the masters and waits for a majority.
func (l *Lock) askRelease(ctx context.Context, now clock.Instant) error {
	m := l.claim.manager
	m.watch.forget(l)
	r := l.claim.leave(anyone, now, 0)
	switch r.wait(ctx, now, now.Add(m.opts.AttemptTimeout)) {
	case won, presumed:
		return nil
	case rivalled:
		return r.failure("release", ErrLost, ErrDenied)
	}
	return r.failure("release", append([]error{ErrNoQuorum}, ended(ctx)...)...)
}
