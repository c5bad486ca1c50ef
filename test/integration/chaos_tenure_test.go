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
type tenure struct {
	journal *journal
	id      int64
	lock    *quorum.Lock
	renewed bool
	bound   time.Duration // how long AutoRenew lets it be held; 0 for ever
	blind   bool          // a broken client's: it does not look at Validity
	lost    <-chan struct{}

	begun    time.Duration // when the first window began, or a little earlier
	until    time.Duration // the window lasts this long at least
	atMost   time.Duration // and, as long as it is not renewed, no longer than this
	positive time.Duration // when it was last seen to be open
	told     time.Duration // the until that was written last
	over     bool
	denied   bool
}

const (
	// lateLoss is how late the channel Lost may be closed: 100 ms by its documentation, and a moment to notice.
	lateLoss = 150 * time.Millisecond
	// chaosStep is how often a holder looks at its lock.
	chaosStep = 20 * time.Millisecond
)

// begin begins the hold of a lock that was just acquired.
func (t *tenure) begin(ttl time.Duration) {
	before := t.journal.now()
	validity := t.lock.Validity()
	after := t.journal.now()
	window := clock.DefaultDrift.Window(ttl)
	t.begun, t.positive = before+validity-window, before
	t.until, t.atMost = t.capped(before+validity), after+validity
	if t.over = validity <= 0; t.over {
		return
	}
	t.told = t.until
	t.id = t.journal.ids.Add(1)
	t.journal.write(chaosEvent{
		Kind: eventHeld, ID: t.id, Name: t.lock.Name(), Token: t.lock.Token(), Fence: t.lock.Fence(),
		Begun: t.begun, From: after, Until: t.until,
	})
}

// capped is what a holder who knows that its lock is not renewed for ever can count on.
func (t *tenure) capped(until time.Duration) time.Duration {
	if t.bound > 0 {
		return min(until, t.begun+t.bound)
	}
	return until
}

// look reads the validity. It returns false once the lock can no longer be relied on.
func (t *tenure) look() bool {
	if t.over || t.blind {
		return !t.over
	}
	before := t.journal.now()
	validity := t.lock.Validity()
	after := t.journal.now()
	if validity <= 0 {
		t.ended(before, after)
		return false
	}
	if after+validity < t.until {
		t.journal.wrong("the window of %v shrank from %v to %v", t.lock, t.until, after+validity)
	}
	t.until, t.atMost = max(t.until, t.capped(before+validity)), max(t.atMost, after+validity)
	t.positive = before
	if t.until > t.told+chaosStep {
		t.told = t.until
		t.journal.write(chaosEvent{Kind: eventGrew, ID: t.id, Until: t.until})
	}
	return true
}

// ended is called when Validity has said, between before and after, that the lock is over.
func (t *tenure) ended(before, after time.Duration) {
	t.over = true
	if after >= t.until {
		t.journal.write(chaosEvent{Kind: eventOver, ID: t.id, To: min(before, t.until)})
		return
	}
	t.deny(t.lock.String())
}

// deny tells of a loss inside the window. Whether anything explains it, only the test knows: who forgot what.
func (t *tenure) deny(what string) {
	if !t.denied {
		t.denied = true
		t.journal.write(chaosEvent{Kind: eventDenied, ID: t.id, From: t.journal.now(), To: t.positive, What: what})
	}
}

// quit ends the hold: from now on its holder does not rely on the lock, and may release it.
func (t *tenure) quit() {
	if !t.look() {
		return
	}
	t.over = true
	now := t.journal.now()
	if !t.blind {
		now = min(now, t.until)
	}
	t.journal.write(chaosEvent{Kind: eventOver, ID: t.id, To: now})
}

// work uses the lock for d, or until it is over or ctx has ended.
func (t *tenure) work(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lost := t.lost
	if t.blind {
		lost = nil
	}
	for end := t.journal.now() + d; t.look(); {
		timer.Reset(max(min(end-t.journal.now(), chaosStep), 0))
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
func (t *tenure) checkLost() {
	validity := t.lock.Validity()
	now := t.journal.now()
	if validity > 0 {
		t.journal.wrong("Lost is closed, but: %v", t.lock)
	}
	// What is left of a window that is over counts on, below zero.
	if late := -validity; late > lateLoss+t.journal.calm.between(now-late, now) {
		t.journal.wrong("Lost was closed %v after the window: %v", late, t.lock)
	}
}

// extend extends the lock, and checks what is told of it.
func (t *tenure) extend(ctx context.Context, ttl time.Duration) {
	before := t.journal.now()
	err := t.lock.Extend(ctx, ttl)
	took := t.journal.now() - before
	validity := t.lock.Validity()
	after := t.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && validity > 0 && after+validity < before+clock.DefaultDrift.Window(ttl):
		t.journal.wrong("extended by %v at %v, but its window ends at %v: %v", ttl, before, after+validity, t.lock)
	case lost && validity > 0:
		t.journal.wrong("extend said that it is lost, but: %v: %v", t.lock, err)
	}
	t.checkError(ctx, "extend", err, lost)
	t.journal.checkTook("extend", before, took, chaosAttempt)
	t.look()
}

// release ends the hold and releases the lock, and checks what is told of it.
func (t *tenure) release(ctx context.Context) {
	t.quit()
	before := t.journal.now()
	err := t.lock.Release(ctx)
	after := t.journal.now()
	lost := errors.Is(err, quorum.ErrLost)
	switch {
	case err == nil && !t.renewed && !t.blind && before > t.atMost:
		t.journal.wrong("released at %v, but its window ended at %v: %v", before, t.atMost, t.lock)
	case lost && after < t.until:
		t.deny(err.Error())
	}
	t.checkReleased()
	t.checkError(ctx, "release", err, lost)
	t.journal.checkTook("release", before, after-before, chaosAttempt)
}

func (t *tenure) checkReleased() {
	if t.lock.Validity() > 0 {
		t.journal.wrong("released, but: %v", t.lock)
	}
	select {
	case <-t.lock.Lost():
	default:
		t.journal.wrong("released, but Lost is open: %v", t.lock)
	}
}

// checkError checks that an error of Extend or Release is one of those that they document.
func (t *tenure) checkError(ctx context.Context, op string, err error, lost bool) {
	noQuorum, ended := errors.Is(err, quorum.ErrNoQuorum), isContextError(err)
	switch {
	case err == nil:
	case noQuorum == lost, errors.Is(err, quorum.ErrTaken), errors.Is(err, quorum.ErrClosed):
		t.journal.wrong("%s: unexpected error %v", op, err)
	case ended && ctx.Err() == nil:
		t.journal.wrong("%s: a context error that is not the caller's: %v", op, err)
	}
	t.journal.outcome("%s: %s", op, verdictOf(err))
}

// checkTook checks that a call did not take much longer than it may.
func (j *journal) checkTook(op string, began, took, most time.Duration) {
	const grace = 500 * time.Millisecond // of a busy machine, beside the stalls that were seen
	if took > most+grace+j.calm.between(began, began+took) {
		j.wrong("%s took %v, and may take %v", op, took, most)
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// verdictOf names what an error stands for.
func verdictOf(err error) string {
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
