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
// over. Nobody may ever look at a lock that is left to expire, so each time a lock is added, two
// others are looked at, one after another through the whole list. So it never has many more locks
// than are held.
type heldLocks struct {
	mu          sync.Mutex // guards all below and every element
	first, last *element
	look        *element // the next one to look at
	n           int
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

// add adds a lock, and looks at two others.
func (h *heldLocks) add(e *element) {
	for _, item := range h.push(e) {
		if item != nil {
			_ = item.Err()
		}
	}
}

// push appends a lock. It returns the locks to look at.
func (h *heldLocks) push(e *element) (items [2]endable) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range items {
		if h.look == nil {
			h.look = h.first
		}
		if h.look != nil {
			items[i], h.look = h.look.item, h.look.next //mutant:held-look
		}
	}
	e.prev, e.listed = h.last, true
	if h.last == nil {
		h.first = e
	} else {
		h.last.next = e
	}
	h.last = e
	h.n++
	return items
}

// remove removes a lock, if it is in the list.
func (h *heldLocks) remove(e *element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !e.listed {
		return
	}
	if h.look == e {
		h.look = e.next
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
