package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// release is one call of Release, which others may wait for.
type release struct {
	done chan struct{} // closed when err is set
	err  error
}

// Release gives the lock up. Its window closes at once, whatever comes of the call. Then every
// master is told to remove the key if it still stores this lock's token. Release returns nil once a
// majority no longer stores it. Masters that cannot be reached are told again in the background
// until the key would have expired.
//
// The error is ErrLost if the window was over before the call: another client may have held the
// lock meanwhile. It is ErrLost too if the window was open but a majority stores another token,
// because masters forgot the lock or somebody removed it. No other client's key is touched, and
// what is left of this lock is removed in the background. If the client had to repeat the request,
// as on a connection that had died, nobody can tell whether the first try handed the lock on to
// that other token, so it counts as released.
//
// If too few masters answer, the error is ErrNoQuorum, and calling Release again asks them again.
// After Close it is ErrClosed, and the key is left to expire.
//
// Another Release of a lock that was released returns nil, so that Release can be deferred and
// called early too.
//
// Release is sent even if ctx has ended, and then waits for the masters as usual. If ctx ends while
// Release waits, the wait ends with an error that satisfies errors.Is for ctx's error. The release
// goes on in the background.
func (l *Lock) Release(ctx context.Context) error {
	mustHave(ctx)
	if err := l.engine.enter(); err != nil {
		return err
	}
	defer l.engine.exit()
	return l.giveUp(ctx)
}

// giveUp is Release without regard to whether the Manager is being closed.
func (l *Lock) giveUp(ctx context.Context) error {
	now := l.engine.clock.Now()
	mine, other, over := l.beginRelease(now)
	if ctx.Err() != nil { // perhaps only just now, because it ends with the lock
		ctx = context.WithoutCancel(ctx) //mutant:release-context
	}
	switch {
	case over != nil:
		l.letGo(over, now) //mutant:release-lets-go
		return l.lostError("release", over)
	case mine != nil:
		mine.err = l.askRelease(ctx, now)
		if mine.err != nil && !errors.Is(mine.err, ErrLost) {
			l.allowRetry(mine)
		}
		close(mine.done)
		return mine.err
	}
	select {
	case <-other.done:
		return other.err //mutant:release-other
	case <-ctx.Done():
		return &AttemptError{
			Op: "release", Name: l.Name(), Quorum: l.engine.system.Quorum(), reasons: noQuorum(ctx),
		}
	}
}

// beginRelease closes the window. It returns the call that is this one's to make, or the one that
// is already made, or why there is nothing to release.
func (l *Lock) beginRelease(now clock.Instant) (mine, other *release, over error) {
	l.mu.Lock()
	defer l.unlock()
	if l.release != nil {
		return nil, l.release, nil
	}
	if over := l.over(now); over != nil && !errors.Is(over, errReleased) { //mutant:release-over
		return nil, nil, over
	}
	if l.ended == nil { //mutant:release-ends
		l.finish(errReleased)
	}
	l.release = &release{done: make(chan struct{})}
	return l.release, nil, nil
}

// allowRetry makes room for calls after one that failed. Those that waited for it have failed with
// it.
func (l *Lock) allowRetry(failed *release) {
	l.mu.Lock()
	defer l.unlock()
	if l.release == failed {
		l.release = nil
	}
}

// askRelease tells the masters and waits for a majority.
func (l *Lock) askRelease(ctx context.Context, now clock.Instant) error {
	l.engine.expiry.forget(&l.watched)
	r := startRelease(l.engine, l.claim, wire.Anyone, now, 0)
	switch r.wait(ctx, now, now.Add(l.engine.opts.AttemptTimeout)) {
	case vote.Won, vote.Tentative:
		return nil
	case vote.LostToRival:
		return r.failure("release", ErrLost, ErrDenied)
	}
	return r.failure("release", noQuorum(ctx)...)
}

// letGo has what masters still store of a lock that is over removed in the background. Once is
// enough: nothing follows it, and what does not arrive is owed.
func (l *Lock) letGo(over error, now clock.Instant) {
	if l.gone.Swap(true) {
		return
	}
	to := wire.Nobody // what is left may be in the way of whoever has the lock now
	if errors.Is(over, ErrHoldLimit) {
		to = wire.Anyone
	}
	startRelease(l.engine, l.claim, to, now, 0)
}

// letGoInTime is letGo for a lock that ended by itself, at the time when its window would have
// closed: until then the expiry loop keeps it.
func (l *Lock) letGoInTime(over error, now clock.Instant) {
	l.mu.Lock()
	closes := l.closes()
	l.unlock()
	switch {
	case errors.Is(over, errReleased), errors.Is(over, ErrClosed):
	case now >= closes:
		l.letGo(over, now)
	default:
		l.engine.expiry.look(&l.watched, closes)
	}
}
