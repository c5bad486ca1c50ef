package quorum

import (
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
)

// AutoRenew keeps the lock alive in the background until it is released. The lock is extended by
// its TTL whenever about a third of that has passed, and the first time sooner. A failed try is
// repeated while the window is open. The Lock's Lost and Validity tell when that has come to an
// end.
//
// maxHold bounds how long the lock can be held, counted from its acquisition. Then it is lost with
// ErrHoldLimit, whatever the masters say, and they are told to release it. That keeps a job that
// hangs from holding its lock forever. 0 means no bound. Any other maxHold under 1 ms is an error
// of the acquisition.
func AutoRenew(maxHold time.Duration) AcquireOption {
	return func(p *acquireParams) {
		switch {
		case maxHold < 0:
			p.err = fmt.Errorf("AutoRenew with a negative bound %v", maxHold)
		case maxHold > 0 && maxHold < minHoldLimit:
			p.err = fmt.Errorf("AutoRenew with a bound of %v, which is under %v", maxHold, minHoldLimit)
		}
		p.renew, p.limit = true, maxHold
	}
}

// minHoldLimit is the least that a hold can be bounded to. A lock with less would be lost by the
// time it is returned.
const minHoldLimit = time.Millisecond

// renewal is how a lock is kept alive. The lock's mu guards it.
type renewal struct {
	ttl, window time.Duration
	period      time.Duration // from one confirmed extension to the next
	limit       clock.Instant // the lock is not held past this
	next        clock.Instant // when to extend, or to try again
	last        *round        // the try that was made last; nil before the first
}

// renewGrid is what renewals are rounded to, so that the lanes send those of many locks as one
// pipeline.
const renewGrid = 10 * time.Millisecond

// newRenewal spreads the renewals of locks that were acquired together over a quarter of their
// period, by their tokens. The first comes after a quarter of the period: it repairs masters on
// which a contender's attempt stood for a moment when the lock was won, before others forget it
// too.
func newRenewal(token string, p acquireParams, start clock.Instant) *renewal {
	longest := p.ttl / 3 //mutant:renewal-period
	n := &renewal{
		ttl: p.ttl, window: p.window, limit: p.ends(start),
		period: longest - time.Duration(float64(longest/4)*backoff.Jitter(token)),
	}
	n.schedule(start.Add(-n.period * 3 / 4))
	return n
}

// schedule plans the renewal after one whose window counts from start.
func (n *renewal) schedule(start clock.Instant) {
	n.next = start.Add(n.period)
	if n.period > 10*renewGrid {
		n.next -= n.next % clock.Instant(renewGrid)
	}
}

// retryPause returns how long after a try that did not succeed the next one is made. A try is
// given the attempt's timeout, or a ninth of the TTL if that is shorter, so that there are several
// before the window closes.
func (n *renewal) retryPause(attempt time.Duration) time.Duration {
	return max(min(attempt, n.ttl/9), time.Millisecond)
}

// watchRenewal has the lock renewed from now on, if it is to be.
func (l *Lock) watchRenewal() {
	if n := l.renewal; n != nil {
		l.engine.expiry.look(&l.watched, n.next)
	}
}

// renew makes one try to extend the lock. The caller does not hold mu.
func (l *Lock) renew(now clock.Instant) {
	l.mu.Lock()
	if l.over(now) != nil {
		l.unlock()
		return
	}
	n := l.renewal //mutant:renew-again
	n.next = now.Add(n.retryPause(l.engine.opts.AttemptTimeout))
	x := l.extension(now, n.ttl, n.window)
	n.last = x.round
	deadline := min(n.next, l.closes())
	l.unlock()
	x.round.submit(now, deadline)
}

// renewed plans the next renewal once the last try has succeeded.
func (l *Lock) renewed(x *extension) {
	l.mu.Lock()
	defer l.unlock()
	if n := l.renewal; n != nil && n.last == x.round && l.ended == nil {
		n.schedule(x.expires.Add(-n.ttl))
	}
}

// tick does what is due for the expiry loop.
func (l *Lock) tick(now clock.Instant) (next clock.Instant, again bool) {
	l.mu.Lock()
	over := l.over(now)
	renew := over == nil && l.renewal != nil && l.renewal.next <= now
	repair, expires := l.repairs.due(now)
	l.unlock()
	if over != nil {
		if !errors.Is(over, ErrExpired) || l.overhangs() { // otherwise the keys are about to expire
			l.letGoInTime(over, now)
		}
		return 0, false
	}
	if renew {
		l.renew(now)
	}
	if repair != 0 {
		l.repair(repair, expires)
	}
	return l.nextLook(), true
}

// nextLook returns when something about the lock is due.
func (l *Lock) nextLook() clock.Instant {
	l.mu.Lock()
	defer l.unlock()
	next := l.closes()
	if n := l.renewal; n != nil {
		next = min(next, n.next)
	}
	return min(next, l.repairs.nextDue())
}
