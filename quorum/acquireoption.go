package quorum

import (
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// AcquireOption changes one call of TryAcquire, Acquire, Do or Lead.
type AcquireOption func(*acquireParams)

// NoWait makes Acquire and Do return at once if another client holds the lock, with ErrTaken, as
// TryAcquire does. With Lead, it is an error.
func NoWait() AcquireOption {
	return func(p *acquireParams) { p.noWait = true }
}

// WaitAtMost bounds how long Acquire and Do wait for the lock. After that they return the reason of
// the last attempt, ErrTaken or ErrNoQuorum, together with ErrWaitExceeded, and no context's error.
// The bound does not apply once the lock is held. WaitAtMost(0) is NoWait. A d that is too short
// for a round trip leaves no time for an attempt. A negative d is an error, and so is a call of
// TryAcquire with a positive d, or of Lead with any.
func WaitAtMost(d time.Duration) AcquireOption {
	return func(p *acquireParams) {
		if d < 0 {
			p.bad("WaitAtMost %v is negative", d)
		}
		p.waitAtMost, p.noWait = d, p.noWait || d == 0
	}
}

// MaxHold bounds how long the lock can be held, counted from its acquisition, however often it is
// renewed or extended. After that the lock is lost with ErrHoldLimit, whatever the masters say, and
// unless there is a LockDelay, the masters are told to release it. So a job that hangs cannot hold
// its lock forever. Lead waits for its function before it releases the lock, or leaves it to
// expire. 0 means no bound. Any other value under 1 ms is an error, and so is another bound by
// AutoRenew.
func MaxHold(d time.Duration) AcquireOption {
	return func(p *acquireParams) { p.limitTo("MaxHold", d) }
}

// MinHold keeps the lock taken until d after its acquisition, even if it is released before. Use it
// for jobs that are started everywhere at about the same time, by clocks that differ: a job that
// finishes in a second must not run again on a replica whose clock is two seconds late. The release
// succeeds at once. Until d is over, the masters store the token with "released:" in front, and
// then the first waiter gets the lock.
//
// The lock must live as long as d: d must be at most the TTL, unless the lock is renewed
// automatically. If its holder dies, the lock is free when its TTL is over. With
// Options.RestartGuard, d must be at most the guard. d counts in whole milliseconds; fractions are
// rounded up. 0 means none.
func MinHold(d time.Duration) AcquireOption {
	return func(p *acquireParams) {
		if d < 0 {
			p.bad("MinHold %v is negative", d)
			return
		}
		p.minHold = min(d, clock.Never.Sub(0)-time.Millisecond) + time.Millisecond - 1
		p.minHold = p.minHold.Truncate(time.Millisecond)
	}
}

// minHoldLimit is the lowest bound on a hold. With a lower one, the lock would be lost by the time
// it is returned.
const minHoldLimit = time.Millisecond

// lease is for how long a call requests a lock.
type lease struct {
	ttl    time.Duration // whole milliseconds
	keep   time.Duration // how long the masters keep the key: ttl + Options.LockDelay
	window time.Duration // ttl − drift
}

// acquireParams holds the parameters of one acquisition.
type acquireParams struct {
	lease
	name    string
	mode    wire.Mode // "" for a plain lock
	renew   bool
	limit   time.Duration // how long it may be held; 0 for no limit
	minHold time.Duration // how long it stays taken at least; whole milliseconds

	noWait     bool
	waitAtMost time.Duration // 0 for no bound
	err        error         // what is wrong with the options

	began      clock.Instant // when the call began
	seekHolder bool          // find out whether a single other token has a majority
	leads      bool          // Lead calls
	silent     bool          // the end of the lock is no loss: nobody relies on the window of Once's period

	whole       whole         // what the lock is a part of; nil for none
	pace        string        // a token that spreads the renewals of all parts alike; "" for the lock's own
	provisional bool          // the lock is not its user's yet; see gathering
	refused     *AttemptError // why the attempt failed that the call has just made; nil for none
	ticket      *int64        // of all waits of the call, 0 before the first; nil for its own
}

// bad records that an option is wrong.
func (p *acquireParams) bad(format string, args ...any) {
	p.err = errors.Join(p.err, fmt.Errorf(format, args...))
}

// limitTo bounds the hold. Two different bounds contradict each other.
func (p *acquireParams) limitTo(option string, limit time.Duration) {
	switch {
	case limit < 0:
		p.bad("%s %v is negative", option, limit)
	case limit > 0 && limit < minHoldLimit:
		p.bad("%s %v is under %v", option, limit, minHoldLimit)
	case limit > 0 && p.limit > 0 && limit != p.limit:
		p.bad("%s %v contradicts another bound of %v", option, limit, p.limit)
	case limit > 0:
		p.limit = limit
	}
}

// check checks the options against each other and against the manager's.
func (p *acquireParams) check(o *Options) error {
	if p.noWait && p.waitAtMost > 0 {
		p.bad("NoWait contradicts WaitAtMost %v", p.waitAtMost)
	}
	if p.limit > 0 && p.minHold > p.limit {
		p.bad("MinHold %v is over the bound of %v on the hold", p.minHold, p.limit)
	}
	if p.minHold > p.ttl && !p.renew {
		p.bad("MinHold %v is over the TTL %v, and the lock is not renewed", p.minHold, p.ttl)
	}
	if o.RestartGuard > 0 && p.minHold > o.RestartGuard {
		p.bad("MinHold %v is over the restart guard %v", p.minHold, o.RestartGuard)
	}
	p.checkMode()
	return p.err
}

// forbidWait makes the call return at once, as one that is called as said does.
func (p *acquireParams) forbidWait(call string) error {
	if p.waitAtMost > 0 {
		return fmt.Errorf("%s does not wait, so WaitAtMost %v makes no sense", call, p.waitAtMost)
	}
	p.noWait = true
	return nil
}

// keptTicket returns the ticket that an earlier wait of the call has got, or 0.
func (p *acquireParams) keptTicket() int64 {
	if p.ticket == nil {
		return 0
	}
	return *p.ticket
}

// keepTicket keeps a ticket for the later waits of the call.
func (p *acquireParams) keepTicket(ticket int64) {
	if p.ticket != nil {
		*p.ticket = ticket
	}
}

// ends returns when a lock requested at start is over, however often it is renewed.
func (p *acquireParams) ends(start clock.Instant) clock.Instant {
	if p.limit > 0 {
		return start.Add(p.limit)
	}
	return clock.Never
}

// checkAcquire checks the parameters of an acquisition.
func (o *Options) checkAcquire(name string, ttl, delay time.Duration, opts []AcquireOption) (acquireParams, error) {
	if err := o.checkName(name); err != nil {
		return acquireParams{name: name}, &notAcquired{fmt.Errorf("quorum: acquire: %w", err)}
	}
	p, err := o.checkCall(ttl, delay, opts)
	p.name = name
	if err != nil {
		return p, acquireError(err, name)
	}
	return p, nil
}

// checkCall checks all parameters of an acquisition but the name. It truncates the TTL to whole
// milliseconds, the masters' unit.
func (o *Options) checkCall(ttl, delay time.Duration, opts []AcquireOption) (p acquireParams, err error) {
	if p.lease, err = o.checkTTL(ttl, delay); err != nil { //mutant:acquire-ttl
		return p, err
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&p)
		}
	}
	return p, p.check(o)
}

// acquireError returns the error of an acquisition whose parameters are wrong. Nothing has been
// sent.
func acquireError(err error, names ...string) error {
	return &notAcquired{fmt.Errorf("quorum: acquire %s: %w", quoteAll(names), err)}
}
