package quorum

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// Extend makes the masters keep the lock for at least ttl from now, and lengthens the window of
// validity accordingly. It never shortens the window. ttl is as in TryAcquire.
//
// A majority must confirm before the current window closes. If it does not answer in time, the
// error is ErrNoQuorum. The lock is then still held for the rest of its window, and Extend may be
// called again. If the window is over, or a majority answers that it stores another token or none,
// the lock is over and the error is ErrLost. After Close the error is ErrClosed. If ctx ended the
// wait, the error also satisfies errors.Is for ctx's error.
//
// Once a majority has confirmed, Extend also gives the lock back to masters that forgot it, and
// puts its entry right on those where another one of an ordered kind came first.
func (l *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	mustHave(ctx)
	e := l.engine
	wanted, err := e.opts.checkTTL(ttl, e.opts.LockDelay) //mutant:extend-ttl
	if err != nil {
		return fmt.Errorf("quorum: extend %s: %w", quote(l.Name()), err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	start := e.clock.Now() // before anything is sent: the window counts from here
	x, until, err := l.beginExtend(ctx, start, wanted)
	if err != nil {
		return err
	}
	verdict := x.round.run(ctx, start, until) //mutant:extend-run
	return l.endExtend(ctx, x, verdict)
}

// beginExtend makes an extension that counts from start, and whose round the caller must send. The
// lock's window closes at until, unless it is extended.
func (l *Lock) beginExtend(ctx context.Context, start clock.Instant, wanted lease) (x *extension, until clock.Instant, err error) {
	l.claim.noteTTL(wanted.keep) // before a release can think that it knows the longest //mutant:extend-asked
	until, over := l.window(start, start.Add(wanted.keep))
	switch {
	case over != nil:
		return nil, until, l.lostError("extend", over)
	case ctx.Err() != nil:
		return nil, until, l.engine.unsentError("extend", l.Name(), ended(ctx))
	}
	return l.extension(start, wanted), until, nil
}

// endExtend applies the verdict on an extension, and returns the error of Extend.
func (l *Lock) endExtend(ctx context.Context, x *extension, verdict vote.Verdict) error {
	switch over := l.apply(verdict, x); { //mutant:extend-apply
	case over != nil:
		return x.round.failure("extend", ErrLost, over)
	case verdict == vote.Won:
		return nil
	}
	l.engine.expiry.look(&l.watched, l.windowCloses())
	if x.round.foreign() && l.engine.set.err() == nil {
		l.engine.set.settle(ctx, l.engine.timeout(l.engine.clock.Now(), clock.Never)) // so that the error says what the masters' records are
	}
	return x.round.failure("extend", noQuorum(ctx)...)
}

// overhangs reports whether some master may keep the lock longer than a majority has confirmed,
// because an extension failed.
func (l *Lock) overhangs() bool {
	l.mu.Lock()
	defer l.unlock()
	return l.asked > l.kept //mutant:overhangs
}

// window returns when the lock's window closes, or why the lock is over. It records asked, the
// instant until which the masters are about to be asked to keep the lock.
func (l *Lock) window(now, asked clock.Instant) (until clock.Instant, over error) {
	l.mu.Lock()
	defer l.unlock()
	l.asked = max(l.asked, asked)
	return l.closes(), l.over(now)
}

// extension applies a round's answers to a lock. The round either extends the lock or confirms it
// for a waiter.
type extension struct {
	round   *round
	lock    atomic.Pointer[Lock] // nil until a waiter's lock is confirmed
	until   clock.Instant        // when the window closes if a majority confirms
	expires clock.Instant        // the earliest time at which the masters' keys expire
	renewal *renewal             // of which this is a try; nil if there is none
}

// newExtension makes an extension that observes r, which must not have been submitted yet.
func newExtension(r *round, l *Lock, until, expires clock.Instant) *extension {
	x := &extension{round: r, until: until, expires: expires}
	x.lock.Store(l)
	r.observer = x
	return x
}

// extension makes a round that extends the lock, counting from start.
func (l *Lock) extension(start clock.Instant, wanted lease) *extension {
	c := l.claim
	r := newRound(l.engine, c, c.extendRequest(wanted.keep))
	return newExtension(r, l, start.Add(wanted.window), start.Add(wanted.keep))
}

// bind sets the lock that a waiter's round has won. It repairs the masters that did not grant the
// lock to the waiter, and has those that have yet to answer repaired if they do not grant it
// either. On such a master, the previous holder's release may have arrived just after the round's
// request, and handed the lock on to the waiter only briefly.
func (x *extension) bind(l *Lock) {
	x.lock.Store(l) // for answers to come
	l.repair(x.round.with(repairable...), x.expires)
}

// repairable are the outcomes of masters that do not have the lock, or have its entry at another
// place than the others, with room or without.
var repairable = []vote.Outcome{vote.Absent, vote.Taken, vote.Overtaken, vote.Blocked} //mutant:overtaken-holder

// answered acts on one answer, in the lane that brought it.
func (x *extension) answered(master int, a *wire.Answer, decided bool, v vote.Verdict) {
	l := x.lock.Load()
	if l == nil {
		return
	}
	if decided && (v == vote.Won || v == vote.LostToRival) { //mutant:answered-final
		_ = l.apply(v, x) // the round's waiter calls apply itself to learn why the lock is over //mutant:answered-apply
		l.renewed(x)
	}
	switch {
	case v != vote.Won:
	case decided:
		l.repair(x.round.with(repairable...), x.expires)
	case slices.Contains(repairable, a.Outcome): // in this answer
		l.repair(vote.Only(master), x.expires)
	}
}

// apply moves the window, or ends the lock. It returns why the lock is over, or nil. Masters may
// have been told to keep a lock that is over by now, so they are told to release it.
//
// There is one exception. If a majority turns out to have forgotten the token, the masters that
// still store it are told only when the window would have closed. The holder may have just looked
// at its window, and the remaining keys are all that can still keep others out. The holder's own
// release is not delayed.
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
