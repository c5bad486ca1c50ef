package vote

import (
	"cmp"
	"slices"
)

// System is a quorum system: it says which sets of masters can decide. Any two quorums share a
// master. The safety of the locks needs nothing else from it.
//
// It is a simple majority. A joint system, for changing the set of masters, would go here.
type System struct{ masters int }

// Majority returns the system in which any n/2 + 1 of n masters are a quorum. n must be from 1 to
// MaxMasters.
func Majority(n int) System { return System{masters: n} }

// Masters returns N, the number of masters.
func (y System) Masters() int { return y.masters }

// Quorum returns the size of the smallest quorum: N/2 + 1, also for even N.
func (y System) Quorum() int { return y.masters/2 + 1 } //mutant:quorum

// All returns the set of all masters.
func (y System) All() Set { return ^Set(0) >> (MaxMasters - y.masters) }

// HasQuorum reports whether s contains a quorum.
func (y System) HasQuorum(s Set) bool { return s.Len() >= y.Quorum() }

// Blocks reports whether the masters outside s contain no quorum.
func (y System) Blocks(s Set) bool { return !y.HasQuorum(y.All() &^ s) }

// Holder returns the token that a quorum stores, or "" if no quorum stores the same token.
// stored[i] is the token that master i is known to store, or "".
func (y System) Holder(stored []string) string {
	sets := map[string]Set{}
	for i, token := range stored {
		if token == "" {
			continue
		}
		sets[token] |= Only(i)
		if y.HasQuorum(sets[token]) {
			return token
		}
	}
	return ""
}

// Agreed returns the highest value that a quorum of the known masters reaches: each of them has
// that value or a higher one. values[i] is the value of master i. ok is false if the known masters
// contain no quorum.
func Agreed[T cmp.Ordered](y System, known Set, values []T) (agreed T, ok bool) {
	masters := slices.Collect(known.Each())
	slices.SortStableFunc(masters, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	var reached Set
	for _, i := range masters {
		if reached |= Only(i); y.HasQuorum(reached) {
			return values[i], true
		}
	}
	return agreed, false
}
