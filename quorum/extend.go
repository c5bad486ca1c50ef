package quorum

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
)

// Extend has the masters keep the lock for at least ttl from now, and lets the window of validity
// last accordingly. It never shortens anything: the window only grows. ttl is as in TryAcquire.
//
// A majority must confirm before the present window closes. If it does not answer in time, the
// error is ErrNoQuorum, the lock is still held for what is left of its window, and Extend may be
// called again. If the window is over, or a majority answers that it stores another token or none,
// the lock is over and the error is ErrLost. After Close it is ErrClosed. If ctx ended the wait,
// the error satisfies errors.Is for ctx's error too.
//
// Masters that forgot the lock are given it back once a majority has confirmed.
func (l *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	mustHave(ctx)
	e := l.engine
	whole, window, err := e.opts.checkTTL(ttl) //mutant:extend-ttl
	if err != nil {
		return fmt.Errorf("quorum: extend %s: %w", quote(l.Name()), err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()

	l.claim.asked(whole)   // before a release can think that it knows the longest //mutant:extend-asked
	start := e.clock.Now() // before anything is sent: the window counts from here
	until, over := l.window(start, start.Add(whole))
	if over != nil {
		return l.lostError("extend", over)
	}
	if ctx.Err() != nil {
		return e.unsentError("extend", l.Name(), ended(ctx))
	}
	x := l.extension(start, whole, window)
	verdict := x.round.run(ctx, start, until) //mutant:extend-run
	switch over := l.apply(verdict, x); {     //mutant:extend-apply
	case over != nil:
		return x.round.failure("extend", ErrLost, over)
	case verdict == vote.Won:
		return nil
	}
	e.expiry.look(&l.watched, until)
	return x.round.failure("extend", noQuorum(ctx)...)
}

// overhangs tells whether some master may keep the lock for longer than a majority has confirmed,
// because an extension failed.
func (l *Lock) overhangs() bool {
	l.mu.Lock()
	defer l.unlock()
	return l.asked > l.kept //mutant:overhangs
}

// window returns when the lock's window closes, or why it is over. It notes until when the masters
// are about to be asked to keep the lock.
func (l *Lock) window(now, asked clock.Instant) (until clock.Instant, over error) {
	l.mu.Lock()
	defer l.unlock()
	l.asked = max(l.asked, asked)
	return l.closes(), l.over(now)
}

// extension is what a round means for a lock: one that extends it, or one by which a waiter
// confirms it.
type extension struct {
	round   *round
	lock    atomic.Pointer[Lock] // nil while a waiter's is not confirmed
	until   clock.Instant        // the window lasts until then if a majority confirms
	expires clock.Instant        // the masters' keys expire then, at the earliest
}

// newExtension makes the meaning of a round that was not submitted yet.
func newExtension(r *round, l *Lock, until, expires clock.Instant) *extension {
	x := &extension{round: r, until: until, expires: expires}
	x.lock.Store(l)
	r.observer = x
	return x
}

// extension makes a round that extends the lock from start on.
func (l *Lock) extension(start clock.Instant, ttl, window time.Duration) *extension {
	c := l.claim
	r := newRound(l.engine, c, c.subject.Extend(ttl, c.fence.Load(), c.retention()))
	return newExtension(r, l, start.Add(window), start.Add(ttl))
}

// bind has the masters repaired that did not grant a lock to the waiter that has it now, and those
// that have yet to answer. The holder before it may have been about to release the lock there, and
// to have it handed on to the waiter for a moment, just after they were asked.
func (x *extension) bind(l *Lock) {
	x.lock.Store(l) // for answers to come
	l.repair(x.round.with(vote.Absent, vote.Taken), x.expires)
}

// answered draws the consequences of one answer, in the lane that brought it.
func (x *extension) answered(master int, o vote.Outcome, decided bool, v vote.Verdict) {
	l := x.lock.Load()
	if l == nil {
		return
	}
	if decided && (v == vote.Won || v == vote.LostToRival) { //mutant:answered-final
		_ = l.apply(v, x) // whoever waits for the round learns why by an apply of its own //mutant:answered-apply
		l.renewed(x)
	}
	switch {
	case v != vote.Won:
	case decided:
		l.repair(x.round.with(vote.Absent, vote.Taken), x.expires)
	case o == vote.Absent || o == vote.Taken: // by this very answer
		l.repair(vote.Only(master), x.expires)
	}
}

// apply moves the window, or ends the lock. It returns why the lock is over. Masters may have been
// told to keep a lock that is over by then, and are told to release it.
//
// That does not go for masters which still store the token while a majority turned out to have
// forgotten it. The holder may have looked at its window a moment ago, and what is left of the lock
// keeps others out, if anything does, until the window would have closed. The holder's own release
// is not held up.
func (l *Lock) apply(v vote.Verdict, x *extension) error {
	now := l.engine.clock.Now()
	l.mu.Lock()
	over := l.over(now) //mutant:apply-over
	switch {
	case over != nil:
	case v == vote.Won:
		l.until, l.kept = max(l.until, x.until), max(l.kept, x.expires) //mutant:apply-window
	case v == vote.LostToRival: //mutant:apply-denied
		l.finish(ErrDenied)
	}
	over = l.ended
	l.unlock()
	if over != nil {
		l.letGoInTime(over, now) //mutant:apply-lets-go
	}
	return over
}
