package quorumtest

import (
	"cmp"
	"container/heap"
	"slices"
	"sync"
	"time"
)

// request is one command of a client; without args it says that the client has closed its end.
type request struct {
	conn *conn
	args []string
	due  time.Time // when it reaches the server
	rank uint64    // orders what is due at the same instant
}

// queue holds what clients have sent to one master and it has not executed yet, in the order of
// arrival. It is unbounded: a hung server's clients must not block earlier here than they would in
// a real one's socket buffers.
type queue struct {
	news bell

	mu     sync.Mutex // guards the fields below
	heap   requests
	ranks  uint64
	hangs  uint64 // how often the server was suspended
	paused bool
	closed bool
}

func newQueue() *queue {
	return &queue{news: newBell()}
}

// put adds a request that becomes due at r.due.
func (q *queue) put(r *request) {
	q.mu.Lock()
	q.ranks++
	r.rank = q.ranks
	heap.Push(&q.heap, r)
	q.mu.Unlock()
	q.news.ring()
}

// await blocks until a request is due, and returns false once the queue is closed.
func (q *queue) await() bool {
	for {
		due, closed := q.nextDue()
		if closed {
			return false
		}
		if !due.IsZero() && !due.After(time.Now()) {
			return true
		}
		q.news.wait(due)
	}
}

// nextDue returns when the first request is due, zero if there is none to wait for.
func (q *queue) nextDue() (due time.Time, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused && len(q.heap) > 0 {
		due = q.heap[0].due
	}
	return due, q.closed
}

// take removes the first request if it is due, else it returns nil.
func (q *queue) take() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.paused || len(q.heap) == 0 || time.Now().Before(q.heap[0].due) {
		return nil
	}
	return heap.Pop(&q.heap).(*request)
}

// pause keeps take from returning anything until resume.
func (q *queue) pause() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused {
		q.paused = true
		q.hangs++
	}
}

// resume ends a pause. What piled up is ordered as a continued Redis meets it: its event loop first
// reads all that lies in the sockets it knows, and only then those of connections it accepts now.
func (q *queue) resume() {
	q.mu.Lock()
	if q.paused {
		q.paused = false
		q.reorder(time.Now())
	}
	q.mu.Unlock()
	q.news.ring()
}

// reorder gives what is due at now the order of a continued server. Callers hold mu.
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

// boolCompare orders false before true.
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

// currentHang returns a number that differs for each pause, or 0 if there is none at the moment.
func (q *queue) currentHang() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.paused {
		return 0
	}
	return q.hangs
}

// clear forgets everything that was put.
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
	q.news.ring()
}

// requests is a heap: the earliest due comes first, and of those the lowest rank.
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
