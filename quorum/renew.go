package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
)

// AutoRenew keeps the lock alive in the background until it is released. The lock is extended by
// its TTL whenever about a third of the TTL has passed; the first extension comes sooner. A failed
// try is repeated while the window is open. If the lock is lost in spite of that, its Lost and
// Validity methods show it.
//
// maxHold bounds how long the lock can be held, as MaxHold does; 0 means no bound.
func AutoRenew(maxHold time.Duration) AcquireOption {
	return func(p *acquireParams) {
		p.renew = true
		p.limitTo("AutoRenew's maxHold", maxHold)
	}
}

// renewal is the plan that keeps a lock alive. The lock's mu guards it.
type renewal struct {
	lease
	period    time.Duration // from one confirmed extension to the next
	next      clock.Instant // when to extend, or to try again
	once      bool          // the first confirmed extension is the last; see acquirer.hold
	confirmed clock.Instant // when the keys expire that the latest confirmed try asked for
	trying    *round        // the latest try, until one has succeeded; nil if nobody listens to failures
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
		lease:  p.lease,
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

// renew makes one try to extend the lock. The caller must not hold mu.
func (l *Lock) renew(now clock.Instant) {
	l.mu.Lock()
	if l.over(now) != nil {
		l.unlock()
		return
	}
	n := l.renewal
	n.next = now.Add(n.retryPause(l.engine.opts.AttemptTimeout, l.closes().Sub(now))) //mutant:renew-again
	l.asked = max(l.asked, now.Add(n.keep))                                           //mutant:renew-asked
	x := l.extension(now, n.lease)
	x.renewal = n
	failed := n.try(x.round, l.engine.events)
	deadline := min(n.next, l.closes())
	l.unlock()
	x.round.submit(now, deadline)
	if failed != nil {
		l.tellRenewalFailed(failed)
	}
}

// renewed plans the next renewal once a try has succeeded. That need not be the latest one: if the
// masters take longer to answer than retryPause, the next try is always under way already.
func (l *Lock) renewed(x *extension) {
	l.mu.Lock()
	n := l.renewal
	current := n != nil && n == x.renewal && n.confirmed < x.expires && l.ended == nil //mutant:renewed-late
	switch {
	case !current:
	case n.once: //mutant:fill-once
		l.renewal = nil
	default:
		n.confirmed = x.expires
		n.trying = nil
		n.schedule(x.expires.Add(-n.keep))
	}
	l.unlock()
	if current && !n.once {
		l.tellRenewed()
	}
}

// try records the latest try. It returns the try before if that did not succeed and somebody wants
// to know.
func (n *renewal) try(r *round, d *dispatcher) (failed *round) {
	if d.handlers.RenewalFailed == nil {
		return nil
	}
	failed, n.trying = n.trying, r
	return failed
}
