package vote

import (
	"math"
	"slices"
	"time"
)

// Fencing tokens order the holders of a lock name: each holder's fence is higher than the fences of
// all earlier holders. Random tokens cannot do that. A counter on each master cannot either,
// because the majorities of two holders may share only one master: the first holder may read {101,
// 2} and the second {2, 3}.
//
// So each master keeps the highest fence it was given, as in the register of Attiya, Bar-Noy and
// Dolev (1995). An acquire proposes a fence. A master that grants it also stores the proposal if
// that is higher than its stored fence. If a majority stored the proposal, it is the lock's fence.
// Otherwise the lock gets a fence above all fences of its majority, and a majority must store that
// fence while it stores the lock's token.
//
// The majority that stored an earlier holder's fence and the majority that granted this lock share
// a master. That master stored the earlier fence while it stored the earlier token, and so before
// it granted this lock. So this lock's fence is higher.

// MaxFence is the highest fence. Lua in Redis represents every integer up to it exactly.
const MaxFence = 1<<53 - 1

// minRetention is the minimum time that masters keep a fence after the lock was last used. After
// that they forget it, so unused names leave nothing behind. From then on the masters' clocks keep
// the order.
const minRetention = 24 * time.Hour

// Retention returns how long masters keep a lock's fence. longest is the lock's longest TTL.
func Retention(longest time.Duration) time.Duration {
	if longest > math.MaxInt64/2 {
		return longest
	}
	return max(minRetention, 2*longest) //mutant:retention
}

// Minting determines the fence of a lock that a quorum granted. The zero value has no grants.
type Minting struct {
	highest int64
	anew    Set
}

// Add counts a master's grant. stored is the fence that the master stores now. anew says that this
// request stored it, so it is the proposed one.
func (m *Minting) Add(master int, stored int64, anew bool) {
	m.highest = max(m.highest, stored) //mutant:highest-stored
	if anew {
		m.anew |= Only(master)
	}
}

// Fence returns the lock's fence. If a quorum stored the proposal anew, the fence is the proposal,
// and stored is true. Otherwise the fence is above the highest stored one and above now, and a
// quorum has yet to store it. now is the masters' time in microseconds. A fence above MaxFence
// cannot be used.
func (m *Minting) Fence(y System, proposal, now int64) (fence int64, stored bool) {
	if y.HasQuorum(m.anew) { //mutant:stored-anew
		return proposal, true
	}
	return max(m.highest, now) + 1, false
}

// Propose returns the fence to propose at now, the masters' time in microseconds. It is between 0
// and MaxFence.
func Propose(now int64) int64 { return min(max(now, 0), MaxFence) }

// MedianOffset returns the median of the masters' known clock offsets, in microseconds. Because it
// is the median, no single wrong clock matters. If the number of offsets is even, own is counted
// too: it returns the offset of this process's time of day. MedianOffset sorts known.
func MedianOffset(known []int64, own func() int64) int64 {
	if len(known)%2 == 0 {
		known = append(known, own())
	}
	slices.Sort(known)         //mutant:sort-offsets
	return known[len(known)/2] //mutant:median-offset
}
