package integration

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// tenure follows one lock for as long as its holder relies on it, and checks what the library tells of it.
//
// Every time that is written down is one that the holder could be certain of: it began to rely on the lock at From or
// later, and the window lasted to Until at least. So a process that is frozen between two lines of this file cannot make
// two holds overlap that did not.
type heldLock struct {
	journal        *journal
	id             int64
	lock           *quorum.Lock
	renewed        bool
	bound          time.Duration // how long AutoRenew lets it be held; 0 for ever
	ignoreValidity bool          // a broken client's: it does not look at Validity
	lost           <-chan struct{}

	begun     time.Duration // when the first window began, or a little earlier
	until     time.Duration // the window lasts this long at least
	atMost    time.Duration // and, as long as it is not renewed, no longer than this
	lastValid time.Duration // when it was last seen to be open
	written   time.Duration // the until that was written last
	ended     bool
	denied    bool
}

const (
	// lateLoss is how late the channel Lost may be closed: 100 ms by its documentation, and a moment to notice.
	maxLostDelay = 150 * time.Millisecond
	// chaosStep is how often a holder looks at its lock.
	checkInterval = 20 * time.Millisecond
)

// begin begins the hold of a lock that was just acquired.
func (t *heldLock) start(ttl time.Duration) {
	before := t.journal.now()
	validity := t.lock.Validity()
	after := t.journal.now()
	window := clock.DefaultDrift.Window(ttl)
	t.begun, t.lastValid = before+validity-window, before
	t.until, t.atMost = t.capped(before+validity), after+validity
	if t.ended = validity <= 0; t.ended {
		return
	}
	t.written = t.until
	t.id = t.journal.ids.Add(1)
	t.journal.write(chaosEvent{
		Kind: eventHeld, ID: t.id, Name: t.lock.Name(), Token: t.lock.Token(), Fence: t.lock.Fence(),
		Begun: t.begun, From: after, Until: t.until,
	})
}

// capped is what a holder who knows that its lock is not renewed for ever can count on.
func (t *heldLock) capped(until time.Duration) time.Duration {
	if t.bound > 0 {
		return min(until, t.begun+t.bound)
	}
	return until
}

// look reads the validity. It returns false once the lock can no longer be relied on.
func (t *heldLock) check() bool {
	if t.ended || t.ignoreValidity {
		return !t.ended
	}
	before := t.journal.now()
	validity := t.lock.Validity()
	after := t.journal.now()
	if validity <= 0 {
		t.recordEnd(before, after)
		return false
	}
	if after+validity < t.until {
		t.journal.violation("the window of %v shrank from %v to %v", t.lock, t.until, after+validity)
	}
	t.until, t.atMost = max(t.until, t.capped(before+validity)), max(t.atMost, after+validity)
	t.lastValid = before
	if t.until > t.written+checkInterval {
		t.written = t.until
		t.journal.write(chaosEvent{Kind: eventExtended, ID: t.id, Until: t.until})
	}
	return true
}

// ended is called when Validity has said, between before and after, that the lock is over.
func (t *heldLock) recordEnd(before, after time.Duration) {
	t.ended = true
	if after >= t.until {
		t.journal.write(chaosEvent{Kind: eventOver, ID: t.id, To: min(before, t.until)})
		return
	}
	t.recordDenied(t.lock.String())
}

// deny tells of a loss inside the window. Whether anything explains it, only the test knows: who forgot what.
func (t *heldLock) recordDenied(what string) {
	if !t.denied {
		t.denied = true
		t.journal.write(chaosEvent{Kind: eventDenied, ID: t.id, From: t.journal.now(), To: t.lastValid, What: what})
	}
}

// quit ends the hold: from now on its holder does not rely on the lock, and may release it.
func (t *heldLock) end() {
	if !t.check() {
		return
	}
	t.ended = true
	now := t.journal.now()
	if !t.ignoreValidity {
		now = min(now, t.until)
	}
	t.journal.write(chaosEvent{Kind: eventOver, ID: t.id, To: now})
}

// work uses the lock for d, or until it is over or ctx has ended.
func (t *heldLock) use(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lost := t.lost
	if t.ignoreValidity {
		lost = nil
	}
	for end := t.journal.now() + d; t.check(); {
		timer.Reset(max(min(end-t.journal.now(), checkInterval), 0))
		select {
		case <-timer.C:
			if t.journal.now() >= end {
				return
			}
		case <-ctx.Done():
			return
		case <-lost:
			t.checkLost()
			lost = nil
		}
	}
	if lost != nil { // the clock was faster than the channel, which must follow
		<-lost
		t.checkLost()
	}
}

// checkLost is called when Lost was just closed.
func (t *heldLock) checkLost() {
	validity := t.lock.Validity()
	now := t.journal.now()
	if validity > 0 {
		t.journal.violation("Lost is closed, but: %v", t.lock)
	}
	// What is left of a window that is over counts on, below zero.
	if late := -validity; late > maxLostDelay+t.journal.stalls.during(now-late, now) {
		t.journal.violation("Lost was closed %v after the window: %v", late, t.lock)
	}
}

// extend extends the lock, and checks what is told of it.
func (t *heldLock) extend(ctx context.Context, ttl time.Duration) {
	before := t.journal.now()
	err := t.lock.Extend(ctx, ttl)
	took := t.journal.now() - before
	validity := t.lock.Validity()
	after := t.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && validity > 0 && after+validity < before+clock.DefaultDrift.Window(ttl):
		t.journal.violation("extended by %v at %v, but its window ends at %v: %v", ttl, before, after+validity, t.lock)
	case lost && validity > 0:
		t.journal.violation("extend said that it is lost, but: %v: %v", t.lock, err)
	}
	t.checkError(ctx, "extend", err, lost)
	t.journal.checkTook("extend", before, took, chaosAttemptTimeout)
	t.check()
}

// release ends the hold and releases the lock, and checks what is told of it.
func (t *heldLock) release(ctx context.Context) {
	t.end()
	before := t.journal.now()
	err := t.lock.Release(ctx)
	after := t.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && !t.renewed && !t.ignoreValidity && before > t.atMost:
		t.journal.violation("released at %v, but its window ended at %v: %v", before, t.atMost, t.lock)
	case lost && after < t.until:
		t.recordDenied(err.Error())
	}
	t.checkReleased()
	t.checkError(ctx, "release", err, lost)
	t.journal.checkTook("release", before, after-before, chaosAttemptTimeout)
}

func (t *heldLock) checkReleased() {
	if t.lock.Validity() > 0 {
		t.journal.violation("released, but: %v", t.lock)
	}
	select {
	case <-t.lock.Lost():
	default:
		t.journal.violation("released, but Lost is open: %v", t.lock)
	}
}

// checkError checks that an error of Extend or Release is one of those that they document.
func (t *heldLock) checkError(ctx context.Context, op string, err error, lost bool) {
	noQuorum, ended := errors.Is(err, quorum.ErrNoQuorum), isContextError(err)
	switch {
	case err == nil:
	case noQuorum == lost, errors.Is(err, quorum.ErrTaken), errors.Is(err, quorum.ErrClosed):
		t.journal.violation("%s: unexpected error %v", op, err)
	case ended && ctx.Err() == nil:
		t.journal.violation("%s: a context error that is not the caller's: %v", op, err)
	}
	t.journal.outcome("%s: %s", op, outcomeOf(err))
}

// checkTook checks that a call did not take much longer than it may.
func (j *journal) checkTook(op string, began, took, most time.Duration) {
	const grace = 500 * time.Millisecond // of a busy machine, beside the stalls that were seen
	if took > most+grace+j.stalls.during(began, began+took) {
		j.violation("%s took %v, and may take %v", op, took, most)
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// verdictOf names what an error stands for.
func outcomeOf(err error) string {
	for _, known := range []error{quorum.ErrTaken, quorum.ErrNoQuorum, quorum.ErrLost, quorum.ErrClosed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}
