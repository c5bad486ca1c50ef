package quorum

import (
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// claim is one ownership token on its way through the masters: an attempt, and the lock that may
// come of it. A token serves one attempt only. Once a release of it has been sent anywhere it is
// never counted again, because the release may arrive later than anything else.
type claim struct {
	subject  wire.Subject // the key and the token
	name     string
	sequence *fanout.Sequence[wire.Call]

	granted  masterSet    // answered that they store the token
	doubtful masterSet    // may yet carry out a request that stores the token
	queued   masterSet    // have the token in their queue
	longest  atomic.Int64 // the longest TTL asked for
	fence    atomic.Int64 // what it carries along; 0 until it is known, and without fencing

	enqueued bool         // it was made to wait in the masters' queues
	released atomic.Bool  // masters have been told to release the token
	retired  atomic.Bool  // the Manager remembers that it came to nothing
	storing  atomic.Int32 // on how many masters a retired token may still be stored
}

// masterSet is a vote.Set that only grows, and may be used by several goroutines at once.
type masterSet struct{ bits atomic.Uint64 }

func (s *masterSet) add(master int)      { s.bits.Or(uint64(vote.Only(master))) }
func (s *masterSet) has(master int) bool { return vote.Set(s.bits.Load()).Has(master) }

// asked notes that a request for the TTL is about to be made.
func (c *claim) asked(ttl time.Duration) {
	for {
		longest := c.longest.Load()
		if int64(ttl) <= longest || c.longest.CompareAndSwap(longest, int64(ttl)) {
			return
		}
	}
}

// life is how long a key of the claim can live from now on, if a request is carried out just now.
func (c *claim) life(d clock.Drift) time.Duration {
	longest := time.Duration(c.longest.Load())
	return clock.Instant(longest).Add(d.Of(longest)).Sub(0) // saturated
}

// retention is how long the masters keep the claim's fence from now on.
func (c *claim) retention() time.Duration {
	return vote.Retention(time.Duration(c.longest.Load()))
}

// record notes what one master's answer changes.
func (c *claim) record(master int, e vote.Effect) {
	if e&vote.Granted != 0 {
		c.granted.add(master)
	}
	if e&vote.Doubtful != 0 {
		c.doubtful.add(master)
	}
	if e&vote.Queued != 0 {
		c.queued.add(master)
	}
}

// mayHaveKey tells whether a master may store the token under the lock's key, as far as is known.
func (c *claim) mayHaveKey(master int) bool {
	return c.granted.has(master) || c.doubtful.has(master)
}

// mayStore tells whether a master may store the token anywhere, its queue included.
func (c *claim) mayStore(master int) bool { return c.mayHaveKey(master) || c.queued.has(master) }

// retire notes that the token may be stored on so many masters, though it came to nothing. It
// returns false if that was noted before.
func (c *claim) retire(masters int) bool {
	if c.retired.Swap(true) {
		return false
	}
	c.storing.Store(int32(masters))
	return true
}

// vanished notes that one more master does not store the token. It returns whether it was the last
// one of a retired token.
func (c *claim) vanished() bool { return c.retired.Load() && c.storing.Add(-1) == 0 }
