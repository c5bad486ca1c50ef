package quorum

import (
	"context"
	"errors"
	"time"
)

// Do acquires the lock called name, waiting for it as Acquire does. It keeps the lock alive while
// fn runs, and then releases it. name and ttl are those of TryAcquire. ttl is how soon others can
// have the lock if this process dies. ctx bounds the whole; WaitAtMost and NoWait bound only the
// wait, and MaxHold how long the lock is held.
//
// The context passed to fn ends when ctx ends, and when the lock is lost, before the masters let
// the key expire. context.Cause returns the reason: ErrExpired, ErrDenied, ErrHoldLimit, ErrClosed
// (each of which satisfies errors.Is for ErrLost), ErrReleased or ErrDetached if fn itself ended
// the lock, or ctx's own cause. fn must then immediately stop doing anything that only the lock's
// holder may do.
//
// Do returns once fn has returned. If Do could not acquire the lock, fn did not run, and the error
// is that of Acquire: an ErrNotAcquired. Otherwise
//
//   - if the lock was lost before fn returned, the error is an ErrLost, whatever fn returned. It
//     says why, and satisfies errors.Is and errors.As for fn's error too. There is one exception: a
//     context error that fn returned because of the loss does not count, unless ctx has ended.
//   - if not, the error is fn's. If that is ctx's error, the cause of ctx's end is joined to it.
//
// A release that too few masters confirm is no failure of Do, because fn is done and the lock was
// not lost. The release is repeated in the background, and Events.Released tells of it. If fn
// panics, Do releases the lock and the panic continues.
//
// Do runs fn on the caller's goroutine.
func (m *Manager) Do(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts ...AcquireOption) error {
	p, err := m.beginRun(ctx, name, ttl, fn, opts)
	if err != nil {
		return err
	}
	defer m.engine.exit()
	l, err := m.acquire(ctx, p)
	if err != nil {
		return err
	}
	lost, err := l.run(ctx, "do", fn)
	return lostWhile(ctx, lost, err)
}

// beginRun is begin for a call that runs fn while it holds the lock.
func (m *Manager) beginRun(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts []AcquireOption) (acquireParams, error) {
	mustHave(ctx)
	if fn == nil { //mutant:do-nil
		return acquireParams{}, errNoFunction
	}
	return m.begin(ctx, name, ttl, append([]AcquireOption{AutoRenew(0)}, opts...))
}

// run runs fn and releases the lock, even if fn panics. It returns why the lock was lost before
// that, if it was, and fn's error.
func (l *Lock) run(ctx context.Context, op string, fn func(context.Context, *Lock) error) (lost, err error) {
	held, cancel := l.Context(ctx)
	defer cancel()
	defer func() {
		why := l.giveUp(ctx, op) //mutant:run-gives-up
		if errors.Is(why, ErrLost) && !errors.Is(why, ErrDetached) {
			lost = why
		}
	}()
	return nil, withCause(ctx, fn(held, l)) //mutant:run-runs-fn
}

var errNoFunction error = &notAcquired{errors.New("quorum: the function to run is nil")}

// withCause joins the cause of ctx's end to err, if err is a context error and ctx has ended.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) || !errors.Is(err, ctx.Err()) {
		return err
	}
	return errors.Join(err, cause)
}

// lostError is the error of a call that lost its lock, and whose function returned an error.
type lostError struct {
	lost error
	fn   error
	ctx  error // of the caller's context; nil if it has not ended
}

// lostWhile returns the error of a function that ran while its lock was held, together with why the
// lock was lost, if it was.
func lostWhile(ctx context.Context, lost, fn error) error {
	switch {
	case lost == nil:
		return fn
	case fn == nil:
		return lost
	}
	return &lostError{lost, fn, ctx.Err()}
}

// Error says first that the lock was lost.
func (e *lostError) Error() string {
	return e.lost.Error() + "; the function returned: " + e.fn.Error()
}

// Unwrap returns why the lock was lost. Is and As add the function's error.
func (e *lostError) Unwrap() error { return e.lost }

// Is does not count a context error of the function as the caller's. Callers commonly ignore
// context.Canceled, and would ignore the loss with it.
func (e *lostError) Is(target error) bool {
	if isContextError(target) && e.ctx == nil { //mutant:lost-hides-canceled
		return false
	}
	return errors.Is(e.fn, target)
}

// As finds the function's error.
func (e *lostError) As(target any) bool { return errors.As(e.fn, target) }

func isContextError(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // these very values
}
