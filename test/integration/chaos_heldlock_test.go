package integration

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// heldLock checks one lock while its holder relies on it, and reports the hold.
//
// All reported times are certain: the holder began to rely on the lock at From or later, and the
// window lasted at least to Until. So a process that freezes between two lines of this file cannot
// make two holds appear to overlap.
type heldLock struct {
	journal        *journal
	id             int64
	lock           *quorum.Lock
	kind           lockKind // as the client says
	stray          bool     // the name is used with another kind
	renewed        bool
	bound          time.Duration // bound of AutoRenew; 0 for none
	ignoreValidity bool          // a broken client, which does not check Validity
	lost           <-chan struct{}

	begun     time.Duration // when the first window began, or slightly earlier
	until     time.Duration // the window lasts at least this long
	atMost    time.Duration // without renewal, the window lasts at most this long
	lastValid time.Duration // when the window was last seen open
	written   time.Duration // the until that was last reported
	ended     bool
	denied    bool
}

const (
	// maxLostDelay is how late the channel Lost may be closed: the documented 100 ms, and a moment
	// to notice.
	maxLostDelay = 150 * time.Millisecond
	// checkInterval is how often a holder checks its lock.
	checkInterval = 20 * time.Millisecond
)

// start starts the hold of a lock that was just acquired.
func (h *heldLock) start(ttl time.Duration) {
	before := h.journal.now()
	validity := h.lock.Validity()
	after := h.journal.now()
	window := clock.DefaultDrift.Window(ttl)
	h.begun, h.lastValid = before+validity-window, before
	h.until, h.atMost = h.capped(before+validity), after+validity
	if h.ended = validity <= 0; h.ended {
		return
	}
	h.written = h.until
	h.id = h.journal.ids.Add(1)
	h.journal.write(chaosEvent{
		Kind: eventHeld, ID: h.id, Name: h.lock.Name(), Token: h.lock.Token(), Fence: h.lock.Fence(),
		Begun: h.begun, From: after, Until: h.until, Lock: h.kind, Stray: h.stray,
	})
}

// capped limits until to the bound of AutoRenew, if there is one.
func (h *heldLock) capped(until time.Duration) time.Duration {
	if h.bound > 0 {
		return min(until, h.begun+h.bound)
	}
	return until
}

// check reads Validity. It returns false once the lock can no longer be relied on.
func (h *heldLock) check() bool {
	if h.ended || h.ignoreValidity {
		return !h.ended
	}
	before := h.journal.now()
	validity := h.lock.Validity()
	after := h.journal.now()
	if validity <= 0 {
		h.recordEnd(before, after)
		return false
	}
	if after+validity < h.until {
		h.journal.violation("the window of %v shrank from %v to %v", h.lock, h.until, after+validity)
	}
	h.until, h.atMost = max(h.until, h.capped(before+validity)), max(h.atMost, after+validity)
	h.lastValid = before
	if h.until > h.written+checkInterval {
		h.written = h.until
		h.journal.write(chaosEvent{Kind: eventExtended, ID: h.id, Until: h.until})
	}
	return true
}

// recordEnd records that Validity, read between before and after, was not positive.
func (h *heldLock) recordEnd(before, after time.Duration) {
	h.ended = true
	if after >= h.until {
		h.journal.write(chaosEvent{Kind: eventOver, ID: h.id, To: min(before, h.until)})
		return
	}
	h.recordDenied(h.lock.String())
}

// recordDenied reports a loss inside the window. Only the test knows whether a forgetful master
// explains it.
func (h *heldLock) recordDenied(what string) {
	if !h.denied {
		h.denied = true
		h.journal.write(chaosEvent{Kind: eventDenied, ID: h.id, From: h.journal.now(), To: h.lastValid, What: what})
	}
}

// end ends the hold. From now on, the holder does not rely on the lock and may release it.
func (h *heldLock) end() {
	if !h.check() {
		return
	}
	h.ended = true
	now := h.journal.now()
	if !h.ignoreValidity {
		now = min(now, h.until)
	}
	h.journal.write(chaosEvent{Kind: eventOver, ID: h.id, To: now})
}

// use uses the lock for d, or until it is lost or ctx ends.
func (h *heldLock) use(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lost := h.lost
	if h.ignoreValidity {
		lost = nil
	}
	for end := h.journal.now() + d; h.check(); {
		timer.Reset(max(min(end-h.journal.now(), checkInterval), 0))
		select {
		case <-timer.C:
			if h.journal.now() >= end {
				return
			}
		case <-ctx.Done():
			return
		case <-lost:
			h.checkLost()
			lost = nil
		}
	}
	if lost != nil { // Validity ended before Lost was closed, which must follow
		<-lost
		h.checkLost()
	}
}

// checkLost is called when Lost has just been closed.
func (h *heldLock) checkLost() {
	validity := h.lock.Validity()
	now := h.journal.now()
	if validity > 0 {
		h.journal.violation("Lost is closed, but the lock is valid: %v", h.lock)
	}
	// After the window has closed, Validity is negative.
	if late := -validity; late > maxLostDelay+h.journal.stalls.during(now-late, now) {
		h.journal.violation("Lost was closed %v after the end of the window: %v", late, h.lock)
	}
}

// extend extends the lock and checks the result.
func (h *heldLock) extend(ctx context.Context, ttl time.Duration) {
	before := h.journal.now()
	err := h.lock.Extend(ctx, ttl)
	took := h.journal.now() - before
	validity := h.lock.Validity()
	after := h.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && validity > 0 && after+validity < before+clock.DefaultDrift.Window(ttl):
		h.journal.violation("extended by %v at %v, but the window ends at %v: %v", ttl, before, after+validity, h.lock)
	case lost && validity > 0:
		h.journal.violation("Extend returned ErrLost, but the lock is valid: %v: %v", h.lock, err)
	}
	h.checkError(ctx, "extend", err, lost)
	h.journal.checkTook("extend", before, took, chaosAttemptTimeout)
	h.check()
}

// release ends the hold, releases the lock and checks the result.
func (h *heldLock) release(ctx context.Context) {
	h.end()
	before := h.journal.now()
	err := h.lock.Release(ctx)
	after := h.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && !h.renewed && !h.ignoreValidity && before > h.atMost:
		h.journal.violation("released at %v, but the window ended at %v: %v", before, h.atMost, h.lock)
	case lost && after < h.until:
		h.recordDenied(err.Error())
	}
	h.checkReleased()
	h.checkError(ctx, "release", err, lost)
	h.journal.checkTook("release", before, after-before, chaosAttemptTimeout)
}

func (h *heldLock) checkReleased() {
	if h.lock.Validity() > 0 {
		h.journal.violation("released, but valid: %v", h.lock)
	}
	select {
	case <-h.lock.Lost():
	default:
		h.journal.violation("released, but Lost is not closed: %v", h.lock)
	}
}

// checkError checks that an error of Extend or Release is documented.
func (h *heldLock) checkError(ctx context.Context, op string, err error, lost bool) {
	noQuorum, ended := errors.Is(err, quorum.ErrNoQuorum), isContextError(err)
	switch {
	case err == nil:
	case noQuorum == lost, errors.Is(err, quorum.ErrTaken), errors.Is(err, quorum.ErrClosed):
		h.journal.violation("%s: unexpected error %v", op, err)
	case ended && ctx.Err() == nil:
		h.journal.violation("%s: context error although the context has not ended: %v", op, err)
	}
	h.journal.outcome("%s: %s", op, outcomeOf(err))
}

// checkTook checks that a call did not take much longer than allowed.
func (j *journal) checkTook(op string, start, took, most time.Duration) {
	const grace = 500 * time.Millisecond // for a busy machine, in addition to observed stalls
	if took > most+grace+j.stalls.during(start, start+took) {
		j.violation("%s took %v, want at most %v", op, took, most)
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// outcomeOf returns the text of the sentinel error that err matches.
func outcomeOf(err error) string {
	for _, known := range []error{quorum.ErrConflict, quorum.ErrTaken, quorum.ErrNoQuorum, quorum.ErrLost, quorum.ErrClosed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}
