package membership

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Change is a change of masters to a Manager's first set. The zero value has not begun.
type Change struct {
	// Idle begins the change only if everything is over already that the masters have granted, and
	// nobody has declared that the set is given up.
	Idle bool
}

// Step is what to do next in a change.
type Step struct {
	Writes []*Write      // by master; nil for none
	Wait   time.Duration // what the old set has granted is over by then
	Lack   string        // why the change cannot go on now; "" if it can
	Done   bool
}

// Step decides what to do next, by what the masters say. Learn must have been told the same before.
// Others may change the set at the same time.
func (c *Change) Step(b *Book, views []View) Step {
	p := &plan{book: b, views: views, idle: c.Idle, target: b.sets[0], into: b.lists[0]}
	p.look()
	switch {
	case p.target == "":
		return Step{Lack: "not all masters have answered, and the others have no names of their own"}
	case p.answered == 0:
		return Step{Lack: "no master has answered"}
	case p.isOpen():
		return p.follow()
	case p.third != nil:
		return Step{Lack: fmt.Sprintf("others change the set from %v to %v; finish that change, or take it back, first", p.third.Set, p.third.Next)}
	case p.seal == nil:
		if lack := p.obstacle(); lack != "" {
			return Step{Lack: lack}
		}
		p.seal = &Record{Generation: p.highest + 1, Set: p.from, Next: p.target} //mutant:change-generation
	}
	return p.sealed()
}

// plan is a step in the making.
type plan struct {
	book   *Book
	views  []View
	idle   bool
	target Set
	into   vote.Set // the masters of target

	answered vote.Set
	highest  int64   // the highest generation of a record
	open     *Record // {target} of the highest generation
	from     Set
	seal     *Record // {from -> target} of the highest generation of all, if there is one
	third    *Record // {one set -> another} of a change that is not between from and target
}

// look finds out where the change is.
func (p *plan) look() {
	var sealed *Record
	var others []*Record // of other sets alone
	for i := range p.views {
		v := &p.views[i]
		if !v.Answered {
			continue
		}
		p.answered |= vote.Only(i)
		r := v.Record
		if r == nil {
			continue
		}
		p.highest = max(p.highest, r.Generation)
		switch {
		case r.Next == Any, r.isClaim():
		case r.Sealed():
			sealed = later(sealed, r)
		case r.Set == p.target:
			p.open = later(p.open, r)
		default:
			others = append(others, r)
		}
	}
	p.from = p.leaves(sealed, others)
	if sealed != nil && sealed.Generation == p.highest && sealed.Set == p.from && sealed.Next == p.target && !p.hasRival(sealed) {
		p.seal = sealed
	}
	for _, v := range p.views {
		if r := v.Record; v.Answered && isSeal(r) && !p.isBetween(r) && !p.isDone(r) {
			p.third = r //mutant:third-set
		}
	}
}

// leaves returns the set that the change leaves, or "" if that is not known. A Manager of two sets
// leaves the other one. For a Manager of one set, the records say which one it is. Of several sets,
// it is that of the latest record, and rather one that may hold locks.
func (p *plan) leaves(sealed *Record, others []*Record) Set {
	if sets := p.book.sets; len(sets) > 1 {
		return sets[1] //mutant:leaves-other-set
	}
	isLatest := sealed != nil && sealed.Generation == p.highest
	switch {
	case isLatest && sealed.Next == p.target:
		return sealed.Set
	case isLatest && sealed.Set == p.target:
		return sealed.Next
	case len(others) > 0:
		return slices.MaxFunc(others, p.compareOthers).Set
	case sealed != nil && sealed.Set == p.target:
		return sealed.Next
	case sealed != nil:
		return sealed.Set
	}
	return ""
}

func (p *plan) compareOthers(a, b *Record) int {
	inUse := func(r *Record) int {
		if p.isOver(r.Set) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(inUse(a), inUse(b)), cmp.Compare(a.Set, b.Set))
}

// isBetween reports whether a change is between the two sets of this one.
func (p *plan) isBetween(r *Record) bool {
	return r.Set == p.from && r.Next == p.target || r.Set == p.target && r.Next == p.from
}

// isDone reports whether a change to the set that this one leaves is done, so that this one could
// begin. It only missed some masters.
func (p *plan) isDone(seal *Record) bool {
	return p.seal != nil && seal.Next == p.from && seal.Generation < p.seal.Generation //mutant:third-set-done
}

// isSeal reports whether a master is sealed by a change.
func isSeal(r *Record) bool { return r != nil && r.Sealed() && r.Next != Any && !r.isClaim() }

// hasRival reports whether another change has sealed masters with the generation of a seal. Then
// neither may find enough of them, and a new one is needed.
func (p *plan) hasRival(seal *Record) bool {
	return slices.ContainsFunc(p.views, func(v View) bool {
		r := v.Record
		return v.Answered && isSeal(r) && r.Generation == seal.Generation && (r.Set != seal.Set || r.Next != seal.Next)
	})
}

func later(a, b *Record) *Record {
	if a == nil || b.Generation > a.Generation {
		return b
	}
	return a
}

// isOpen reports whether some master has been opened, so that the others may follow. A record of
// the new set alone does not say so by itself: the first clients of that set may have made it.
func (p *plan) isOpen() bool {
	switch {
	case p.open == nil || p.open.Generation != p.highest:
		return false
	case p.from == "" || p.open.Past == p.from || p.seal != nil:
		return true
	case len(p.book.sets) == 1:
		return vote.HasMajority(p.into, p.opened())
	}
	return !p.mayLive() //mutant:open-beside
}

// opened returns the masters of the new set that are open.
func (p *plan) opened() (open vote.Set) {
	for i := range (p.into & p.answered).Each() {
		if r := p.views[i].Record; r != nil && !r.Sealed() && r.Set == p.target && r.Generation == p.open.Generation {
			open |= vote.Only(i)
		}
	}
	return open
}

// mayLive reports whether a majority of the Manager's other set, which the change leaves, may have
// records of that set alone. What is open for the new set does not, whatever it was called before.
func (p *plan) mayLive() bool {
	list := p.book.lists[1]
	left := list
	for i := range (list & p.answered).Each() {
		switch r := p.views[i].Record; {
		case r == nil:
		case r.Set == p.target && !isSeal(r), r.nameIn(p.from) != "" && (r.Set != p.from || r.Sealed()): //mutant:left-by-other-names
			left &^= vote.Only(i)
		}
	}
	return vote.HasMajority(list, left)
}

func majorityOf(s Set) int { return s.Len()/2 + 1 }

// follow is the step once some master has been opened: the others of the set follow.
func (p *plan) follow() (s Step) {
	open := p.opened()
	s.Writes = make([]*Write, len(p.views))
	for i := range (p.into & p.answered &^ open).Each() {
		s.Writes[i] = p.opening(i, p.open.Generation, p.open.Past)
	}
	if s.Done = vote.HasMajority(p.into, open); !s.Done && !s.hasWrites() {
		s.Lack = lackMasters((p.into & p.answered).Len(), p.target)
	}
	return s
}

func (s *Step) hasWrites() bool {
	return slices.ContainsFunc(s.Writes, func(w *Write) bool { return w != nil })
}

// obstacle returns why the change cannot begin, or "".
func (p *plan) obstacle() string {
	if p.from == "" {
		return "the records do not say which set the masters leave; give the Manager that one, too (Options.Joint); " + unused
	}
	var leaving vote.Set
	for i := range p.answered.Each() {
		if p.book.recordIn(i, p.from, "", 0) != nil {
			leaving |= vote.Only(i)
		}
	}
	switch into := p.into & p.answered; {
	case !slices.ContainsFunc(p.views, p.tellsOf):
		return fmt.Sprintf("no record says that clients use the set %v", p.from)
	case !vote.HasMajority(p.into, into):
		return lackMasters(into.Len(), p.target)
	case leaving.Len() < majorityOf(p.from): //mutant:seal-needs-old-set
		return lackMasters(leaving.Len(), p.from)
	case p.idle && p.isGivenUp():
		return "the set was given up for another one"
	case p.idle && !p.isOver(p.from):
		return "clients of the other set may hold locks"
	}
	for i := range (p.into & p.answered).Each() {
		if r := p.views[i].Record; p.isForeign(r) && !p.isFree(i) { //mutant:foreign-master
			return p.book.conflict(p.views, vote.Only(i)).Error()
		}
	}
	return ""
}

// tellsOf reports whether a master says that the old set is in use, or about to be.
func (p *plan) tellsOf(v View) bool {
	r := v.Record
	return v.Answered && r != nil && (r.Set == p.from || isSeal(r) && p.isBetween(r)) //mutant:old-set-recorded
}

func lackMasters(answered int, of Set) string {
	return fmt.Sprintf("%d of the %d masters of the set %v have answered", answered, of.Len(), of)
}

// isGivenUp reports whether somebody has declared that the new set was left.
func (p *plan) isGivenUp() bool {
	return slices.ContainsFunc(p.views, func(v View) bool {
		r := v.Record
		return v.Answered && r != nil && r.Past == p.target && (p.open == nil || r.Generation >= p.open.Generation) //mutant:given-up
	})
}

// isForeign reports whether a record is of clients with which this change has nothing to do.
func (p *plan) isForeign(r *Record) bool {
	return r != nil && !r.isClaim() && !isSeal(r) && r.Set != p.from && r.Set != p.target
}

// isFree reports whether a master with a foreign record may be taken from its clients, because they
// hold nothing there. It may if it has missed a change. It also may if its set has no majority
// without it, so that its clients can do nothing anymore: then somebody has only tried the master.
func (p *plan) isFree(master int) bool {
	v := &p.views[master]
	missed := slices.ContainsFunc(p.views, func(other View) bool {
		r := other.Record
		return other.Answered && r != nil && (r.Set == p.from || r.Set == p.target) && v.Record.isSupersededBy(r)
	})
	s := v.Record.Set
	return v.isIdle() && (missed || v.Record.nameIn(s) != "" && s.Len()-1 < majorityOf(s)) //mutant:foreign-free
}

// isIdle reports whether everything is over that a master has granted.
func (v *View) isIdle() bool { return v.Lease <= 0 && v.Quarantine <= 0 }

// isOver reports whether everything is over that a set's masters have granted, as far as they
// answer, and a majority does. If none of its masters has the name that the Manager knows, it may
// be the same set by other names.
func (p *plan) isOver(s Set) bool {
	if !slices.ContainsFunc(p.book.own, s.Has) {
		return false
	}
	seen := map[string]bool{}
	for i := range p.answered.Each() {
		v := &p.views[i]
		if v.Record == nil || v.Record.nameIn(s) == "" {
			continue
		}
		if !v.isIdle() {
			return false
		}
		seen[v.Record.nameIn(s)] = true
	}
	return len(seen) >= majorityOf(s)
}

// sealed is the step while masters are being sealed, and until some of them are opened.
func (p *plan) sealed() (s Step) {
	s.Writes = make([]*Write, len(p.views))
	for i := range p.answered.Each() {
		if !p.isSealed(i) {
			s.Writes[i] = p.sealing(i)
		}
	}
	left, n := p.leases()
	switch {
	case n < majorityOf(p.from): //mutant:seal-majority
		if !s.hasWrites() {
			s.Lack = lackMasters(n, p.from)
		}
		return s
	case left > 0:
		return Step{Wait: left}
	}
	past := p.from
	if p.idle { // nobody has said that it is given up
		past = ""
	}
	s.Writes = make([]*Write, len(p.views))
	for i := range (p.into & p.answered).Each() { // what is not sealed may be brought forward
		s.Writes[i] = p.opening(i, p.seal.Generation, past)
	}
	return s
}

// isSealed reports whether the change has sealed a master.
func (p *plan) isSealed(master int) bool {
	r := p.views[master].Record
	return r != nil && r.Generation == p.seal.Generation && r.Set == p.seal.Set && r.Next == p.seal.Next
}

// leases returns when the leases of a majority of the old set are over, of masters that are sealed,
// and how many these are. A master that may have forgotten its lease counts with the longest one.
func (p *plan) leases() (left time.Duration, masters int) {
	all, longest, forgot := map[string]time.Duration{}, time.Duration(0), map[string]bool{}
	for i := range p.answered.Each() {
		v := &p.views[i]
		if v.Record == nil || v.Record.nameIn(p.from) == "" {
			continue
		}
		longest = max(longest, v.Lease)
		if name := v.Record.nameIn(p.from); p.isSealed(i) {
			all[name] = max(time.Duration(v.Record.Over-v.Now)*time.Millisecond, v.Quarantine) //mutant:seal-waits
			longest, forgot[name] = max(longest, all[name]), v.Forgot
		}
	}
	var lefts []time.Duration
	for name, d := range all {
		if forgot[name] {
			d = longest //mutant:seal-forgot
		}
		lefts = append(lefts, d)
	}
	slices.Sort(lefts)
	if n := majorityOf(p.from); n <= len(lefts) {
		left = lefts[n-1]
	}
	return left, len(lefts)
}

// sealing returns what to write to seal a master, or nil for nothing. A master of the old set keeps
// its name.
func (p *plan) sealing(master int) *Write {
	r := p.views[master].Record
	if r != nil && r.Generation >= p.seal.Generation {
		return nil
	}
	name := p.book.nameIn(master, p.from.Has)
	if r != nil {
		name = cmp.Or(r.nameIn(p.from), name)
	}
	return p.write(master, p.book.recordAs(master, name, p.from, p.target, p.seal.Generation))
}

// opening returns what to write to open a master, or nil for nothing.
func (p *plan) opening(master int, generation int64, past Set) *Write {
	next := p.book.recordIn(master, p.target, "", generation)
	if next != nil {
		next.Past = past
	}
	return p.write(master, next)
}

// write returns what to write to a master. What belongs to others is left alone until they hold
// nothing there.
func (p *plan) write(master int, next *Record) *Write {
	r := p.views[master].Record
	isForeign := p.isForeign(r)
	if next == nil || isForeign && !p.isFree(master) {
		return nil
	}
	idle := isForeign || p.idle && r != nil && !r.Sealed() //mutant:foreign-idle
	return &Write{Expect: r.Version(), Record: *next, Idle: idle}
}
