package quorum

import (
	"slices"
	"sync"
)

// Held returns the locks that this Manager holds, in the order in which it acquired them: those that
// are neither over nor, for Once, left to expire.
func (m *Manager) Held() []*Lock {
	all := m.engine.held.all()
	return slices.DeleteFunc(all, func(l *Lock) bool { return l.Err() != nil })
}

// heldLocks is a list of the locks that a Manager holds. A lock is removed when it is found to be
// over. Nobody may ever look at a lock that is left to expire, so now and then add looks at all.
type heldLocks struct {
	mu    sync.Mutex // guards all below and every element
	first *Lock
	last  *Lock
	n     int
	limit int // the number of locks at which to look for those that are over
}

// element is a lock's place in the list.
type element struct {
	next, prev *Lock
	listed     bool
}

// fewHeld is a number of locks too small to be worth looking through.
const fewHeld = 1024

// add adds a lock. If the list has grown a lot, add looks which locks are over.
func (h *heldLocks) add(l *Lock) {
	if h.push(l) {
		for _, l := range h.all() {
			_ = l.Err() // removes it if it is over
		}
		h.grow()
	}
}

// push appends a lock, and reports whether it is time to look for locks that are over.
func (h *heldLocks) push(l *Lock) (look bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.held = element{prev: h.last, listed: true}
	if h.last == nil {
		h.first = l
	} else {
		h.last.held.next = l
	}
	h.last = l
	h.n++
	return h.n > max(h.limit, fewHeld)
}

// grow sets the limit, after a look, to twice the number of locks left.
func (h *heldLocks) grow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit = 2 * h.n
}

// remove removes a lock, if it is in the list.
func (h *heldLocks) remove(l *Lock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := l.held
	if !e.listed {
		return
	}
	l.held = element{}
	h.n--
	if e.prev == nil {
		h.first = e.next
	} else {
		e.prev.held.next = e.next
	}
	if e.next == nil {
		h.last = e.prev
	} else {
		e.next.held.prev = e.prev
	}
}

// all returns the locks in the list. Some may be over.
func (h *heldLocks) all() []*Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Lock, 0, h.n)
	for l := h.first; l != nil; l = l.held.next {
		all = append(all, l)
	}
	return all
}
