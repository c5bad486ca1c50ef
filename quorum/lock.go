package quorum

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Lock is one acquisition of a lock. It is never reused for another acquisition. Its methods are
// safe for concurrent use.
//
// A Lock ends when it is released, when its window of validity closes, when a majority of the
// masters turns out not to store its token, or when its Manager is closed. It never comes back to
// life.
type Lock struct {
	engine *engine
	claim  *claim
	gone   atomic.Bool // letGo has been called

	handedOn bool // masters handed it on to a waiter
	leads    bool // it is Lead's, which lets it go only when its function has returned

	mu      sync.Mutex    // guards all below up to the blank line
	since   clock.Instant // when it was acquired; adopt sets it before anybody has the lock, so it is also read without mu
	limit   clock.Instant // it is not held past this; Never for no limit
	whole   whole         // what it is a part of; nil for none
	until   clock.Instant
	kept    clock.Instant         // the latest instant until which a majority was told to keep the key
	asked   clock.Instant         // the latest instant until which Extend asked masters to keep the key
	ended   error                 // why the lock is over; nil while it is held
	lost    chan struct{}         // made by the first call of Lost
	told    bool                  // whoever must be told that it is over has been told; see unlock
	silent  bool                  // no event tells its end
	derived map[*lockContext]bool // the contexts that end with the lock
	release *release              // the last call of Release, if any
	repairs repairs
	renewal *renewal // nil if it is not renewed

	watched watched // belongs to the expiry loop
	held    element // belongs to the held locks
}

// whole is all that a Lock knows of the Locks that it is a part of.
type whole interface {
	// partEnded is told that the lock called name is over, and why. It holds no mutex of the lock.
	partEnded(name string, why error)
}

// closedChannel is what Lost returns for a lock that is already over.
var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Name returns the name under which the lock was acquired.
func (l *Lock) Name() string { return l.claim.name }

// Token returns the token that the masters store while the lock is held, in the form random@owner;
// see Options.Owner. Anyone who knows it can release the lock.
func (l *Lock) Token() string { return l.claim.subject.Token }

// Fence returns the lock's fencing token, or 0 without Options.Fencing. The token is higher than
// that of every earlier holder of the name. It is at most 2^53 − 1, and stays the same while the
// lock is held. Shared locks and permits have several holders, so less is promised for them; see
// "Shared locks and permits" in the package documentation.
//
// The resource that a lock with one holder protects should record the highest fence it has seen,
// and refuse any lower one, including in reads that lead to writes. Then a holder that was paused
// past its window can do no harm. Start the resource's record at 1, so that clients without fencing
// (fence 0) are rejected.
func (l *Lock) Fence() int64 { return l.claim.fence.Load() }

// Validity returns how much longer the lock can be relied on. It is 0 or negative once the lock is
// over, for whatever reason. Validity reads the clock and does not ask the masters. It is correct
// at once even after the process or the machine was asleep.
//
// Right after Acquire, Do or Lead has waited, Validity may be a second or two even if the TTL is
// longer: it is what the masters have confirmed so far. It grows to the whole TTL a few
// milliseconds later.
func (l *Lock) Validity() time.Duration { //mutant:validity
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	if l.over(now) != nil {
		return min(l.closes().Sub(now), 0)
	}
	return l.closes().Sub(now)
}

// closes returns when the window closes unless it is extended: at the end of the last confirmed
// extension, or when the bound on the hold is reached. The caller must hold mu.
func (l *Lock) closes() clock.Instant { return min(l.until, l.limit) } //mutant:window-limit

// Lost returns a channel that is closed once the lock can no longer be relied on. That is when its
// window closes, which is before the masters let the key expire; when an Extend learns that a
// majority does not store the token; when the lock is released; or when the Manager is closed. If
// the process was stopped or the machine was asleep at that time, the channel is closed within 100
// ms of waking up. Validity is correct at once.
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

// Err returns why the lock is over, or nil while it is held: ErrExpired, ErrDenied, ErrHoldLimit,
// ErrReleased, ErrDetached, or an error that is an ErrClosed if the Manager was closed. Each of
// them is an ErrLost. Like Validity, Err reads the clock and does not ask the masters.
func (l *Lock) Err() error {
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	return l.over(now)
}

// isOver reports whether the lock is over.
func (l *Lock) isOver() bool { return l.Err() != nil }

// over returns why the lock is over, or nil if it is not. It reads the clock, so it ends a lock
// whose time is over even if nothing has noticed that yet. The caller must hold mu.
func (l *Lock) over(now clock.Instant) error {
	switch {
	case l.ended != nil:
		return l.ended
	case l.engine.closed.Load():
		l.finish(errManagerClosed)
	case now >= l.until:
		l.finish(ErrExpired)
	case now >= l.limit: //mutant:hold-limit
		l.finish(ErrHoldLimit)
	}
	return l.ended
}

// finish ends the lock. The caller must hold mu, and the lock must not be over.
func (l *Lock) finish(why error) {
	l.ended = why
	if l.lost != nil {
		close(l.lost)
	}
}

// unlock releases mu. If the lock is over, unlock then tells those who must know, once. It does so
// without mu: canceling a context may run the user's code, and the others have mutexes of their
// own.
func (l *Lock) unlock() {
	ended, derived, first := l.ended, l.derived, l.ended != nil && !l.told
	if first {
		l.told, l.derived = true, nil
	}
	whole, silent := l.whole, l.silent
	l.mu.Unlock()
	if !first {
		return
	}
	if whole != nil {
		whole.partEnded(l.Name(), ended) //mutant:part-ended
	}
	for ctx := range derived {
		ctx.cancel(ended)
	}
	l.engine.held.remove(&l.held)
	if !silent && !isOwnEnd(ended) {
		l.tellLost(ended)
	}
}

// renewalDue returns when the lock is to be renewed, or Never.
func (l *Lock) renewalDue() clock.Instant {
	l.mu.Lock()
	defer l.unlock()
	if l.renewal == nil {
		return clock.Never
	}
	return l.renewal.next
}

// end ends the lock unless it is already over.
func (l *Lock) end(why error) {
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	if l.over(now) == nil {
		l.finish(why)
	}
}

// lostError returns the error of an operation on a lock that is over.
func (l *Lock) lostError(op string, why error) error {
	return &AttemptError{
		Op: op, Name: l.Name(), Quorum: l.engine.system.Quorum(), system: l.engine.system,
		reasons: []error{ErrLost, why},
	}
}

// tick does what is due, for the expiry loop.
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

// nextLook returns when the lock next needs the expiry loop.
func (l *Lock) nextLook() clock.Instant {
	l.mu.Lock()
	defer l.unlock()
	next := l.closes()
	if n := l.renewal; n != nil {
		next = min(next, n.next)
	}
	return min(next, l.repairs.nextDue())
}
