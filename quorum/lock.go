package quorum

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Lock is one acquisition of a lock. It is never reused for another, and its methods are safe for
// concurrent use.
//
// A Lock ends when it is released, when its window of validity closes, when a majority of the
// masters turns out not to store its token, or when its Manager is closed. It never comes back to
// life.
type Lock struct {
	engine *engine
	claim  *claim
	gone   atomic.Bool // letGo has been called

	mu      sync.Mutex // guards all below up to the blank line
	until   clock.Instant
	kept    clock.Instant           // the longest that a majority was told to keep its keys
	asked   clock.Instant           // the longest that Extend asked the masters to
	ended   error                   // why it is over; nil while it is held
	lost    chan struct{}           // made by the first call of Lost
	cancel  context.CancelCauseFunc // ends the context made of it; nil if there is none; see unlock
	release *release                // the last call of Release, if any
	repairs repairs
	renewal *renewal // nil if it is not renewed

	watched watched // the expiry loop's
}

// closedChannel is what Lost returns for a lock that is over already.
var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Name returns the name that the lock was acquired by.
func (l *Lock) Name() string { return l.claim.name }

// Token returns the random token that the masters store while the lock is held. Anyone who knows it
// can release the lock.
func (l *Lock) Token() string { return l.claim.subject.Token }

// Fence returns the lock's fencing token, and 0 without Options.Fencing. It is higher than that of
// every earlier holder of the name, at most 2^53 − 1, and stays the same while the lock is held.
//
// Let the resource that the lock protects keep the highest fence it has seen, and refuse a lower
// one, in reads that lead to writes too. Then a holder that was paused past its window can do no
// harm. Start the resource's record at 1, so that clients without fencing (fence 0) are rejected.
func (l *Lock) Fence() int64 { return l.claim.fence.Load() }

// Validity returns how much longer the lock can be relied on. It is 0 or negative once the lock is
// over, for whatever reason. It asks the clock, not the masters, and is right at once after the
// process or the machine was asleep.
func (l *Lock) Validity() time.Duration { //mutant:validity
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	if l.over(now) != nil {
		return min(l.closes().Sub(now), 0)
	}
	return l.closes().Sub(now)
}

// closes returns when the window closes unless it is extended: with the last confirmed extension,
// or when AutoRenew's bound is reached.
func (l *Lock) closes() clock.Instant {
	if l.renewal != nil {
		return min(l.until, l.renewal.limit) //mutant:window-limit
	}
	return l.until
}

// Lost returns a channel that is closed once the lock can no longer be relied on: when its window
// closes, which is before the masters let the key expire; when an Extend learns that a majority
// does not store the token; when it is released; and when the Manager is closed. If the process was
// stopped or the machine asleep at that time, it is closed within 100 ms of waking up, while
// Validity knows at once.
func (l *Lock) Lost() <-chan struct{} {
	now := l.engine.clock.Now()
	l.mu.Lock()
	over := l.over(now)
	if over == nil && l.lost == nil {
		l.lost = make(chan struct{})
	}
	lost, until := l.lost, l.closes()
	l.unlock()
	if over != nil {
		return closedChannel
	}
	l.engine.expiry.look(&l.watched, until) //mutant:lost-look
	return lost
}

// over returns why the lock is over, nil if it is not. The clock decides, whether or not anybody
// has noticed. The caller holds mu.
func (l *Lock) over(now clock.Instant) error {
	switch {
	case l.ended != nil:
		return l.ended
	case l.engine.closed.Load():
		l.finish(errManagerClosed)
	case now >= l.until:
		l.finish(ErrExpired)
	case l.renewal != nil && now >= l.renewal.limit: //mutant:hold-limit
		l.finish(ErrHoldLimit)
	}
	return l.ended
}

// finish ends the lock. The caller holds mu and has seen that it is not over.
func (l *Lock) finish(why error) {
	l.ended = why
	if l.lost != nil {
		close(l.lost)
	}
}

// unlock releases mu. If the lock is over, it then cancels the context made of it, without mu: that
// asks the context which it was made of, and so code of the caller's.
func (l *Lock) unlock() {
	ended, cancel := l.ended, l.cancel
	l.mu.Unlock()
	if ended != nil && cancel != nil {
		cancel(ended) // only the first call counts
	}
}

// end ends the lock, if it is not over already.
func (l *Lock) end(why error) {
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	if l.over(now) == nil {
		l.finish(why)
	}
}

// lostError is what an operation on a lock that is over returns.
func (l *Lock) lostError(op string, why error) error {
	return &AttemptError{
		Op: op, Name: l.Name(), Quorum: l.engine.system.Quorum(),
		reasons: []error{ErrLost, why},
	}
}
