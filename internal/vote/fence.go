package vote

import (
	"math"
	"slices"
	"time"
)

// Fencing tokens order the holders of a name: each holder's is higher than those of all before
// it. Random tokens cannot do that. Neither can a counter on each master, because the majorities
// of two holders may share only one master: the first may read {101, 2} and the second {2, 3}.
//
// So each master keeps the highest fence it was given, as in Attiya, Bar-Noy and Dolev's register
// (1995). A grant proposes a fence, and each master stores it with the grant if it is higher than
// the stored one. If a majority stored it, it is the lock's fence. Otherwise the lock gets a fence
// above all that its majority had, which a majority must store while it stores the lock's token.
//
// The majority that stored an earlier holder's fence and the one that granted this lock share a
// master. That master stored the earlier fence while it stored the earlier token, hence before it
// granted this one. So this lock's fence is higher.

// MaxFence is the highest fence: the highest integer below which Redis' Lua has no gaps.
const MaxFence = 1<<53 - 1

// minRetention is how long the masters keep a fence at least after the lock was last used. Then
// they forget it, so that names which are no longer used leave nothing behind; from then on the
// masters' clocks keep the order.
const minRetention = 24 * time.Hour

// Retention returns how long masters keep the fence of a lock whose longest TTL is given.
func Retention(longest time.Duration) time.Duration {
	if longest > math.MaxInt64/2 {
		return longest
	}
	return max(minRetention, 2*longest) //mutant:retention
}

// Minting finds the fence of a lock that a quorum granted. The zero value has no votes.
type Minting struct {
	highest int64
	anew    Set
}

// Add counts a grant: the fence that the master stores now, and whether that is the proposed one,
// stored by this very request.
func (m *Minting) Add(master int, stored int64, anew bool) {
	m.highest = max(m.highest, stored) //mutant:highest-stored
	if anew {
		m.anew |= Only(master)
	}
}

// Fence returns the lock's fence: the proposed one if a quorum stored it anew, and otherwise one
// above the highest that is stored and above now, the masters' time in microseconds. stored tells
// whether a quorum stores it already. A fence above MaxFence cannot be used.
func (m *Minting) Fence(y System, proposal, now int64) (fence int64, stored bool) {
	if y.HasQuorum(m.anew) { //mutant:stored-anew
		return proposal, true
	}
	return max(m.highest, now) + 1, false
}

// Propose returns the fence to propose at now, the masters' time in microseconds.
func Propose(now int64) int64 { return min(max(now, 0), MaxFence) }

// MedianOffset returns the median of the clock offsets, in microseconds, that masters are known
// to have, so that no single wrong clock matters. Where their number is even, own, the offset of
// this process's own time of day, is counted too. It sorts known.
func MedianOffset(known []int64, own func() int64) int64 {
	if len(known)%2 == 0 {
		known = append(known, own())
	}
	slices.Sort(known)         //mutant:sort-offsets
	return known[len(known)/2] //mutant:median-offset
}
