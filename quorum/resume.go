package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// Detach extends the lock to ttl, ends this Lock without releasing it, and returns its token.
// Another process that is given the token can take the lock over with Manager.Resume while ttl
// lasts. This process sends nothing more for the lock: it neither renews nor releases it. Give the
// token to one process only. A minimum hold is not handed on.
//
// ttl is as in Extend, ctx governs the extension, and the errors are those of Extend. After an
// error other than ErrLost, the lock is still held here. After Detach, Err is ErrDetached. Shared,
// exclusive and permit locks cannot be detached.
func (l *Lock) Detach(ctx context.Context, ttl time.Duration) (token string, err error) {
	if mode := l.claim.mode; mode != "" {
		return "", fmt.Errorf("quorum: detach %s: only plain locks can be detached, not %v", quote(l.Name()), mode)
	}
	if err := l.Extend(ctx, ttl); err != nil { //mutant:detach-extends
		return "", err
	}
	now := l.engine.clock.Now()
	l.mu.Lock()
	over := l.over(now)
	if over == nil {
		l.finish(ErrDetached)
	}
	l.unlock()
	if over != nil {
		return "", l.lostError("detach", over)
	}
	l.engine.expiry.forget(&l.watched)
	l.tellReleased(now, true, nil)
	return l.Token(), nil
}

// Resume takes over the lock called name that another process acquired and gave up with Detach.
// token is what Detach returned. The new Lock is valid for about as long as a quorum of the masters
// will store the token anyway. Extend it for longer.
//
// The window counts from before the masters were asked how long they will store the token, less the
// drift. So it does not matter how long the token was on its way. It is not safe to resume a lock
// that somebody else still uses, releases, breaks or resumes.
//
// With Options.Fencing, the lock's fence is at least what it was before, and less than that of the
// next holder.
//
// The error is ErrNotHeld if no master that answers stores the token, and ErrNoQuorum if too few
// do, also ErrOtherMasters if others use the masters as another set. Each is also an
// ErrNotAcquired. If ctx ended, the error also satisfies errors.Is for ctx's error. After Close it
// is ErrClosed. An error does not release the lock.
func (m *Manager) Resume(ctx context.Context, name, token string) (*Lock, error) {
	mustHave(ctx)
	e := m.engine
	if err := e.opts.checkName(name); err != nil {
		return nil, &notAcquired{fmt.Errorf("quorum: resume: %w", err)}
	}
	if e.enter() != nil {
		return nil, errClosedNotAcquired
	}
	defer e.exit()
	p := acquireParams{name: name, began: e.clock.Now()}
	l, err := m.acquirer.resume(ctx, p, token)
	if l == nil {
		e.tellNotAcquired(ctx, p, err)
	}
	return l, err
}

// resume asks the masters for how long they store the token.
func (a *acquirer) resume(ctx context.Context, p acquireParams, token string) (*Lock, error) {
	e := a.engine
	if ctx.Err() != nil {
		return nil, e.unsentError("resume", p.name, ended(ctx))
	}
	c := e.claimWith(p.name, token)
	c.call = e.events.contextOf(ctx)
	r := newRound(e, c, c.subject.Inspect())
	r.run(ctx, e.clock.Now(), clock.Never)
	found := r.findToken(token, e.opts)
	until, ok := vote.Agreed(e.system, found.storing, found.terms) //mutant:resume-quorum
	switch {
	case e.closed.Load():
		return nil, errClosedNotAcquired
	case found.storing == 0 && e.system.HasQuorum(found.answered):
		return nil, &notAcquired{fmt.Errorf("quorum: resume %s: %w", quote(p.name), ErrNotHeld)}
	case !ok:
		return nil, r.failure("resume", noQuorum(ctx)...)
	}
	c.recordResumed(found.storing, e.system.All())
	c.enqueued, c.since = true, found.since
	c.noteTTL(found.longest)
	last := a.confirmResumed(ctx, c, found.fence, until)
	// Only masters that have confirmed count for the window.
	until, ok = vote.Agreed(e.system, found.storing&last.with(vote.Held), found.terms) //mutant:resume-fence
	switch now := e.clock.Now(); {
	case e.closed.Load():
		return nil, errClosedNotAcquired
	case !ok:
		return nil, last.failure("resume", noQuorum(ctx)...)
	case now >= until: //mutant:resume-late
		return nil, last.failure("resume", ErrNoQuorum, errWindowOver)
	default:
		l := a.newLock(c, p, now, until, until.Add(e.opts.LockDelay))
		a.publish(l, p)
		return l, nil
	}
}

// errWindowOver is why a lock is not resumed although a quorum stores its token.
var errWindowOver = errors.New("its window of validity is over")

// recordResumed records that any of all masters may store the token. Requests of the process that
// detached the lock may still be on their way to those that do not.
func (c *claim) recordResumed(storing, all vote.Set) {
	for i := range all.Each() {
		effect := vote.Granted
		if !storing.Has(i) {
			effect |= vote.Doubtful //mutant:resume-doubt
		}
		c.record(i, effect, 0)
	}
}

// confirmResumed makes a quorum of the masters confirm a resumed lock. To inspect it was not
// enough: others may use these masters as another set. It also makes them store the lock's fence,
// because before, this process cannot know which masters have it. The extension itself lengthens
// nothing.
func (a *acquirer) confirmResumed(ctx context.Context, c *claim, fence int64, until clock.Instant) *round {
	e := a.engine
	if fence == 0 && e.opts.Fencing { // the masters forgot it
		fence = e.proposal()
	}
	c.fence.Store(fence)
	for n := 0; ; n++ {
		r, start := newRound(e, c, c.subject.Extend(time.Millisecond, fence, c.retention())), e.clock.Now()
		r.awaitAll() // whoever has not confirmed by then does not count
		verdict := r.run(ctx, start, until)
		if verdict == vote.Won {
			r.waitSettled(ctx, start)
		}
		if n > 0 || verdict == vote.Won || !r.foreign() || !a.members.settle(ctx, e.timeout(e.clock.Now(), until)) {
			return r
		}
	}
}

// found is what the masters reported about a token.
type found struct {
	answered, storing vote.Set
	terms             []clock.Instant // by master: when the window of its key closes
	longest           time.Duration   // for which a master will store it
	since             int64           // since when it is held, if a master was told; 0 if not
	fence             int64           // the highest that a master stores which stores the token
}

// findToken finds a token in the answers to an inspecting round. A key without an expiry is not the
// work of this library, and does not count.
func (r *round) findToken(token string, o Options) found {
	f := found{terms: make([]clock.Instant, len(r.ops))}
	r.each(func(master int, a *wire.Answer) {
		if a.Report == nil {
			return
		}
		f.answered |= vote.Only(master)
		released := strings.HasPrefix(token, wire.Released)
		if a.Report.Token != token || a.Report.TTL <= 0 || released { //mutant:resume-token
			return
		}
		f.storing |= vote.Only(master)
		sent := clock.Instant(r.ops[master].Payload.Sent)
		f.terms[master] = sent.Add(o.Drift.Window(a.Report.TTL - o.LockDelay)) //mutant:resume-window
		f.longest = max(f.longest, a.Report.TTL)
		f.since, f.fence = max(f.since, a.Report.Since), max(f.fence, a.Report.Fence)
	})
	return f
}
