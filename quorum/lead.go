package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/internal/backoff"
)

// Lead makes this process a candidate for the leadership called name. It waits for the lock of that
// name as Acquire does, and then leads: it runs fn for one term, as Do would. After that it releases
// the lock, and waits again. It does so until fn is done, ctx ends, or the Manager is closed. name
// and ttl are those of TryAcquire. ttl is how soon another candidate leads if this process dies.
//
// At most one candidate leads at any moment, as at most one Lock of a name is inside its window.
// With Options.Fencing, which is recommended, the lock's Fence numbers the terms: it is higher than
// that of every earlier leader. Without it, it is 0, and what a leader does must be harmless if a
// paused leader does it late.
//
// The context passed to fn ends when the term is over: when ctx ends, when the lock is lost, or when
// the Manager is closed. context.Cause says why, as for Do. fn must then stop leading, and return.
// The lock is kept alive while fn runs, also after ctx has ended, so that fn can hand over in order.
// It is released only once fn has returned, and then the masters hand it on to the next candidate at
// once. Each term is one call of fn, so nothing tells of the end of a term that has not begun.
//
// What fn returns decides how it goes on:
//
//   - nil before its term is over: fn is done, and Lead returns nil. fn may have released the lock
//     itself.
//   - anything, once ctx has ended: Lead returns an error that satisfies errors.Is for ctx's error
//     and for fn's. The cause of ctx's end is joined to it.
//   - anything, once the lock was lost: Lead campaigns again. The term was cut short, so a nil does
//     not mean that fn is done.
//   - an error before its term is over: Lead campaigns again, and other candidates come first.
//
// Before it campaigns again, Lead pauses, for about Options.MinBackoff. So a function that fails at
// once does not spin. The pause doubles up to Options.MaxBackoff as long as terms are shorter than
// ttl, except for those that MaxHold ended. Events.TermEnded tells how each term ended, because
// otherwise nobody would learn of what fn returned.
//
// Lead returns nil only if fn is done. If ctx ends while another candidate leads, the error
// satisfies errors.Is for ctx's error and for the reason the last attempt failed, ErrTaken or
// ErrNoQuorum. After Close it is an ErrClosed. If the lock of the last term was lost, the error is
// also an ErrLost. It is an ErrNotAcquired if and only if fn never ran. If fn panics, Lead releases
// the lock and the panic continues.
//
// MaxHold bounds a term. After that the lock is lost with ErrHoldLimit and handed on, whether or not
// fn has returned, and Lead rejoins at the end of the queue. MinHold keeps the lock taken after a
// term that was shorter. NoWait and WaitAtMost are errors, because a candidate waits until it leads.
//
// Lead runs fn on the caller's goroutine. While fn runs, Held has the lock; Inspect tells anyone who
// leads.
func (m *Manager) Lead(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts ...AcquireOption) error {
	p, err := m.beginRun(ctx, name, ttl, fn, opts)
	if err != nil {
		return err
	}
	defer m.engine.exit()
	if p.noWait || p.waitAtMost > 0 { //mutant:lead-waits
		return acquireError(name, errors.New("Lead waits until it leads, so NoWait and WaitAtMost make no sense"))
	}
	p.leads = true
	short := 0 // terms since the last one that lasted
	for terms := 0; ; terms++ {
		l, err := m.acquire(ctx, p)
		if err != nil {
			return campaignError(err, terms)
		}
		if over, err := l.lead(ctx, fn); over {
			return err
		}
		if l.lasted(p.ttl) { //mutant:lead-lasted
			short = 0
		}
		m.engine.sleep(ctx, backoff.Pause(m.engine.opts.MinBackoff, m.engine.opts.MaxBackoff, short, l.Token())) //mutant:lead-pauses
		short++
	}
}

// campaignError returns the error of a Lead that ended while it did not lead. Once fn has run, it is
// no ErrNotAcquired.
func campaignError(err error, terms int) error {
	var failure *AttemptError
	switch {
	case terms == 0:
	case errors.As(err, &failure):
		failure.Op = "lead"
	case errors.Is(err, ErrClosed):
		return ErrClosed
	}
	return err
}

// lead runs fn for one term. over says that Lead returns err: fn is done, ctx has ended, or the
// Manager was closed.
func (l *Lock) lead(ctx context.Context, fn func(context.Context, *Lock) error) (over bool, err error) {
	began := l.engine.clock.Now()
	ended := began
	over, err = true, errFunctionPanicked // unless fn returns
	defer func() { l.tellTermEnded(ended.Sub(began), !over, err) }()
	var why error // ctx or the Manager had ended by the time fn returned
	lost, err := l.run(ctx, "lead", func(held context.Context, l *Lock) error {
		defer func() { ended, why = l.engine.clock.Now(), l.engine.over(ctx) }()
		return fn(held, l)
	})
	err = lostWhile(ctx, lost, err)
	if why != nil && !errors.Is(err, why) { //mutant:lead-ended
		err = withCause(ctx, errors.Join(err, why))
	}
	return err == nil || why != nil, err
}

// lasted reports whether a term was as long as ttl, or as MaxHold allows.
func (l *Lock) lasted(ttl time.Duration) bool {
	return l.engine.clock.Now().Sub(l.since) >= ttl || errors.Is(l.Err(), ErrHoldLimit)
}

var errFunctionPanicked = errors.New("quorum: the function panicked")
