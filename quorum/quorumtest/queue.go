package quorumtest

import (
	"cmp"
	"container/heap"
	"slices"
	"sync"
	"time"
)

// request is a command of a client. Without args, it says that the client has closed its end.
type request struct {
	conn *conn
	args []string
	due  time.Time // when it arrives at the server
	rank uint64    // orders requests that are due at the same instant
}

// queue holds the requests that a master has not executed yet, in order of arrival. It is
// unbounded: clients of a hung server must not block earlier than the socket buffers of a real
// server would make them.
type queue struct {
	changed signal

	mu     sync.Mutex // guards the fields below
	heap   requests
	ranks  uint64
	hangs  uint64 // number of pauses so far
	paused bool
	closed bool
}

func newQueue() *queue {
	return &queue{changed: newSignal()}
}

// put adds a request that becomes due at r.due.
func (q *queue) put(r *request) {
	q.mu.Lock()
	q.ranks++
	r.rank = q.ranks
	heap.Push(&q.heap, r)
	q.mu.Unlock()
	q.changed.send()
}

// await waits until a request is due. It returns false once the queue is closed.
func (q *queue) await() bool {
	for {
		due, closed := q.nextDue()
		if closed {
			return false
		}
		if !due.IsZero() && !due.After(time.Now()) {
			return true
		}
		q.changed.wait(due)
	}
}

// nextDue returns when the first request is due. It returns zero if there is no request to wait
// for.
func (q *queue) nextDue() (due time.Time, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused && len(q.heap) > 0 {
		due = q.heap[0].due
	}
	return due, q.closed
}

// take removes and returns the first request if it is due. Otherwise it returns nil.
func (q *queue) take() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.paused || len(q.heap) == 0 || time.Now().Before(q.heap[0].due) {
		return nil
	}
	return heap.Pop(&q.heap).(*request)
}

// pause makes take return nil until resume.
func (q *queue) pause() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused {
		q.paused = true
		q.hangs++
	}
}

// resume ends a pause. Pending requests get the order in which a resumed Redis sees them: its event
// loop first reads everything from the sockets that it knows, and then from the connections that it
// accepts now.
func (q *queue) resume() {
	q.mu.Lock()
	if q.paused {
		q.paused = false
		q.reorder(time.Now())
	}
	q.mu.Unlock()
	q.changed.send()
}

// reorder puts the requests that are due into the order of a resumed server. Callers hold mu.
func (q *queue) reorder(now time.Time) {
	first := map[*conn]uint64{}
	for _, r := range q.heap {
		if at, seen := first[r.conn]; !seen || r.rank < at {
			first[r.conn] = r.rank
		}
	}
	slices.SortFunc(q.heap, func(a, b *request) int {
		return cmp.Or(
			boolCompare(a.due.After(now), b.due.After(now)),
			boolCompare(a.conn.hang == q.hangs, b.conn.hang == q.hangs),
			cmp.Compare(first[a.conn], first[b.conn]),
			cmp.Compare(a.rank, b.rank),
		)
	})
	for _, r := range q.heap {
		q.ranks++
		r.rank = q.ranks
		if !r.due.After(now) {
			r.due = now
		}
	}
	heap.Init(&q.heap)
}

// boolCompare sorts false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// currentHang returns a number that identifies the current pause, or 0 if there is none.
func (q *queue) currentHang() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused {
		return 0
	}
	return q.hangs
}

// clear removes all requests.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heap = nil
}

// close makes await return false from now on.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.changed.send()
}

// requests is a heap, ordered by due time and then by rank.
type requests []*request

func (h requests) Len() int      { return len(h) }
func (h requests) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *requests) Push(x any)   { *h = append(*h, x.(*request)) }

func (h requests) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].rank < h[j].rank
	}
	return h[i].due.Before(h[j].due)
}

func (h *requests) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return r
}
