package quorum

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// claim is one ownership token on its way through the masters: an attempt, and the lock that may
// result from it. A token serves only one attempt. Once a release of the token has been sent
// anywhere, the token never counts again, because the release may arrive later than anything else.
type claim struct {
	subject  wire.Subject // the key and the token
	name     string
	sequence *fanout.Sequence[wire.Call]

	granted  masterSet    // answered that they store the token
	doubtful masterSet    // may yet execute a request that stores the token, or have executed it
	settled  atomic.Int64 // when no doubtful master can execute such a request anymore, a clock.Instant
	queued   masterSet    // have the token in their queue
	longest  atomic.Int64 // the longest TTL requested
	fence    atomic.Int64 // the lock's fence; 0 until it is known, and without fencing

	noted *atomic.Int64 // the longest TTL of all claims; nil if this one asks for nothing

	mode  wire.Mode // of its entry in ordered admission; "" for a plain lock
	place int64     // of its entry: its fence, also without fencing
	guess bool      // masters may have replaced place, and are not to move the entry to it

	enqueued bool         // the claim is a waiter's, for the masters' queues
	probe    bool         // the claim is Check's: nobody wants the lock
	released atomic.Bool  // masters have been told to release the token
	retired  atomic.Bool  // the Manager remembers that the claim failed
	storing  atomic.Int32 // how many masters may still store a retired token

	since    int64           // by the masters' clocks, in microseconds: when a waiter acquired the lock; 0 before
	rests    atomic.Int64    // until when MinHold keeps a released lock taken, a clock.Instant
	call     context.Context // of the call that acquires the lock, for events; nil if nobody listens
	won      atomic.Bool     // it became a Lock
	handedOn atomic.Bool     // the event has been told
	owed     masterSet       // are owed a release; the event has been told
}

// compare orders claims by their tokens.
func (c *claim) compare(other *claim) int {
	return cmp.Compare(c.subject.Token, other.subject.Token)
}

// masterSet is a vote.Set that only grows. It is safe for concurrent use.
type masterSet struct{ bits atomic.Uint64 }

func (s *masterSet) add(master int)      { s.bits.Or(uint64(vote.Only(master))) }
func (s *masterSet) has(master int) bool { return vote.Set(s.bits.Load()).Has(master) }

// noteTTL records that a request with the TTL is about to be made.
func (c *claim) noteTTL(ttl time.Duration) {
	raise(&c.longest, int64(ttl))
	if c.noted != nil {
		raise(c.noted, int64(ttl)) //mutant:lease-of-ttl
	}
}

// noteMinHold records that masters may keep a lock taken for a minimum hold. It counts from when
// the lock becomes its user's, which may be up to a TTL after the masters were asked the last time.
func (e *engine) noteMinHold(p acquireParams) {
	if p.minHold > 0 {
		raise(&e.longest, int64(clock.Instant(p.minHold).Add(p.ttl))) //mutant:lease-of-min-hold
	}
}

// raise raises a value to at least n.
func raise(value *atomic.Int64, n int64) {
	for {
		old := value.Load()
		if n <= old || value.CompareAndSwap(old, n) {
			return
		}
	}
}

// life returns how long a key of the claim can live if a master executes a request right now.
func (c *claim) life(d clock.Drift) time.Duration {
	longest := time.Duration(c.longest.Load())
	return clock.Instant(longest).Add(d.Of(longest)).Sub(0) // saturated
}

// retention returns how long the masters keep the claim's fence from now on.
func (c *claim) retention() time.Duration {
	return vote.Retention(time.Duration(c.longest.Load()))
}

// record records the effect of one master's answer. closed is when the master cannot execute the
// request anymore; 0 for never.
func (c *claim) record(master int, e vote.Effect, closed clock.Instant) {
	if e&vote.Granted != 0 {
		c.granted.add(master)
	}
	if e&vote.Doubtful != 0 {
		if closed == 0 { //mutant:doubt-endless
			closed = clock.Never
		}
		raise(&c.settled, int64(closed))
		c.doubtful.add(master)
	}
	if e&vote.Queued != 0 {
		c.queued.add(master)
	}
}

// inDoubt reports whether a master may execute a request that stores the token after a release that
// was sent at the given instant. until is when it cannot anymore.
func (c *claim) inDoubt(master int, released clock.Instant) (doubt bool, until clock.Instant) {
	until = clock.Instant(c.settled.Load())
	return c.doubtful.has(master) && released < until, until //mutant:doubt-ends
}

// mayHaveKey reports whether, as far as is known, a master may store the token under the lock's
// key.
func (c *claim) mayHaveKey(master int) bool {
	return c.granted.has(master) || c.doubtful.has(master)
}

// mayStore reports whether a master may store the token anywhere, including in its queue.
func (c *claim) mayStore(master int) bool { return c.mayHaveKey(master) || c.queued.has(master) }

// restUntil makes releases of the claim keep the lock taken until the given instant.
func (c *claim) restUntil(at clock.Instant) { c.rests.Store(int64(at)) }

// releaseRequest makes the request that releases the claim now. If MinHold is not over, the lock
// stays taken.
func (c *claim) releaseRequest(to wire.Heir, next int64, now clock.Instant) wire.Request {
	if c.mode != "" {
		return c.subject.Depart(c.mode)
	}
	if left := clock.Instant(c.rests.Load()).Sub(now); left > 0 { //mutant:release-rests
		return c.subject.Tombstone(left, c.enqueued)
	}
	return c.subject.Release(to, c.enqueued, next)
}

// extendRequest makes a request that keeps the lock. One that was handed on is dated.
func (c *claim) extendRequest(keep time.Duration) wire.Request {
	if c.mode != "" {
		return c.subject.Renew(c.entry(keep, keep))
	}
	if c.since == 0 {
		return c.subject.Extend(keep, c.fence.Load(), c.retention())
	}
	return c.subject.ExtendDated(keep, c.fence.Load(), c.retention(), c.since, time.Duration(c.longest.Load()))
}

// repairRequest makes a request that gives the lock back to a master that forgot it.
func (c *claim) repairRequest(left time.Duration) wire.Request {
	if c.mode != "" {
		return c.subject.Readmit(c.entry(left, left))
	}
	return c.subject.Repair(left, c.fence.Load(), c.retention())
}

// owe records that a master is owed a release. It reports whether that is new.
func (c *claim) owe(master int) bool {
	one := uint64(vote.Only(master))
	return c.owed.bits.Or(one)&one == 0
}

// retire records that the claim failed while up to that many masters may store its token. It
// returns false if the claim was retired before.
func (c *claim) retire(masters int) bool {
	if c.retired.Swap(true) {
		return false
	}
	c.storing.Store(int32(masters))
	return true
}

// noteGone records that one more master does not store the token. It reports whether that was the
// last master of a retired token.
func (c *claim) noteGone() bool { return c.retired.Load() && c.storing.Add(-1) == 0 }
