package vote

// System is a quorum system: which sets of masters may decide. Any two sets that hold a quorum
// share a master, which is all that the safety of the locks asks of it.
//
// It is one majority. A joint system, for changing the set of masters, takes its place here.
type System struct{ masters int }

// Majority returns the system in which any N/2 + 1 of n masters are a quorum. n is from 1 to
// MaxMasters.
func Majority(n int) System { return System{masters: n} }

// Masters returns N, the number of all masters.
func (y System) Masters() int { return y.masters }

// Quorum returns how many masters the smallest quorum has: N/2 + 1, for even N too.
func (y System) Quorum() int { return y.masters/2 + 1 } //mutant:quorum

// Blocking returns how many masters leave no quorum among the others: N − quorum + 1.
func (y System) Blocking() int { return y.masters - y.Quorum() + 1 }

// All returns the set of all masters.
func (y System) All() Set { return ^Set(0) >> (MaxMasters - y.masters) }

// HasQuorum reports whether s holds a quorum.
func (y System) HasQuorum(s Set) bool { return s.Len() >= y.Quorum() }

// Blocks reports whether the masters outside s hold no quorum.
func (y System) Blocks(s Set) bool { return !y.HasQuorum(y.All() &^ s) }

// Holder returns the token that a quorum stores, and "" if there is none. stored[i] is the token
// that master i is known to store, "" if none is known.
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
