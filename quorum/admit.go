package quorum

import (
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// enterOrder makes a claim's lock one of an ordered kind. Its entry asks for the masters' time as
// its fence. If too few masters have reported their time, the client's own has to do. Then the
// fence is a guess, which the masters check. With fencing and a restart guard, they always do.
//
// A master that finds the fence wrong admits the entry with a lower one, and the lock may be held
// with that. So what the masters check must never move an entry, because it may come late. All that
// is asked for later is what masters have reported, and never lower than before.
func (e *engine) enterOrder(c *claim, mode wire.Mode) {
	c.mode = mode
	checked := e.opts.Fencing && e.opts.RestartGuard > 0
	c.guess = checked || !e.system.HasQuorum(e.offsets.known()) //mutant:guessed-fence
	e.place(c, min(max(e.offsets.mastersTime(e.clock.Now()), 1), vote.MaxFence))
}

// place gives a claim's entry its fence.
func (e *engine) place(c *claim, fence int64) {
	if c.place = fence; e.opts.Fencing {
		c.fence.Store(fence)
	}
}

// entry describes the claim's entry in ordered admission for the masters.
func (c *claim) entry(ttl, lease time.Duration) wire.Entry {
	return wire.Entry{Mode: c.mode, Fence: c.place, TTL: ttl, Lease: lease, Retention: c.retention(), Guess: c.guess}
}

// moveUp makes a round that moves the entry of a try up, if masters have room for it with different
// fences. It returns false if no such round is needed.
func (a *acquirer) moveUp(t *try) (again bool) {
	if t.verdict != vote.Scattered { //mutant:moves-up
		return false
	}
	fence, c := t.last.reachable(), t.claim
	if !c.guess {
		fence = max(fence, c.place)
	}
	a.engine.place(c, fence)
	c.guess = false
	t.last, t.sent = newRound(a.engine, c, a.request(t.params, c)), a.engine.clock.Now()
	return true
}

// reachable returns the lowest fence that a quorum of the masters can have for the entry, or 0 if
// too few have answered that they have room.
func (r *round) reachable() int64 {
	var room vote.Set
	fences := make([]int64, len(r.ops)) // negative, because Agreed looks for the highest
	r.each(func(master int, a *wire.Answer) {
		if a.Outcome == vote.Held || a.Outcome == vote.Overtaken {
			room |= vote.Only(master)
			fences[master] = -a.Fence
		}
	})
	fence, _ := vote.Agreed(r.engine.system, room, fences)
	return -fence
}
