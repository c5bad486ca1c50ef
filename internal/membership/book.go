package membership

import (
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Book is what a Manager knows about the records of its masters.
type Book struct {
	system vote.System
	lists  []vote.Set       // the masters in each of the Manager's sets
	own    []string         // the masters' names as the Manager knows them; "" if it does not
	names  [][]string       // the masters' names in their records; nil if not known
	sets   []Set            // the Manager's sets, as records call them; "" if not known
	tags   []string         // of the masters' records that the Manager accepts, or expects
	others []*ConflictError // by master: what is known of it that is not accepted; nil for nothing
	err    error            // why the Manager may use none of the masters; nil if it may
	claims string           // the claims that the masters had the last time
}

// View is what one master says.
type View struct {
	Answered   bool
	Record     *Record // nil for none
	Unreadable bool    // something is stored that is not a record
	ID         string  // a name for the master, if the Manager knows none
	Now        int64   // the master's clock in milliseconds
	Lease      time.Duration
	Quarantine time.Duration // by the restart guard
	Forgot     bool          // the restart guard knows that the master may have, however long ago
}

// Write is a new record for one master, to replace the one of the given version.
type Write struct {
	Expect string
	Record Record
	// Idle makes the master refuse the write while its lease lasts.
	Idle bool
}

// Unknown is a tag that no record has. A master refuses requests with it, and says which record it
// has.
const Unknown = "?"

// NewBook returns the Book of a Manager that knows its masters under the given names; "" for those
// that it does not know. It expects that their records are those that its own clients would make.
func NewBook(y vote.System, names []string) *Book {
	b := &Book{
		system: y, lists: y.Sets(), own: slices.Clone(names), names: make([][]string, len(names)),
		tags: make([]string, len(names)), others: make([]*ConflictError, len(names)),
	}
	b.sets = make([]Set, len(b.lists))
	for l := range b.lists {
		b.sets[l] = b.ownSet(l)
	}
	expected := b.first()
	for i := range names {
		b.tags[i] = Unknown
		if r := b.recordFor(i, expected); r != nil {
			b.tags[i] = r.Tag()
		}
	}
	return b
}

// ownSet returns a set by the names that the Manager knows, or "" if it does not know all.
func (b *Book) ownSet(list int) Set {
	var names []string
	for i := range b.lists[list].Each() {
		if b.own[i] == "" {
			return ""
		}
		names = append(names, b.own[i])
	}
	return SetOf(names)
}

// first returns the first record of a set. Of two sets, it is that of the other one.
func (b *Book) first() *Record { return &Record{Generation: 1, Set: b.sets[len(b.sets)-1]} }

// Err returns why the Manager may use none of the masters, or nil if it may.
func (b *Book) Err() error { return b.err }

// ErrOf returns why the Manager may not use one master, as far as that is known, or nil.
func (b *Book) ErrOf(master int) error {
	if e := b.others[master]; e != nil {
		return e
	}
	return nil
}

// Tag returns the tag to send with requests to a master.
func (b *Book) Tag(master int) string {
	if b.err != nil {
		return Unknown
	}
	return b.tags[master]
}

// Saw tells of the record of a master that refused a request because of its tag. It reports whether
// the Manager accepts the record, so that the request may be repeated.
func (b *Book) Saw(master int, r *Record) bool {
	if b.err != nil || !b.accepts(master, r) {
		return false
	}
	b.names[master], b.tags[master], b.others[master] = r.names(), r.Tag(), nil
	return true
}

// accepts reports whether the Manager may use a master with a record.
func (b *Book) accepts(master int, r *Record) bool {
	if r == nil || r.isClaim() || !slices.Contains(b.sets, r.Set) { //mutant:set-compared
		return false
	}
	if r.Next == Any && len(b.sets) == 1 || r.Sealed() && r.Next != Any && !slices.Contains(b.sets, r.Next) { //mutant:seal-compared
		return false
	}
	for l, s := range b.sets {
		if (s == r.Set || s == r.Next) && (r.nameIn(s) != "") != b.lists[l].Has(master) {
			return false // it is another one in that set
		}
	}
	for other, names := range b.names {
		if other != master && haveCommon(names, r.names()) {
			return false
		}
	}
	return true
}

func haveCommon(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

// Learn tells what the masters say, and returns what to write to them, by master.
func (b *Book) Learn(views []View) []*Write {
	b.nameByID(views)
	b.bind(views)
	b.err = nil
	c := b.compare(views)
	for i := range c.answered.Each() {
		if b.others[i] = nil; c.others.Has(i) {
			b.others[i] = b.conflict(views, vote.Only(i))
		}
	}
	switch {
	case !b.system.HasQuorum(c.answered):
		return nil
	case c.err != nil:
		b.err = c.err
		return nil
	case c.latest == nil && c.others != 0:
		b.err = b.conflict(views, c.others)
		return nil
	case c.latest == nil:
		return b.claim(views)
	case !b.system.HasQuorum(c.answered&^c.others | c.behind):
		b.err = b.conflict(views, c.others&^c.behind)
		return nil
	}
	writes := make([]*Write, len(views))
	for i := range (c.vacant | c.behind).Each() {
		if r := b.recordFor(i, c.latest); r != nil && (!c.newer || b.system.HasQuorum(c.accepted)) {
			old := views[i].Record
			writes[i] = &Write{Expect: old.Version(), Record: *r, Idle: c.others.Has(i) && !b.knows(old, c.latest)}
		}
	}
	return writes
}

// knows reports whether a record of a lower generation is known to be of clients that hold nothing
// anymore. Otherwise, it may be one of others that have nothing to do with the Manager's sets.
func (b *Book) knows(old, latest *Record) bool {
	return old == nil || old.Next == latest.Set || slices.Contains(b.sets, old.Set) || old.Set == latest.Past //mutant:unknown-set
}

// comparison is what the records of the masters say together.
type comparison struct {
	answered vote.Set
	vacant   vote.Set // have no record, or a claim
	accepted vote.Set
	others   vote.Set // have a record that is not accepted
	behind   vote.Set // of others, and of accepted: their records may be brought forward
	latest   *Record  // of the accepted ones, that of the highest generation
	newer    bool     // one of the others has a higher generation, or an equal one: so latest may be of the past
	err      error
}

func (b *Book) compare(views []View) (c comparison) {
	before := slices.Clone(b.names)
	clear(b.names)
	defer func() { // a master that has no record now was called something before
		for i, names := range before {
			isTaken := slices.ContainsFunc(b.names, func(others []string) bool { return haveCommon(names, others) })
			if b.names[i] == nil && !isTaken {
				b.names[i] = names
			}
		}
	}()
	for i, v := range views {
		if !v.Answered {
			continue
		}
		c.answered |= vote.Only(i)
		switch {
		case v.Record == nil && !v.Unreadable, v.Record.isClaim():
			c.vacant |= vote.Only(i)
		case b.accepts(i, v.Record):
			c.accepted |= vote.Only(i)
			b.names[i], b.tags[i] = v.Record.names(), v.Record.Tag()
			if r := v.Record; c.latest == nil || r.Generation > c.latest.Generation || r.Generation == c.latest.Generation && c.latest.Next == Any {
				c.latest = r
			}
		default:
			c.others |= vote.Only(i)
		}
	}
	for i, v := range views {
		if twin := b.twin(views, i); twin >= 0 {
			c.err = &TwinError{Masters: [2]string{b.nameOf(twin), b.nameOf(i)}}
		}
		if c.latest == nil || v.Record == nil || v.Record.isClaim() {
			continue
		}
		if v.Record.isSupersededBy(c.latest) {
			c.behind |= vote.Only(i)
		} else if c.others.Has(i) && v.Record.Generation >= c.latest.Generation {
			c.newer = true
		}
	}
	return c
}

// claim returns what to write if no master belongs to a set. First a majority of the masters is
// claimed for the Manager's set, and then they are opened. Two Managers that know the masters by
// different names claim them for sets that are not the same. Then that one goes on whose set comes
// first in order. If it does not seem to, the other one does.
func (b *Book) claim(views []View) []*Write {
	set, list := b.first(), b.lists[len(b.lists)-1]
	own, rivals, late := b.claimed(views, set)
	opens := vote.HasMajority(list, own) && !rivals && late&list == 0 //mutant:claim-rivals
	if !opens && rivals {
		if !b.outranks(views, set) {
			return nil
		}
		set.Generation, own = set.Generation+1, 0
	}
	writes := make([]*Write, len(views))
	for i := range list.Each() {
		if !views[i].Answered {
			continue
		}
		r := b.recordFor(i, set)
		switch {
		case r == nil || own.Has(i) && !opens:
		case own.Has(i) || !opens && (views[i].Record == nil || views[i].Record.Generation < set.Generation):
			if !opens {
				r = r.claim()
			}
			writes[i] = &Write{Expect: views[i].Record.Version(), Record: *r}
		}
	}
	return writes
}

// claimed returns the masters that are claimed for a set with the highest generation of all claims,
// which it gives to the set. rivals says that others claim masters with that generation, and late
// which masters they claim with a lower one.
func (b *Book) claimed(views []View, set *Record) (own vote.Set, rivals bool, late vote.Set) {
	for _, v := range views {
		if v.Record != nil {
			set.Generation = max(set.Generation, v.Record.Generation)
		}
	}
	for i, v := range views {
		switch r := v.Record; {
		case r == nil:
		case r.Generation < set.Generation:
			if r.Set != set.Set {
				late |= vote.Only(i)
			}
		case r.Set == set.Set:
			own |= vote.Only(i)
		default:
			rivals = true
		}
	}
	return own, rivals, late
}

// outranks reports whether a set comes before all others for which masters are claimed, or whether
// the claims are still those of the last time, so that nobody else goes on.
func (b *Book) outranks(views []View, set *Record) bool {
	first, claims := true, ""
	for _, v := range views {
		if r := v.Record; r != nil {
			first = first && set.Set <= r.Set
			claims += r.Version() + "\n"
		}
	}
	isStuck := claims == b.claims
	b.claims = claims
	return first || isStuck
}

// twin returns another master that is the same server, or -1.
func (b *Book) twin(views []View, master int) int {
	for i := range master {
		r, other := views[i].Record, views[master].Record
		if r != nil && other != nil && r.Name == other.Name && r.Set == other.Set && r.Next == other.Next {
			return i
		}
	}
	return -1
}

// nameOf returns the name of a master for people.
func (b *Book) nameOf(master int) string {
	if b.own[master] != "" || b.names[master] == nil {
		return b.own[master]
	}
	return b.names[master][0]
}

// nameByID gives masters that the Manager knows by no name that which they give themselves.
func (b *Book) nameByID(views []View) {
	for i, v := range views {
		if b.own[i] == "" && v.ID != "" {
			b.own[i] = "id:" + v.ID
		}
	}
}

// bind finds out what records call the Manager's sets. Usually they use the same names. Otherwise,
// somebody else has given the masters by other addresses. Then a set is one of the same size of
// which all masters that have a record say that they are in it. Some may have none, not answer, or
// be open for the set that came after it. Then it may be another set with some masters in common,
// unless all the addresses are other ones.
func (b *Book) bind(views []View) {
	for l := range b.lists {
		b.sets[l] = b.ownSet(l)
	}
	for l := len(b.lists) - 1; l >= 0; l-- {
		if b.mentioned(views, l, b.sets[l]) {
			continue
		}
		for i := range b.lists[l].Each() {
			if r := views[i].Record; r != nil {
				for _, s := range []Set{r.Set, r.Next} {
					if r.isClaim() || s == Any {
						continue
					}
					if s != "" && !slices.Contains(b.sets, s) && b.isAlias(views, l, s) {
						b.sets[l] = s
					}
				}
			}
		}
	}
}

// mentioned reports whether a record of a master in a list mentions a set.
func (b *Book) mentioned(views []View, list int, s Set) bool {
	for i := range b.lists[list].Each() {
		if r := views[i].Record; r != nil && s != "" && (r.Set == s || r.Next == s) {
			return true
		}
	}
	return false
}

// isAlias reports whether a list can be a set that has other names for its masters.
func (b *Book) isAlias(views []View, list int, s Set) bool {
	var found vote.Set
	seen, sameNames := map[string]bool{}, false
	for i := range b.lists[list].Each() {
		v := views[i]
		if !v.Answered {
			continue
		}
		if v.Record == nil && !v.Unreadable || v.Record.isClaim() && v.Record.Set != s {
			continue // it may yet become one of the set
		}
		if hasLeft(views, v.Record, s) {
			continue // it may have been one of the set
		}
		if v.Record == nil || v.Record.Set != s && v.Record.Next != s {
			return false
		}
		name := v.Record.nameIn(s)
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
		sameNames = sameNames || s.Has(b.own[i])
		found |= vote.Only(i)
	}
	return s.Len() == b.lists[list].Len() && (found == b.lists[list] || !sameNames && vote.HasMajority(b.lists[list], found))
}

// hasLeft reports whether a record is one of a declared change that left a set, and is done.
func hasLeft(views []View, r *Record, s Set) bool {
	return r != nil && !isSeal(r) && slices.ContainsFunc(views, func(v View) bool {
		return v.Record != nil && v.Record.Past == s && v.Record.Set == r.Set && v.Record.Generation == r.Generation //mutant:has-left
	})
}

// recordFor returns a record for a master that says the same as another one's, or nil if it is not
// known what the master is called in the set. A master that is only in the other set may be used by
// clients of both.
func (b *Book) recordFor(master int, like *Record) *Record {
	next := like.Next
	l := slices.Index(b.sets, like.Set)
	switch isMember := l >= 0 && b.lists[l].Has(master); {
	case isMember && next == Any: // all of the set have forgotten their records
		next = ""
	case !isMember && next == "":
		next = Any
	}
	r := b.recordIn(master, like.Set, next, like.Generation)
	if r != nil && next == "" {
		r.Past = like.Past
	}
	return r
}

// recordIn returns a record for a master, with the names that it has in the sets, or nil if it is
// in none of them.
func (b *Book) recordIn(master int, s, next Set, generation int64) *Record {
	return b.recordAs(master, b.nameIn(master, s.Has), s, next, generation)
}

// recordAs is recordIn for a master that has a name in the first set; "" for none.
func (b *Book) recordAs(master int, name string, s, next Set, generation int64) *Record {
	r := &Record{Generation: generation, Name: name, Set: s, Next: next}
	inNext := b.nameIn(master, func(name string) bool { return next == Any || next.Has(name) })
	switch {
	case name == "":
		r.Name = inNext
	case next != Any && !next.Has(name):
		r.As = inNext
	}
	if r.Name == "" {
		return nil
	}
	return r
}

// nameIn returns a name of a master that a set has, or "". It prefers those in its record.
func (b *Book) nameIn(master int, has func(name string) bool) string {
	for _, name := range append(slices.Clone(b.names[master]), b.own[master]) {
		if name != "" && has(name) {
			return name
		}
	}
	return ""
}
