package vote

import (
	"cmp"
	"fmt"
	"slices"
)

// System is a quorum system: it says which sets of masters can decide. Any two quorums share a
// master. The safety of the locks needs nothing else from it.
//
// Usually the masters are one set, and any majority of it is a quorum. While the set of masters is
// changed, there are two sets, and a quorum needs a majority of each. So it shares a master with
// every quorum of clients that use one of the sets alone, or both. That is the joint consensus of
// Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014, section 6.
type System struct {
	set   Set
	joint Set // 0 unless there are two sets
}

// Majority returns the system in which any n/2 + 1 of n masters are a quorum. n must be from 1 to
// MaxMasters.
func Majority(n int) System { return System{set: ^Set(0) >> (MaxMasters - n)} }

// Joint returns the system in which a quorum needs a majority of each of two sets. A master that is
// in both counts in both. The sets must not be empty, and their union must be the masters from 0 to
// some other.
func Joint(a, b Set) System {
	if a == b { //mutant:joint-of-one
		b = 0
	}
	return System{set: a, joint: b}
}

// IsJoint reports whether there are two sets.
func (y System) IsJoint() bool { return y.joint != 0 }

// Sets returns the sets of masters: one, or two.
func (y System) Sets() []Set {
	if y.IsJoint() {
		return []Set{y.set, y.joint}
	}
	return []Set{y.set}
}

// Masters returns how many masters there are: N, or those in either of two sets.
func (y System) Masters() int { return y.All().Len() }

// Quorum returns the size of the smallest quorum: N/2 + 1, also for even N. Masters in both of two
// sets count in both.
func (y System) Quorum() int {
	if !y.IsJoint() {
		return majority(y.set)
	}
	a, b := majority(y.set), majority(y.joint)
	return a + b - min(a, b, (y.set&y.joint).Len())
}

// majority returns how many masters are a majority of a set.
func majority(s Set) int { return s.Len()/2 + 1 } //mutant:quorum

// All returns the set of all masters.
func (y System) All() Set { return y.set | y.joint }

// HasQuorum reports whether s contains a quorum.
func (y System) HasQuorum(s Set) bool {
	return HasMajority(y.set, s) && (!y.IsJoint() || HasMajority(y.joint, s)) //mutant:joint-needs-both
}

// HasMajority reports whether s contains a majority of a set.
func HasMajority(of, s Set) bool { return (s & of).Len() >= majority(of) }

// Blocks reports whether the masters outside s contain no quorum.
func (y System) Blocks(s Set) bool { return !y.HasQuorum(y.All() &^ s) }

// MayHold reports whether another client may hold a lock if all masters in s, and no others, store
// its token. While the set of masters is changed, the other client may use one of the two sets
// alone.
func (y System) MayHold(s Set) bool {
	return HasMajority(y.set, s) || y.IsJoint() && HasMajority(y.joint, s) //mutant:others-may-use-one-set
}

// String says how many of how many masters are a quorum, as in "2 of 3 masters", or "2 of 3 and 3
// of 5 masters" if there are two sets.
func (y System) String() string {
	text := fmt.Sprintf("%d of %d", majority(y.set), y.set.Len())
	if y.IsJoint() {
		text += fmt.Sprintf(" and %d of %d", majority(y.joint), y.joint.Len())
	}
	return text + " masters"
}

// Holder returns the token whose client may hold the lock, or "" if there is none: that which a
// quorum stores. With two sets, each may have one. Then Holder returns either.
// stored[i] is the token that master i is known to store, or "".
func (y System) Holder(stored []string) string {
	sets := map[string]Set{}
	for i, token := range stored {
		if token == "" {
			continue
		}
		sets[token] |= Only(i)
		if y.MayHold(sets[token]) {
			return token
		}
	}
	return ""
}

// Agreed returns the highest value that a quorum of the known masters reaches: each of them has
// that value or a higher one. values[i] is the value of master i. ok is false if the known masters
// contain no quorum.
func Agreed[T cmp.Ordered](y System, known Set, values []T) (agreed T, ok bool) {
	return highest(y.HasQuorum, known, values)
}

// AgreedByOthers is Agreed for what is known of another client's token; see MayHold.
func AgreedByOthers[T cmp.Ordered](y System, known Set, values []T) (agreed T, ok bool) {
	return highest(y.MayHold, known, values)
}

// highest returns the highest value that enough of the known masters reach.
func highest[T cmp.Ordered](enough func(Set) bool, known Set, values []T) (agreed T, ok bool) {
	masters := slices.Collect(known.Each())
	slices.SortStableFunc(masters, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	var reached Set
	for _, i := range masters {
		if reached |= Only(i); enough(reached) {
			return values[i], true
		}
	}
	return agreed, false
}
