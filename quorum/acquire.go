package quorum

import (
	"context"
	"errors"
	"math/bits"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// TryAcquire makes one attempt to take the lock called name, for ttl, and does
// not wait for others to release it.
//
// name is any non-empty byte string; with Options.Prefix before it, it is the
// key on the masters. ttl is how long the masters keep the lock unless it is
// extended or released, cut to whole milliseconds; it must leave some validity
// after the drift. The lock can be relied on for Validity, which is a little
// shorter, from before the first request was sent.
//
// The error is ErrTaken if so many masters have another's token that no attempt
// could win, ErrNoQuorum if anything else is why it failed, ErrClosed after
// Close, and otherwise says what is wrong with the parameters. If ctx ended, the
// error satisfies errors.Is for its error too. A failed attempt leaves nothing
// behind: what was, or may have been, granted is released in the background.
// ctx governs the attempt only, not the lock.
func (m *Manager) TryAcquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error) {
	mustHave(ctx)
	a, err := m.acquisition(name, ttl, opts)
	if err != nil {
		return nil, err
	}
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.exit()
	l, _, err := m.attempt(ctx, a)
	return l, err
}

// Acquire takes the lock called name for ttl, and waits for it for as long as
// ctx lets it. The parameters are TryAcquire's.
//
// Callers of one Manager are served in the order in which they came. Those of
// several Managers are served roughly in that order, by the masters' clocks; see
// "Waiting" in the package documentation. Neither is a guarantee.
//
// When ctx ends, the error satisfies errors.Is both for ctx's error and for the
// reason that the last attempt failed for, ErrTaken or ErrNoQuorum. After Close
// it is ErrClosed, also for calls that were waiting.
func (m *Manager) Acquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error) {
	mustHave(ctx)
	a, err := m.acquisition(name, ttl, opts)
	if err != nil {
		return nil, err
	}
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.exit()
	return m.acquire(ctx, a)
}

// sleep waits for d. It returns false at once when ctx ends or the Manager is
// closed.
func (m *Manager) sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := m.timer(d)
	defer m.keep(timer)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-m.done:
	}
	return false
}

// attempt tries once, with a token of its own. What an earlier attempt of this Manager
// has yet to roll back is no reason to fail: the release is on its way to the same
// masters, so it tries again.
func (m *Manager) attempt(ctx context.Context, a acquisition) (*Lock, *claim, error) {
	for again := 0; ; again++ {
		c, err := m.newClaim(a.name)
		if err != nil {
			return nil, nil, err
		}
		c.asked(a.ttl)
		l, err := m.attemptAs(ctx, a, c, c.acquireQuestion(a.ttl, m.proposal(m.opts.Clock.Now())))
		var failure *AttemptError
		if again == mostAgain || !errors.As(err, &failure) || !failure.ownWay || ctx.Err() != nil {
			return l, c, err
		}
	}
}

// mostAgain is how often an attempt that stood in its own way is repeated at once.
const mostAgain = 2

// attemptAs tries once, with a claim that was not given up yet. If the attempt
// fails, it is given up.
func (m *Manager) attemptAs(ctx context.Context, a acquisition, c *claim, q question) (*Lock, error) {
	now := m.opts.Clock.Now
	start := now() // before anything is sent: the window counts from here
	until := start.Add(a.window)
	deadline := min(start.Add(m.opts.AttemptTimeout), until)
	r := newRound(q)
	if a.seekHolder {
		r.awaitAll()
	}
	if ctx.Err() != nil {
		if c.enqueued {
			c.abandon(start)
			c.leave(anyone, start, 0)
		}
		return nil, m.unsentError("acquire", a.name, ended(ctx))
	}
	r.submit(start, deadline)
	verdict, last := r.wait(ctx, start, deadline), r //mutant:attempt-verdict
	if verdict == won && m.opts.Fencing {
		verdict, last = c.mint(ctx, r, until)
	}
	late := now() >= min(until, a.ends(start))
	if verdict == won && !late && !m.closed.Load() {
		l := m.newLock(c, a, start, until)
		if q.waiter {
			r.keep(l)
		}
		if n := l.renewal; n != nil {
			m.watch.look(l, n.next) // from here on others renew it
		}
		return l, nil
	}
	failure := last.acquireFailure(ctx)
	failure.late, failure.ownWay = late, r.inItsOwnWay(now())
	c.rollBack(ctx, r, start)
	if m.closed.Load() {
		return nil, ErrClosed
	}
	if a.seekHolder {
		failure.holder = r.holder(ctx, start)
	}
	return nil, failure
}

// acquireFailure makes the error of an attempt whose last round is r. That so many
// masters have another's token counts whether or not it is what the round failed
// for: the last of them may have answered just now.
func (r *round) acquireFailure(ctx context.Context) *AttemptError {
	failure := r.failure("acquire", append([]error{ErrNoQuorum}, ended(ctx)...)...)
	if m := r.claim.manager; failure.Count(Taken) > len(m.masters)-m.quorum {
		failure.reasons[0] = ErrTaken
	}
	return failure
}

// mint gives a claim that was granted its fence, with a second round where the
// first did not store it. It returns that round, if there was one.
func (c *claim) mint(ctx context.Context, granted *round, until clock.Instant) (verdict, *round) {
	m := c.manager
	start := m.opts.Clock.Now()
	fence, stored := granted.minted(start)
	if fence > highestFence {
		return failed, granted
	}
	c.fence.Store(fence)
	if stored {
		return won, granted
	}
	r := newRound(c.keepQuestion(granted.ttl))
	deadline := min(start.Add(m.opts.AttemptTimeout), until)
	r.submit(start, deadline)
	return r.wait(ctx, start, deadline), r
}

// rollBack releases what a failed attempt was granted. It waits for the masters
// that are known to have granted it, for as long again as the attempt took and a
// little, so that whoever tries next finds them free. The others are seen to in
// the background, and so is everything once ctx has ended.
//
// Nothing is handed on, but where the attempt had a majority: a minority that goes
// to a waiter would keep the repairs out of whoever has the lock, or is about to.
func (c *claim) rollBack(ctx context.Context, attempt *round, start clock.Instant) {
	m := c.manager
	granted := attempt.having(Held)
	to, now := nobody, m.opts.Clock.Now()
	if bits.OnesCount64(granted) >= m.quorum {
		to = anyone
	}
	if granted != 0 || attempt.mayGrant() {
		c.abandon(now)
	}
	released := c.leave(to, now, granted) //mutant:rollback
	if granted == 0 || ctx.Err() != nil {
		return
	}
	timer := m.timer(now.Sub(start) + classifyGrace)
	defer m.keep(timer)
	select {
	case <-released.settled:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// newLock makes the lock that a claim has won.
func (m *Manager) newLock(c *claim, a acquisition, start, until clock.Instant) *Lock {
	l := &Lock{claim: c, until: until, kept: start.Add(a.ttl)}
	if a.renew {
		l.renewal = newRenewal(c, a, start)
	}
	return l
}
