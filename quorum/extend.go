package quorum

import (
	"context"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Extend lets the masters keep the lock for at least ttl from now, and the
// window of validity last accordingly. It never shortens what there is: the
// window only ever grows. ttl is as in TryAcquire.
//
// A majority must confirm before the present window closes. If it does not
// answer in time, the error is ErrNoQuorum, the lock is still held for what is
// left of its window, and Extend may be called again. If the window is over, or a
// majority answers that it has another token or none, the lock is over and the
// error is ErrLost. After Close it is ErrClosed. If ctx ended the wait, the
// error satisfies errors.Is for its error too.
//
// Masters that forgot the lock are given it back once a majority has confirmed.
func (l *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	mustHave(ctx)
	m := l.claim.manager
	whole, window, err := m.checkTTL(ttl)
	if err != nil {
		return fmt.Errorf("quorum: extend %s: %w", quote(l.Name()), err)
	}
	if err := m.enter(); err != nil {
		return err
	}
	defer m.exit()

	l.claim.asked(whole)        // before a release can think that it knows the longest
	start := m.opts.Clock.Now() // before anything is sent: the window counts from here
	until, over := l.window(start)
	if over != nil {
		return l.lostError("extend", over)
	}
	r := l.newKeepRound(start, whole, window)
	if ctx.Err() != nil {
		return m.unsentError("extend", l.Name(), ended(ctx))
	}
	deadline := min(start.Add(m.opts.AttemptTimeout), until)
	r.submit(start, deadline)
	v := r.wait(ctx, start, deadline)
	switch over := l.apply(v, r.keeping.Load()); {
	case over != nil:
		return r.failure("extend", ErrLost, over)
	case v == won:
		return nil
	}
	return r.failure("extend", append([]error{ErrNoQuorum}, ended(ctx)...)...)
}

// window returns when the lock's window closes, or why it is over.
func (l *Lock) window(now clock.Instant) (until clock.Instant, over error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closes(), l.over(now)
}

// keeping is what a keep round is for, or a round that a waiter has claimed a lock
// with: to have the masters keep it.
type keeping struct {
	lock    *Lock
	until   clock.Instant // what the window is to last until
	expires clock.Instant // when the masters' keys are to expire, at the earliest
}

func (l *Lock) newKeepRound(start clock.Instant, ttl, window time.Duration) *round {
	r := newRound(l.claim.keepQuestion(ttl))
	r.keeping.Store(&keeping{lock: l, until: start.Add(window), expires: start.Add(ttl)})
	return r
}

// keep has the masters repaired that did not grant a lock to the waiter that has it
// now. The one before may have been about to leave them, and have them granted to
// the waiter for a moment, just after they were asked.
func (r *round) keep(l *Lock) {
	k := &keeping{lock: l, until: l.until, expires: l.kept}
	r.keeping.Store(k) // for answers to come
	l.repair(r.having(Absent)|r.having(Taken), k.expires)
}

// answered draws the consequences of an answer to a keep round, in the lane that
// brought it.
func (k *keeping) answered(r *round, q *request, decided bool, v verdict) {
	if decided && (v == won || v == rivalled) {
		_ = k.lock.apply(v, k) // whoever waits for the round learns why by an apply of its own
		k.lock.renewed(r)
	}
	switch {
	case v != won:
	case decided:
		k.lock.repair(r.having(Absent)|r.having(Taken), k.expires)
	case q.outcome == Absent || q.outcome == Taken: // settled just now, by this very call
		k.lock.repair(1<<q.master, k.expires)
	}
}

// apply moves the window, or ends the lock. It returns why the lock is over.
// Some masters may have been told to keep a lock that is over by then; they are
// told to let it go.
//
// But not those that still have a lock which a majority turned out to have
// forgotten: its holder may have looked at the window a moment ago, and what is
// left of it keeps others out, if anything does, until the window would have
// closed. The holder's own release is not held up.
func (l *Lock) apply(v verdict, k *keeping) error {
	now := l.claim.manager.opts.Clock.Now()
	l.mu.Lock()
	over := l.over(now)
	switch {
	case over != nil:
	case v == won:
		l.until, l.kept = max(l.until, k.until), max(l.kept, k.expires)
	case v == rivalled:
		l.finish(ErrDenied)
	}
	over = l.ended
	l.mu.Unlock()
	if over != nil {
		l.letGoInTime(over, now)
	}
	return over
}
