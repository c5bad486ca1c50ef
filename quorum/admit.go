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
	engine *engine
	floor  int64         // the highest fence that a master said must be exceeded; 0 for none
	margin time.Duration // how far ahead of the masters' time to aim
	tries  int           // how many tries failed
}

// maxMargin bounds the margin. With a restart guard, masters admit no fence that is further ahead
// of their time than a quarter of the guard.
const maxMargin = time.Second

// maxOvertaken is how often TryAcquire tries again because others overtook it.
const maxOvertaken = 10

// place returns the fence of the next try. Masters that are far away get the request later than
// others that were sent after it. So once it was overtaken, a client aims ahead of the time.
//
// It goes by the masters' clocks. If too few have reported their time, the client's own has to do,
// and the fence is a guess, which the masters check.
func (s *candidacy) place() (fence int64, guess bool) {
	e := s.engine
	ahead := e.offsets.mastersTime(e.clock.Now()) + s.margin.Microseconds()
	fence = min(max(ahead, s.floor+1, 1), vote.MaxFence) //mutant:place-above-floor
	return fence, !e.system.HasQuorum(e.offsets.known())
}

// fail records that a try failed, whose first round took so long. floor is the fence to exceed if it
// was overtaken, and 0 otherwise.
func (s *candidacy) fail(floor int64, took time.Duration) {
	s.tries++
	if floor == 0 {
		return
	}
	bound := maxMargin
	if guard := s.engine.opts.RestartGuard; guard > 0 {
		bound = min(bound, guard/8)
	}
	s.floor = max(s.floor, floor)
	s.margin = min(max(2*s.margin, took), bound) //mutant:margin-grows
}

// newEntry makes a claim with an entry for ordered admission.
func (s *candidacy) newEntry(ctx context.Context, p acquireParams) *claim {
	e := s.engine
	c := e.newClaim(p.name)
	c.call = e.events.contextOf(ctx)
	c.mode = p.mode
	c.place, c.guess = s.place()
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
		if !errors.As(err, &failure) || s.tries == maxOvertaken || ctx.Err() != nil || !failure.retries() {
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
