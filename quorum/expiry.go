package quorum

import (
	"container/heap"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// expiryLoop looks at a lock when something is due: its window closes, or it needs a renewal or a
// repair. It is one goroutine per Manager, however many locks there are.
//
// While it watches any lock, the loop wakes at least every expiryTick. Go's timers stop while the
// machine sleeps, but the clock does not. A lock that expires during that sleep must not count as
// held for the rest of its timer.
type expiryLoop struct {
	clock  clock.Clock
	settle func() // see testhook.Hooks
	wake   signal

	mu      sync.Mutex // guards all below, and every watched
	watched watchedHeap
	closed  bool
}

const expiryTick = 100 * time.Millisecond

// minLook keeps the loop from spinning on a lock whose renewals take longer than its TTL allows.
const minLook = time.Millisecond

// watched is a lock's place in the loop.
type watched struct {
	item  expiring
	at    clock.Instant // when to look at it
	index int           // in the heap, plus 1; 0 while not in it
}

// expiring is all that the loop knows of a Lock.
type expiring interface {
	// tick does what is due. It returns when to look again, or false for never.
	tick(now clock.Instant) (next clock.Instant, again bool)
	// end ends the lock.
	end(why error)
}

func newExpiryLoop(c clock.Clock, settle func()) *expiryLoop {
	if settle == nil {
		settle = func() {}
	}
	return &expiryLoop{clock: c, settle: settle, wake: newSignal()}
}

// look schedules w to be looked at, at the given time or earlier. If the loop is already closed,
// look ends the lock.
func (x *expiryLoop) look(w *watched, at clock.Instant) {
	if !x.add(w, at) {
		w.item.end(errManagerClosed)
	}
}

func (x *expiryLoop) add(w *watched, at clock.Instant) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return false
	case w.index == 0:
		w.at = at
		heap.Push(&x.watched, w)
	case at < w.at:
		w.at = at
		heap.Fix(&x.watched, w.index-1)
	}
	if w.index == 1 {
		x.wake.raise()
	}
	return true
}

// forget takes w out of the loop.
func (x *expiryLoop) forget(w *watched) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.index > 0 {
		heap.Remove(&x.watched, w.index-1)
	}
}

// run looks at locks until stop is closed.
func (x *expiryLoop) run(stop <-chan struct{}) {
	loop(stop, x.wake, func() time.Duration {
		x.settle()
		now := x.clock.Now()
		for _, w := range x.due(now) {
			if next, again := w.item.tick(now); again {
				x.look(w, max(next, now.Add(minLook)))
			}
		}
		x.settle()
		return x.untilNext(now)
	})
}

// due takes out the locks whose time has come.
func (x *expiryLoop) due(now clock.Instant) (due []*watched) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.watched) > 0 && x.watched[0].at <= now {
		due = append(due, heap.Pop(&x.watched).(*watched))
	}
	return due
}

func (x *expiryLoop) untilNext(now clock.Instant) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.watched) == 0 {
		return clock.Never.Sub(0)
	}
	return min(x.watched[0].at.Sub(now), expiryTick) //mutant:expiry-tick
}

// close ends every watched lock.
func (x *expiryLoop) close() {
	x.mu.Lock()
	all := x.watched
	x.watched, x.closed = nil, true
	for _, w := range all {
		w.index = 0
	}
	x.mu.Unlock()
	for _, w := range all {
		w.item.end(errManagerClosed) //mutant:expiry-close
	}
}

// watchedHeap is a heap of locks; index 0 is the one to look at first.
type watchedHeap []*watched

func (h watchedHeap) Len() int           { return len(h) }
func (h watchedHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h watchedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push is part of heap.Interface.
func (h *watchedHeap) Push(x any) {
	w := x.(*watched)
	*h = append(*h, w)
	w.index = len(*h)
}

// Pop is part of heap.Interface.
func (h *watchedHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	last.index = 0
	return last
}
