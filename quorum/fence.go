package quorum

import (
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Fencing tokens order the holders of a name: each one's is higher than those of
// all before it. Random tokens cannot do that, and neither can a counter on each
// master, because the majorities of two holders share one master only: the first
// may count {101, 2} and the second {2, 3}.
//
// So each master keeps the highest fence it was given, as in Attiya, Bar-Noy and
// Dolev's register (1995). A grant proposes one, and each master stores it with
// the grant if it is higher than what is there. If a majority did, it is the
// lock's fence. Otherwise the lock gets one above all that the masters of its
// majority had, which a majority has to store while the lock's token stands there.
//
// The majority that stored an earlier holder's fence and the one that granted this
// lock share a master. That one stored the earlier fence while the earlier token
// stood there, so before it granted this one, and this lock's fence is above it.

// highestFence is the highest number that Redis' Lua has all numbers up to.
const highestFence = 1<<53 - 1

// leastRetention is for how long a fence is kept at least after the lock was last
// heard of. Then it is forgotten, so that names which are not used any more leave
// nothing behind; the masters' clocks keep the order from then on.
const leastRetention = 24 * time.Hour

// retention is for how long the masters keep the claim's fence from now on.
func (c *claim) retention() time.Duration {
	longest := time.Duration(c.longest.Load())
	if longest > time.Duration(clock.Never)/2 {
		return longest
	}
	return max(leastRetention, 2*longest)
}

// noteTime learns how far a master's clock is ahead of the Manager's.
func (m *master) noteTime(micros int64, now clock.Instant) {
	if micros > 0 {
		m.ahead.Store(micros - int64(now)/int64(time.Microsecond))
	}
}

// toldTime counts the masters that have told what time it is there.
func (m *Manager) toldTime() (n int) {
	for _, master := range m.masters {
		if master.ahead.Load() != 0 {
			n++
		}
	}
	return n
}

// mastersTime returns what time it is by the masters' clocks, in microseconds:
// the median of those that have told theirs, and of this process's own where that
// is needed for a majority. So no single wrong clock matters, whosever it is.
func (m *Manager) mastersTime(now clock.Instant) int64 {
	ahead := make([]int64, 0, len(m.masters)+1)
	for _, master := range m.masters {
		if a := master.ahead.Load(); a != 0 {
			ahead = append(ahead, a)
		}
	}
	micros := int64(now) / int64(time.Microsecond)
	if len(ahead)%2 == 0 {
		ahead = append(ahead, clock.Wall(m.opts.Clock).UnixMicro()-micros)
	}
	slices.Sort(ahead)
	return ahead[len(ahead)/2] + micros
}

// proposal returns the fence that an attempt proposes.
func (m *Manager) proposal(now clock.Instant) int64 {
	if !m.opts.Fencing {
		return 0
	}
	return min(max(m.mastersTime(now), 0), highestFence)
}

// minted returns the fence of an acquire round that was won: the proposed one, if
// a majority stored it anew, and otherwise one that is above all that the
// majority had, which has yet to be stored.
func (r *round) minted(now clock.Instant) (fence int64, stored bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	anew, highest := 0, r.claim.manager.mastersTime(now)
	for i := range r.ops {
		q := &r.ops[i].Payload
		if !q.settled || q.outcome != Held {
			continue
		}
		highest = max(highest, q.vote.fence)
		if q.vote.anew {
			anew++
		}
	}
	if anew >= r.tally.quorum {
		return r.proposal, true
	}
	return highest + 1, false
}
