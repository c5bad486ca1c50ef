package quorum

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
)

// claim is one ownership token on its way through the masters: an attempt, and
// the lock that may come of it. A token serves one attempt only. Once a release
// of it has been sent somewhere it is never counted again, because the release
// may arrive later than anything.
type claim struct {
	manager   *Manager
	name, key string
	token     string
	keyArg    any    // key again, as part of commands
	tokenText []byte // token again, as it is written to connections
	sequence  *fanout.Sequence[request]
	granted   atomic.Uint64 // bit i: master i has answered that the token stands there
	doubtful  atomic.Uint64 // bit i: master i may yet carry out a request that puts the token there
	queued    atomic.Uint64 // bit i: master i has the token in its queue
	owed      atomic.Uint64 // bit i: master i's ledger has a debt of this claim
	longest   atomic.Int64  // the longest TTL asked for
	fence     atomic.Int64  // what it carries along; 0 until it is known, and without fencing

	enqueued  bool         // it was made to wait in the masters' queues
	left      atomic.Bool  // masters have been told to release the token
	abandoned atomic.Bool  // the Manager remembers that it came to nothing
	standing  atomic.Int32 // and on how many masters it may stand yet
}

func (m *Manager) newClaim(name string) (*claim, error) {
	token, err := m.tokens.New()
	if err != nil {
		return nil, fmt.Errorf("quorum: acquire %s: %w", quote(name), err)
	}
	key := m.opts.Prefix + name
	return &claim{
		manager: m, name: name, key: key, keyArg: key, token: token, tokenText: []byte(token),
		sequence: m.lanes.NewSequence(),
	}, nil
}

// asked notes that a request for the TTL is about to be made.
func (c *claim) asked(ttl time.Duration) {
	for {
		longest := c.longest.Load()
		if int64(ttl) <= longest || c.longest.CompareAndSwap(longest, int64(ttl)) {
			return
		}
	}
}

// life is how long a key of the claim can stand from now on, if a request is
// carried out just now.
func (c *claim) life() time.Duration {
	longest := time.Duration(c.longest.Load())
	return clock.Instant(longest).Add(c.manager.opts.Drift.Of(longest)).Sub(0) // saturated
}

// note draws the consequences of one master's answer that hold whatever the
// round's verdict is.
func (c *claim) note(q *request, o Outcome, dropped error) {
	if q.vote.time != 0 {
		c.manager.masters[q.master].noteTime(q.vote.time, c.manager.opts.Clock.Now())
	}
	bit := uint64(1) << q.master
	switch q.question.verb {
	case acquireVerb, repairVerb:
		if o == Held {
			c.granted.Or(bit)
		}
	case waitVerb:
		if o != Unknown && o != Unsent {
			c.queued.Or(bit)
		}
	case leaveVerb:
		if q.handedOn {
			c.manager.lines.heat(c.key, c.manager.opts.Clock.Now())
		}
		c.manager.ledgers[q.master].settle(debt{claim: c, heir: q.question.heir}, o, dropped)
		return
	default: // puts the token nowhere
		return
	}
	if q.mayComeLater(o) {
		c.doubtful.Or(bit)
	}
}

// abandon has the Manager remember the token as one of its own that came to nothing,
// for as long as it may stand somewhere. It comes before the token is left.
func (c *claim) abandon(now clock.Instant) {
	if !c.abandoned.Swap(true) {
		c.standing.Store(int32(len(c.manager.masters)))
		c.manager.abandoned.add(c.token, now.Add(c.life()), now)
	}
}

// vanished notes that the token does not stand on one more master.
func (c *claim) vanished() {
	if c.abandoned.Load() && c.standing.Add(-1) == 0 {
		c.manager.abandoned.remove(c.token, c.manager.opts.Clock.Now())
	}
}

// owe notes a debt. It returns false if there is one already, which serves both.
func (c *claim) owe(master int) bool {
	bit := uint64(1) << master
	return c.owed.Or(bit)&bit == 0
}

func (c *claim) paid(master int) { c.owed.And(^(uint64(1) << master)) }

// mayStand tells whether the token may stand on a master, or in its queue, as far
// as is known.
func (c *claim) mayStand(master int) bool {
	return (c.granted.Load()|c.doubtful.Load()|c.queued.Load())&(1<<master) != 0
}

// mayHaveKey tells whether the token may stand on a master, but for its queue.
func (c *claim) mayHaveKey(master int) bool {
	return (c.granted.Load()|c.doubtful.Load())&(1<<master) != 0
}

func (c *claim) inDoubt(master int) bool { return c.doubtful.Load()&(1<<master) != 0 }

// leave releases the token on every master: where it was granted, refused, and
// where nobody knows. Masters that cannot be reached now are owed the release.
// It runs on no context but the lanes' own. The round's settled channel is
// closed once the given masters (a bit set) are through.
func (c *claim) leave(to heir, now clock.Instant, awaited uint64) *round {
	r := newRound(c.leaveQuestion(to))
	r.first = !c.left.Swap(true)
	r.awaited, r.settled = awaited, make(chan struct{})
	for i := range r.ops {
		c.manager.owing[i].add(1)
	}
	r.submit(now, clock.Never)
	return r
}
