package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/wire"
)

// Lead makes this process a candidate for the leadership called name. It waits for the lock of that
// name, as Acquire does. Then it leads for one term: it runs fn while it holds the lock, as Do
// does. After that it releases the lock and campaigns again, until fn is done, ctx ends or the
// Manager is closed. name and ttl are those of TryAcquire. ttl is how soon another candidate leads
// if this process dies.
//
// At most one candidate leads at any moment, or n with Permits(n); see "What is guaranteed" in the
// package documentation. With Options.Fencing, which is recommended, the Lock's Fence is the number
// of the term. It is higher than that of every earlier term of any candidate, except with Permits.
// Without fencing it is 0, and a leader that was paused may do harm before it notices
// that its term is over.
//
// The context passed to fn ends when ctx ends, when the lock is lost, and when the Manager is
// closed. context.Cause returns the reason, as it does for Do. fn must then stop leading and
// return. Lead keeps the lock alive until then, even if ctx has ended, so that fn can hand over in
// good order: l.Context(context.WithoutCancel(ctx)) ends with the lock only. Once fn has returned,
// and not before, Lead releases the lock, and the next candidate leads at once. As a term is a call
// of fn, no term ends that has not begun.
//
// What fn returns decides what happens next:
//
//   - If fn returns nil during its term, it is done, and Lead returns nil. That is also so if fn
//     released or detached the lock itself.
//   - If fn returns an error during its term, Lead campaigns again. Other candidates that are
//     waiting come first.
//   - If the lock was lost before fn returned, Lead campaigns again, whatever fn returned. The work
//     of the term may be incomplete.
//   - If ctx ended before fn returned, Lead returns an error that satisfies errors.Is for ctx's
//     error, for the cause of its end, and for fn's error. It does so even if fn returned nil.
//
// Lead pauses before it campaigns again, for about Options.MinBackoff. With each term that was
// shorter than ttl, unless MaxHold ended it, the pause doubles, up to Options.MaxBackoff. So a
// function that fails at once does not spin. To give up because of an error, cancel ctx with it as
// the cause. Errors of the terms after which Lead campaigns again are not returned:
// Events.TermEnded tells of them.
//
// If ctx ends during a campaign, the error satisfies errors.Is for ctx's error, and for the reason
// the last attempt failed, ErrTaken or ErrNoQuorum. After Close it is an ErrClosed. It is an
// ErrNotAcquired if and only if fn never ran. If the lock was lost in the term that ctx or Close
// ended, it is an ErrLost. If fn panics, Lead releases the lock and the panic continues.
//
// MaxHold bounds each term: the lock is then lost with ErrHoldLimit. The next candidate leads once
// fn has returned, or when the lock has expired, within ttl. Lead rejoins at the end of the queue.
// MinHold applies to each term. With Permits, n candidates lead at a time, and an ErrConflict ends
// Lead as it ends Acquire. NoWait and WaitAtMost are errors, because a candidate waits until it
// leads. So is Shared, because all candidates would lead.
//
// Lead runs fn on the caller's goroutine. Inspect tells anyone who leads.
func (m *Manager) Lead(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts ...AcquireOption) error {
	p, err := m.beginRun(ctx, name, ttl, fn, opts)
	if err != nil {
		return err
	}
	defer m.engine.exit()
	if err := p.checkLead(); err != nil { //mutant:lead-checks
		return acquireError(err, name)
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
		pause := backoff.Pause(m.engine.opts.MinBackoff, m.engine.opts.MaxBackoff, short, l.Token()) //mutant:lead-pauses
		m.engine.sleep(ctx, pause)
		short++
	}
}

// checkLead returns an error if an option makes no sense for Lead.
func (p *acquireParams) checkLead() error {
	switch {
	case p.noWait, p.waitAtMost > 0:
		return errors.New("Lead waits until it leads, so NoWait and WaitAtMost make no sense")
	case p.mode == wire.ModeShared:
		return errors.New("Lead has one candidate lead at a time, so Shared makes no sense")
	}
	return nil
}

// campaignError returns the error of a Lead that ended while it did not lead. Once fn has run, it
// is no ErrNotAcquired.
func campaignError(err error, terms int) error {
	var failure *AttemptError
	switch {
	case terms == 0:
	case errors.As(err, &failure):
		led := *failure // the original may be another caller's too
		led.Op = "lead"
		return &led
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
