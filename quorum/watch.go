package quorum

import (
	"container/heap"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// watch looks at locks when their time comes: one goroutine per Manager, however
// many locks there are.
//
// While there is a lock to look at it wakes every watchTick at the latest. Go's
// timers stand still while the machine sleeps; the clock does not, and a lock
// that ran out in that time must not be found held for the rest of its timer.
type watch struct {
	clock clock.Clock
	wake  chan struct{}

	mu     sync.Mutex // guards all below, and the watched fields of locks
	locks  lockHeap
	closed bool
}

const watchTick = 100 * time.Millisecond

// shortestLook keeps a lock whose renewals are slower than its TTL allows for
// from being looked at all the time.
const shortestLook = time.Millisecond

func newWatch(c clock.Clock) *watch { return &watch{clock: c, wake: make(chan struct{}, 1)} }

// look has l looked at, at the given time. The earlier of two times counts. A
// lock that comes too late, because the watch is closed, ends.
func (w *watch) look(l *Lock, at clock.Instant) {
	if !w.add(l, at) {
		l.end(errManagerClosed)
	}
}

func (w *watch) add(l *Lock, at clock.Instant) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return false
	case l.place == 0:
		l.look = at
		heap.Push(&w.locks, l)
	case at < l.look:
		l.look = at
		heap.Fix(&w.locks, l.place-1)
	}
	if l.place == 1 {
		w.nudge()
	}
	return true
}

// forget takes l out of the watch.
func (w *watch) forget(l *Lock) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.place > 0 {
		heap.Remove(&w.locks, l.place-1)
	}
}

func (w *watch) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run looks at locks until stop is closed.
func (w *watch) run(stop <-chan struct{}) {
	timer := time.NewTimer(clock.Never.Sub(0))
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-w.wake:
		case <-timer.C:
		}
		now := w.clock.Now()
		for _, l := range w.due(now) {
			if next, again := l.tick(now); again {
				w.look(l, max(next, now.Add(shortestLook)))
			}
		}
		timer.Reset(max(w.untilNext(now), shortestTimer))
	}
}

// due takes out the locks whose time has come.
func (w *watch) due(now clock.Instant) (due []*Lock) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.locks) > 0 && w.locks[0].look <= now {
		due = append(due, heap.Pop(&w.locks).(*Lock))
	}
	return due
}

func (w *watch) untilNext(now clock.Instant) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.locks) == 0 {
		return clock.Never.Sub(0)
	}
	return min(w.locks[0].look.Sub(now), watchTick)
}

// close ends every lock that is watched.
func (w *watch) close() {
	w.mu.Lock()
	locks := w.locks
	w.locks, w.closed = nil, true
	for _, l := range locks {
		l.place = 0
	}
	w.mu.Unlock()
	for _, l := range locks {
		l.end(errManagerClosed)
	}
}

// lockHeap has the lock to be looked at first at index 0. A lock's place is its
// index + 1, and 0 while it is not in the heap.
type lockHeap []*Lock

func (h lockHeap) Len() int           { return len(h) }
func (h lockHeap) Less(i, j int) bool { return h[i].look < h[j].look }
func (h lockHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

// Push is heap.Push's part; see heap.Interface.
func (h *lockHeap) Push(x any) {
	l := x.(*Lock)
	*h = append(*h, l)
	l.place = len(*h)
}

// Pop is heap.Pop's part; see heap.Interface.
func (h *lockHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	last.place = 0
	return last
}
