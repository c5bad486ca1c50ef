package quorum

import (
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// AutoRenew keeps the lock alive in the background until it is released: it is
// extended by its TTL whenever about a third of that has passed, the first time
// sooner, and a failed try is repeated for as long as the window is open. The Lock's
// channel Lost and its Validity tell when that has come to an end.
//
// maxHold bounds how long the lock can be held, from its acquisition on; then it
// is lost with ErrHoldLimit, whatever the masters say, and they are told to let it
// go. That keeps a job that hangs from holding its lock for ever. 0 means no
// bound; any other maxHold under 1 ms is an error of the acquisition.
func AutoRenew(maxHold time.Duration) AcquireOption {
	return func(a *acquisition) {
		switch {
		case maxHold < 0:
			a.err = fmt.Errorf("AutoRenew with a negative bound %v", maxHold)
		case maxHold > 0 && maxHold < shortestHold:
			a.err = fmt.Errorf("AutoRenew with a bound of %v, which is under %v", maxHold, shortestHold)
		}
		a.renew, a.limit = true, maxHold
	}
}

// shortestHold is the least that a hold can be bounded to. A lock with less would be
// lost by the time that it is returned.
const shortestHold = time.Millisecond

// renewal is how a lock is kept alive. The lock's mu guards it.
type renewal struct {
	ttl, window time.Duration
	period      time.Duration // from one confirmed extension to the next
	limit       clock.Instant // the lock is not held past this
	next        clock.Instant // when to extend, or to try again
	round       *round        // the try that was made last; nil before the first
}

// renewGrid is what renewals are rounded to, so that the lanes send those of many
// locks as one pipeline.
const renewGrid = 10 * time.Millisecond

// newRenewal spreads the renewals of locks that were acquired together over a
// quarter of their period, by their tokens. The first comes after a quarter of
// it: it repairs masters on which a contender's attempt stood for a moment when
// the lock was won, before others forget it too.
func newRenewal(c *claim, a acquisition, start clock.Instant) *renewal {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.token)) // never fails, see hash.Hash
	longest := a.ttl / 3
	n := &renewal{ttl: a.ttl, window: a.window, limit: clock.Never,
		period: longest - time.Duration(float64(longest/4)*float64(h.Sum32())/(1<<32))}
	if a.limit > 0 {
		n.limit = start.Add(a.limit)
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

// again is how long after a try that did not succeed the next one is made. The
// first is given AttemptTimeout, or a ninth of the TTL if that is shorter, so
// that there are several before the window closes.
func (n *renewal) again(m *Manager) time.Duration {
	return max(min(m.opts.AttemptTimeout, n.ttl/9), time.Millisecond)
}

// renew makes one try to extend the lock. The caller does not hold mu.
func (l *Lock) renew(now clock.Instant) {
	l.mu.Lock()
	if l.over(now) != nil {
		l.mu.Unlock()
		return
	}
	n := l.renewal
	n.next = now.Add(n.again(l.claim.manager))
	r := l.newKeepRound(now, n.ttl, n.window)
	n.round = r
	deadline := min(n.next, l.closes())
	l.mu.Unlock()
	r.submit(now, deadline)
}

// renewed plans the next renewal once the last try has succeeded.
func (l *Lock) renewed(r *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.renewal; n != nil && n.round == r && l.ended == nil {
		n.schedule(r.keeping.Load().expires.Add(-n.ttl))
	}
}

// tick looks at the lock for the watch. It returns when to look again, and false
// if the lock is over.
func (l *Lock) tick(now clock.Instant) (next clock.Instant, again bool) {
	l.mu.Lock()
	over := l.over(now)
	renew := over == nil && l.renewal != nil && l.renewal.next <= now
	repair, expires := l.repairs.due(now)
	l.mu.Unlock()
	if over != nil {
		if !errors.Is(over, ErrExpired) { // then the keys are about to expire
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
	defer l.mu.Unlock()
	next := l.closes()
	if n := l.renewal; n != nil {
		next = min(next, n.next)
	}
	if l.repairs.missing&^l.repairs.asked != 0 {
		next = min(next, l.repairs.next)
	}
	return next
}
