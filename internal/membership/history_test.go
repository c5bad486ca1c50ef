package membership_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/seedshare"
	"github.com/quorumlock/redlock/internal/vote"
)

// server is a model of a master: its record and its lease.
type server struct {
	record *membership.Record
	lease  int64 // until when
	locked int64 // until when, by one Manager of those that know the masters by different names
}

// history is clients and changes of masters at random, one request to one master at a time. Time is
// in milliseconds, and all masters' clocks tell it.
type history struct {
	r       *rand.Rand
	now     int64
	masters []*server
	old     vote.Set
	young   vote.Set
	third   vote.Set // a second new set; 0 for none
	held    []heldLock
	longest int64
	missing int // of ten requests
	changes int // of ten things that somebody begins
	aliases int // of ten Managers that know the masters by other names
}

// heldLock is a lock of clients of one set alone.
type heldLock struct {
	of       string
	from, to int64
}

func (h *history) tick() { h.now += h.r.Int64N(3) }

// write is what masters do with a Write: compare, and set, in one step.
func (h *history) write(i int, w *membership.Write) {
	m := h.masters[i]
	if m.record.Version() != w.Expect || w.Idle && m.lease > h.now {
		return
	}
	next := w.Record
	if m.record != nil {
		next.Over = m.record.Over
	}
	if m.record == nil || !m.record.Sealed() {
		next.Over = max(next.Over, m.lease, h.now)
	}
	m.record = &next
}

func (h *history) view(i int) membership.View {
	m := h.masters[i]
	return membership.View{Answered: true, Record: m.record, Now: h.now, Lease: time.Duration(m.lease-h.now) * time.Millisecond}
}

// manager is a Manager of one set, or of two.
type manager struct {
	h       *history
	name    string
	masters []int // in the Manager's order
	system  vote.System
	book    *membership.Book
	change  membership.Change
	todo    []func() // requests to single masters that are on their way
	views   []membership.View
}

func (h *history) manager(name string, set, other vote.Set) *manager {
	m := &manager{h: h, name: name}
	index := map[int]int{}
	for _, s := range []vote.Set{set, other} {
		for i := range s.Each() {
			if _, known := index[i]; !known {
				index[i] = len(m.masters)
				m.masters = append(m.masters, i)
			}
		}
	}
	local := func(s vote.Set) (l vote.Set) {
		for i := range s.Each() {
			l |= vote.Only(index[i])
		}
		return l
	}
	if other == 0 {
		other = set
	}
	m.system = vote.Joint(local(set), local(other))
	prefix := "m"
	if h.r.IntN(10) < h.aliases {
		prefix = fmt.Sprintf("x%d.", h.r.IntN(3))
	}
	var names []string
	for _, i := range m.masters {
		names = append(names, fmt.Sprint(prefix, i))
	}
	m.book = membership.NewBook(m.system, names)
	return m
}

// learn asks the masters one after the other, and writes what follows.
func (m *manager) learn(also func()) {
	m.views = make([]membership.View, len(m.masters))
	for l := range m.masters {
		if m.h.r.IntN(10) >= m.h.missing {
			m.todo = append(m.todo, func() { m.views[l] = m.h.view(m.masters[l]) })
		}
	}
	m.todo = append(m.todo, func() { m.send(m.book.Learn(m.views)) })
	if also != nil {
		m.todo = append(m.todo, also)
	}
}

func (m *manager) send(writes []*membership.Write) {
	for l, w := range writes {
		if w != nil && m.h.r.IntN(10) >= m.h.missing {
			m.todo = append(m.todo, func() { m.h.write(m.masters[l], w) })
		}
	}
}

// step makes a step of a change.
func (m *manager) step() {
	m.learn(func() { m.send(m.change.Step(m.book, m.views).Writes) })
}

// acquire asks the masters for a lock, one after the other.
func (m *manager) acquire() {
	start, length := m.h.now, 1+m.h.r.Int64N(m.h.longest)
	var granted vote.Set
	for l, i := range m.masters {
		m.todo = append(m.todo, func() {
			s := m.h.masters[i]
			if s.record == nil || s.record.Tag() != m.book.Tag(l) {
				if !m.book.Saw(l, s.record) {
					return
				}
			}
			s.lease = max(s.lease, m.h.now+length)
			if m.h.aliases > 0 {
				if s.locked > m.h.now {
					return
				}
				s.locked = m.h.now + length
			}
			granted |= vote.Only(l)
		})
	}
	m.todo = append(m.todo, func() {
		if m.system.HasQuorum(granted) && m.h.now < start+length {
			m.h.held = append(m.h.held, heldLock{m.name, m.h.now, start + length})
		}
	})
}

// run runs the history. It returns the locks of clients of one set that exclude each other.
func (h *history) run(steps int, actors []*manager) {
	for range steps {
		m := actors[h.r.IntN(len(actors))]
		if h.tick(); len(m.todo) > 0 {
			next := m.todo[0]
			m.todo = m.todo[1:]
			next()
			continue
		}
		switch what := h.r.IntN(10); {
		case what < h.changes && (m.name == "joint" || m.name == "back" || m.change.Idle):
			m.step()
		case what <= h.changes:
			m.learn(nil)
		default:
			m.acquire()
		}
	}
}

// overlaps returns the locks that must not exist at the same time. If all Managers know the masters
// by the same names, clients of one set alone hold nothing while those of another one do. By other
// names, a set may be taken for another one, as long as every two locks have a master in common.
func (h *history) overlaps() (found []string) {
	for i, a := range h.held {
		for _, b := range h.held[i+1:] {
			isAlone := a.of != b.of && slices.Contains(alone, a.of) && slices.Contains(alone, b.of)
			if (h.aliases > 0 || isAlone) && a.from < b.to && b.from < a.to {
				found = append(found, fmt.Sprintf("%+v and %+v", a, b))
			}
		}
	}
	return found
}

// alone is the clients that use one set alone.
var alone = []string{"old", "young", "third"}

func newHistory(seed uint64) (*history, []*manager) {
	h := &history{r: rand.New(rand.NewPCG(seed, 0)), longest: 60, missing: 0}
	h.longest, h.missing, h.changes = 20+h.r.Int64N(300), h.r.IntN(5), 2+h.r.IntN(6)
	h.aliases = max(0, h.r.IntN(12)-6)
	n := 2 + h.r.IntN(5)
	h.old = vote.Majority(1 + h.r.IntN(n)).All()
	from := h.r.IntN(h.old.Len() + 1)
	if from == n {
		from--
	}
	h.young = vote.Majority(n).All() &^ (vote.Only(from) - 1)
	for range n {
		h.masters = append(h.masters, &server{})
	}
	for i := range h.old.Each() { // as the first clients of the old set left them
		h.masters[i].record = &membership.Record{Generation: 1, Name: fmt.Sprint("m", i), Set: names(h.old)}
	}
	// Clients of the new set alone that find only masters without a record cannot know better.
	if added := h.young &^ h.old; vote.HasMajority(h.young, added) || h.r.IntN(2) == 0 {
		for i := range added.Each() {
			h.masters[i].record = &membership.Record{Generation: 1, Name: fmt.Sprint("m", i), Set: names(h.old), Next: membership.Any}
		}
	}
	idle := h.manager("young", h.young, 0)
	idle.change.Idle = true
	actors := []*manager{
		h.manager("old", h.old, 0), h.manager("old", h.old, 0), idle, h.manager("young", h.young, 0),
		h.manager("joint", h.young, h.old), h.manager("joint", h.young, h.old),
	}
	for range h.r.IntN(3) {
		actors = append(actors, h.manager("back", h.old, h.young))
	}
	if h.r.IntN(2) == 0 { // a second change of the old set
		h.third = vote.Set(1+h.r.IntN(1<<n-1)) | h.old&^vote.Only(h.r.IntN(n))
		if h.third != h.young && h.third != h.old && !vote.HasMajority(h.third, h.third&^h.old) {
			actors = append(actors, h.manager("third", h.third, 0), h.manager("joint", h.third, h.old), h.manager("back", h.old, h.third))
		}
	}
	return h, actors
}

func names(s vote.Set) membership.Set {
	var all []string
	for i := range s.Each() {
		all = append(all, fmt.Sprint("m", i))
	}
	return membership.SetOf(all)
}

// No client of the new set holds a lock at the same time as one of the old set, whatever changes
// are under way at the same time.
func TestSetsExcludeEachOther(t *testing.T) {
	held := map[string]int{}
	for seed := range uint64(3000 / seedshare.Share) {
		h, actors := newHistory(seed)
		if h.old == h.young {
			continue
		}
		h.run(3000, actors)
		require.Empty(t, h.overlaps(), "seed %d", seed)
		for _, l := range h.held {
			held[l.of]++
		}
	}
	t.Log(held)
	for _, who := range []string{"old", "joint", "young", "third", "back"} {
		assert.Positive(t, held[who], who)
	}
}
