package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// candidacy is a client's tries to have masters admit an entry. Each needs a fence above those that
// the masters have admitted before, and may be overtaken on the way.
type candidacy struct {
	engine    *engine
	floor     int64         // the highest fence that a master said must be exceeded; 0 for none
	margin    time.Duration // how far ahead of the masters' time to aim
	overtaken int           // how many tries failed because others came first
}

// maxMargin bounds the margin.
const maxMargin = time.Second

// maxOvertaken is how often TryAcquire tries again because others overtook it.
const maxOvertaken = 10

// place returns the fence of the next try. Masters that are far away get the request later than
// others that were sent after it. So once it was overtaken, a client aims ahead of the time.
func (s *candidacy) place() int64 {
	e := s.engine
	now := max(e.offsets.mastersTime(e.clock.Now()), s.floor+1)
	return min(max(now+s.margin.Microseconds(), 1), vote.MaxFence) //mutant:place-above-floor
}

// fail records that a try which took so long was overtaken.
func (s *candidacy) fail(floor int64, took time.Duration) {
	s.floor = max(s.floor, floor)
	s.margin = min(max(2*s.margin, took), maxMargin) //mutant:margin-grows
	s.overtaken++
}

// newEntry makes a claim with an entry for ordered admission.
func (s *candidacy) newEntry(ctx context.Context, p acquireParams) *claim {
	e := s.engine
	c := e.newClaim(p.name)
	c.call = e.events.contextOf(ctx)
	c.mode, c.place = p.mode, s.place()
	if e.opts.Fencing {
		c.fence.Store(c.place)
	}
	c.noteTTL(p.keep)
	return c
}

// lone is how long masters keep the entry of an attempt that does not wait, if there is no room.
const lone = 4 * time.Second

// admit is attempt for a lock of an ordered kind.
func (a *acquirer) admit(ctx context.Context, p acquireParams) (*Lock, string, error) {
	s := candidacy{engine: a.engine}
	for {
		c, start := s.newEntry(ctx, p), a.engine.clock.Now()
		l, err := a.acquireWith(ctx, p, c, c.subject.Admit(c.entry(p.keep, min(p.keep, lone))))
		var failure *AttemptError
		if !errors.As(err, &failure) || s.overtaken == maxOvertaken || ctx.Err() != nil || !failure.retries() {
			return l, c.subject.Token, err
		}
		s.fail(failure.floor, a.engine.clock.Now().Sub(start))
		if failure.floor > 0 && !a.engine.sleep(ctx, a.engine.jittered(s.margin, c.subject.Token)) {
			return l, c.subject.Token, err
		}
	}
}

// retries reports whether another attempt may succeed at once: others overtook this one, or it was
// blocked by entries that this Manager is taking back.
func (e *AttemptError) retries() bool {
	return e.blockedByRetired || e.floor > 0 && !errors.Is(e, ErrTaken)
}

// floor returns the highest fence that a master said must be exceeded, or 0 if none did.
func (r *round) floor() (floor int64) {
	r.each(func(_ int, a *wire.Answer) {
		if a.Outcome == vote.Overtaken {
			floor = max(floor, a.Fence, 1)
		}
	})
	return floor
}
