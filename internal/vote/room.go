package vote

// Room tells whether the entries before one's own leave room for it, where several may hold a lock
// at once: permits. Each master names the entries that are before it there.
//
// Another entry counts if it may hold a permit: if the masters that name it, together with those
// that have not reported, contain a quorum of its client's; see System.MayHold. An entry stands on
// a quorum while it holds a permit, and each of these masters names it. So neither the largest
// number that a master names would do, nor an average. The union would, but where permits change
// hands faster than messages travel, it has many entries in it that are gone already.
//
// The zero value has room everywhere. It is for locks of which each master decides by itself
// whether there is room.
type Room struct {
	permits int
	before  [][]string      // by master
	naming  map[string]Set  // by token: the masters that name it
	gone    map[string]bool // was released, so it is before nobody anymore
}

// NewRoom returns a Room for one of n permits.
func NewRoom(n int, y System) *Room {
	return &Room{permits: n, before: make([][]string, y.Masters()), naming: map[string]Set{}}
}

// Name records all the entries that a master has before this one. As long as the entry stands
// there, later reports name the same or fewer. If it was admitted anew, or has moved, the new
// report replaces the others.
func (r *Room) Name(master int, tokens []string, anew bool) {
	if r.permits == 0 {
		return
	}
	before := r.before[master]
	named := make(map[string]bool, len(tokens))
	for _, token := range tokens {
		named[token] = anew || before == nil || r.naming[token].Has(master) //mutant:reports-intersect
	}
	for _, token := range before {
		if r.naming[token] &^= Only(master); r.naming[token] == 0 {
			delete(r.naming, token)
		}
	}
	r.before[master] = make([]string, 0, len(tokens))
	for token, counts := range named {
		if counts {
			r.before[master] = append(r.before[master], token)
			r.naming[token] |= Only(master)
		}
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

// Suffices reports whether there is room, judging by what the given masters have named. They must
// contain a quorum. The more masters have reported, the more room there may be.
func (r *Room) Suffices(y System, masters Set) bool {
	if !y.HasQuorum(masters) {
		return false
	}
	if r.permits == 0 {
		return true
	}
	silent, ahead := y.All()&^masters, 0
	for token, by := range r.naming {
		if by &= masters; by != 0 && !r.gone[token] && y.MayHold(by|silent) { //mutant:may-hold-permit
			ahead++
		}
	}
	return ahead < r.permits //mutant:permits-counted
}
