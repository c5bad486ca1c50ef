package quorum

import "sync"

// Held returns the locks that this Manager holds, in the order in which it acquired them: those
// that are neither over nor, for Once, left to expire.
func (m *Manager) Held() []*Lock {
	var held []*Lock
	for _, item := range m.engine.held.all() {
		if item.Err() == nil {
			held = append(held, item.(*Lock))
		}
	}
	return held
}

// heldLocks is a list of the locks that a Manager holds. A lock is removed when it is found to be
// over. Nobody may ever look at a lock that is left to expire, so now and then add looks at all.
type heldLocks struct {
	mu          sync.Mutex // guards all below and every element
	first, last *element
	n           int
	limit       int // the number of locks at which to look for those that are over
}

// element is a lock's place in the list.
type element struct {
	item       endable
	next, prev *element
	listed     bool
}

// endable is all that the list knows of a Lock.
type endable interface {
	// Err returns why the lock is over, or nil if it is not. It removes a lock that is over.
	Err() error
}

// fewHeld is a number of locks too small to be worth looking through.
const fewHeld = 1024

// add adds a lock. If the list has grown a lot, add looks which locks are over.
func (h *heldLocks) add(e *element) {
	if !h.push(e) {
		return
	}
	for _, item := range h.all() {
		_ = item.Err()
	}
	h.grow()
}

// push appends a lock, and reports whether it is time to look for locks that are over.
func (h *heldLocks) push(e *element) (look bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.prev, e.listed = h.last, true
	if h.last == nil {
		h.first = e
	} else {
		h.last.next = e
	}
	h.last = e
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
func (h *heldLocks) remove(e *element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !e.listed {
		return
	}
	if h.n--; e.prev == nil {
		h.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		h.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.next, e.prev, e.listed = nil, nil, false
}

// all returns the locks in the list. Some may be over.
func (h *heldLocks) all() []endable {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]endable, 0, h.n)
	for e := h.first; e != nil; e = e.next {
		all = append(all, e.item)
	}
	return all
}
