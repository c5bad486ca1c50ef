package quorum

import (
	"context"
	"errors"
	"time"
)

// Do acquires the lock called name, waiting for it as Acquire does. It keeps the lock alive while
// fn runs, and then releases it. name and ttl are those of TryAcquire. ttl is how soon others can
// have the lock if this process dies.
//
// The context passed to fn ends when ctx ends, and when the lock is lost, before the masters let
// the key expire. context.Cause returns the reason: ErrExpired, ErrDenied, ErrHoldLimit, ErrClosed
// (each of which satisfies errors.Is for ErrLost), or ctx's own cause. fn must then immediately
// stop doing anything that only the lock's holder may do.
//
// Do returns once fn has returned. Its error joins three errors: fn's error; the reason the lock
// was lost, if it was, even if fn returned nil; and the error of a release that too few masters
// confirmed. If Do cannot acquire the lock, it does not run fn and returns the error from Acquire.
// If fn panics, Do releases the lock and the panic continues.
//
// Do runs fn on the caller's goroutine.
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

// withCause joins the cause of ctx's end to err, if err is a context error and ctx has ended.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) || !errors.Is(err, ctx.Err()) {
		return err
	}
	return errors.Join(err, cause)
}
