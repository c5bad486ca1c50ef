package vote

import (
	"maps"
	"slices"
)

// Room tells whether the entries before one's own leave room for it, where several may hold a lock
// at once: permits. Each master names the entries that it admitted before. The same entry may be
// named by some masters only, so what counts is the union over a quorum. Neither the largest number
// that a master names nor the sum would do.
//
// The zero value has room everywhere. It is for locks of which each master decides by itself
// whether there is room.
type Room struct {
	permits int
	before  [][]string      // by master
	gone    map[string]bool // was released, so it is before nobody anymore
}

// NewRoom returns a Room for one of n permits.
func NewRoom(n int, y System) *Room {
	return &Room{permits: n, before: make([][]string, y.Masters())}
}

// Name records all the entries that a master has before this one. As long as the entry stands
// there, later reports name the same or fewer. If it was admitted anew, the new report replaces the
// others.
func (r *Room) Name(master int, tokens []string, anew bool) {
	if r.permits == 0 {
		return
	}
	if before := r.before[master]; !anew && before != nil {
		tokens = slices.DeleteFunc(slices.Clone(before), func(token string) bool { return !slices.Contains(tokens, token) }) //mutant:reports-intersect
	}
	r.before[master] = append([]string{}, tokens...)
}

// Forget forgets what a master has named.
func (r *Room) Forget(master int) {
	if r.permits > 0 {
		r.before[master] = nil
	}
}

// Gone records that the client with a token has released it. It sent the release after it stopped
// using the lock, so no master's report of the token counts anymore.
func (r *Room) Gone(token string) {
	if r.permits == 0 {
		return
	}
	if r.gone == nil {
		r.gone = map[string]bool{}
	}
	r.gone[token] = true
}

// Suffices reports whether a quorum among the given masters has room: together, they name fewer
// entries than there are permits. Each of the masters must have named the entries that it has.
//
// To find the best quorum is a search. Suffices looks for one greedily, so it may miss one if the
// masters disagree. It never finds one that does not exist.
func (r *Room) Suffices(y System, masters Set) bool {
	if !y.HasQuorum(masters) {
		return false
	}
	if r.permits == 0 || len(r.union(masters)) < r.permits {
		return true
	}
	for first := range masters.Each() {
		if r.grow(y, first, masters) {
			return true
		}
	}
	return false
}

// grow adds masters to the first, always the one that names the fewest others, until they are a
// quorum. It reports whether they have room.
func (r *Room) grow(y System, first int, masters Set) bool {
	chosen := Only(first)
	named := r.union(chosen)
	for !y.HasQuorum(chosen) {
		best, fewest := -1, 0
		for i := range (masters &^ chosen).Each() {
			if n := r.adds(i, named); best < 0 || n < fewest {
				best, fewest = i, n
			}
		}
		chosen |= Only(best)
		maps.Copy(named, r.union(Only(best)))
	}
	return len(named) < r.permits //mutant:room-of-union
}

// union returns the entries that masters name.
func (r *Room) union(masters Set) map[string]bool {
	all := map[string]bool{}
	for i := range masters.Each() {
		for _, token := range r.before[i] {
			if !r.gone[token] {
				all[token] = true
			}
		}
	}
	return all
}

// adds returns how many entries a master names that are not among those named.
func (r *Room) adds(master int, named map[string]bool) (n int) {
	for token := range r.union(Only(master)) {
		if !named[token] {
			n++
		}
	}
	return n
}
