package quorum

import (
	"context"
	"errors"
	"time"
)

// Do acquires the lock called name, waiting for it as Acquire does, runs fn while it keeps the lock
// alive, and releases it. name and ttl are TryAcquire's. ttl is how soon others can have the lock
// after this process has died.
//
// The context given to fn ends when ctx does and when the lock is lost, before the masters let the
// key expire. context.Cause tells which: ErrExpired, ErrDenied, ErrHoldLimit, ErrClosed (each of
// which satisfies errors.Is for ErrLost), or ctx's own cause. fn must then stop at once whatever it
// may do only as the lock's holder.
//
// Do returns once fn has. It joins fn's error, the reason if the lock was lost, even if fn returned
// nil, and the error of a release that too few masters confirmed. If the lock could not be
// acquired, fn is not run and the error is Acquire's. If fn panics, the lock is released and the
// panic goes on.
//
// The caller's goroutine runs fn.
func (m *Manager) Do(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error) (err error) {
	mustHave(ctx)
	if fn == nil { //mutant:do-nil
		return errNoFunction
	}
	p, err := m.engine.opts.checkAcquire(name, ttl, []AcquireOption{AutoRenew(m.engine.opts.MaxHold)})
	if err != nil {
		return err
	}
	if err := m.engine.enter(); err != nil {
		return err
	}
	defer m.engine.exit()
	l, err := m.waiters.acquire(ctx, p)
	if err != nil {
		return err
	}
	held, cancel := l.context(ctx)
	defer cancel()
	defer func() { err = errors.Join(err, l.giveUp(ctx)) }() // also while fn panics //mutant:do-gives-up
	return withCause(ctx, fn(held, l))                       //mutant:do-runs-fn
}

var errNoFunction = errors.New("quorum: the function to run is nil")

// withCause adds to a context error why ctx ended, if it did.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) || !errors.Is(err, ctx.Err()) {
		return err
	}
	return errors.Join(err, cause)
}
