package quorum

import (
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
)

// AutoRenew keeps the lock alive in the background until it is released. The lock is extended by
// its TTL whenever about a third of the TTL has passed; the first extension comes sooner. A failed
// try is repeated while the window is open. If the lock is lost in spite of that, its Lost and
// Validity methods show it.
//
// maxHold bounds how long the lock can be held, counted from its acquisition. After that the lock
// is lost with ErrHoldLimit, whatever the masters say, and the masters are told to release it. So a
// job that hangs cannot hold its lock forever. 0 means no bound. The acquisition fails if maxHold
// is any other value under 1 ms.
func AutoRenew(maxHold time.Duration) AcquireOption {
	return func(p *acquireParams) {
		switch {
		case maxHold < 0:
			p.err = fmt.Errorf("AutoRenew: maxHold %v is negative", maxHold)
		case maxHold > 0 && maxHold < minHoldLimit:
			p.err = fmt.Errorf("AutoRenew: maxHold %v is under %v", maxHold, minHoldLimit)
		}
		p.renew, p.limit = true, maxHold
	}
}

// minHoldLimit is the lowest bound on a hold. With a lower one, the lock would be lost by the time
// it is returned.
const minHoldLimit = time.Millisecond

// renewal is the plan that keeps a lock alive. The lock's mu guards it.
type renewal struct {
	ttl, window time.Duration
	period      time.Duration // from one confirmed extension to the next
	limit       clock.Instant // the lock is not held past this
	next        clock.Instant // when to extend, or to try again
	once        bool          // the first confirmed extension is the last; see acquirer.hold
	last        clock.Instant // when the keys expire that the latest try asked for; 0 before the first
}

// renewGrid is the grid to which renewals are rounded, so that the lanes send the renewals of many
// locks as one pipeline.
const renewGrid = 10 * time.Millisecond

// newRenewal plans a lock's renewals. Locks that were acquired together are renewed at different
// times, spread by their tokens over a quarter of their period. The first renewal comes after a
// quarter of the period. A contender's failed attempt may have briefly occupied a master when the
// lock was won. The first renewal repairs that master before other masters forget the lock too.
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

// retryPause returns how long after a failed try the next one is made. Each try gets the attempt
// timeout, or a ninth of the TTL if that is shorter, so that several tries fit into the window. In
// the short window after a hand-off, and near the end of any other, it gets a third of what is
// left.
func (n *renewal) retryPause(attempt, left time.Duration) time.Duration {
	pause := max(min(attempt, n.ttl/9), time.Millisecond)
	return min(pause, max(left/3, fillDelay)) //mutant:fill-retry
}

// watchRenewal starts the lock's renewals, if it has any.
func (l *Lock) watchRenewal() {
	if n := l.renewal; n != nil {
		l.engine.expiry.look(&l.watched, n.next)
	}
}

// renew makes one try to extend the lock. The caller must not hold mu.
func (l *Lock) renew(now clock.Instant) {
	l.mu.Lock()
	if l.over(now) != nil {
		l.unlock()
		return
	}
	n := l.renewal //mutant:renew-again
	n.next = now.Add(n.retryPause(l.engine.opts.AttemptTimeout, l.closes().Sub(now)))
	l.asked = max(l.asked, now.Add(n.ttl)) //mutant:renew-asked
	x := l.extension(now, n.ttl, n.window)
	n.last = x.expires
	deadline := min(n.next, l.closes())
	l.unlock()
	x.round.submit(now, deadline)
}

// renewed plans the next renewal once the last try has succeeded. It recognizes that try by its
// time: a reference to its round would keep the round in memory for as long as the lock is held.
func (l *Lock) renewed(x *extension) {
	l.mu.Lock()
	defer l.unlock()
	if n := l.renewal; n != nil && n.last == x.expires && l.ended == nil {
		if n.once { //mutant:fill-once
			l.renewal = nil
			return
		}
		n.schedule(x.expires.Add(-n.ttl))
	}
}
