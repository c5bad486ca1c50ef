package quorum

import (
	"container/list"
	"context"
	"sync"

	"github.com/quorumlock/redlock/clock"
)

// localQueues is where the callers of Acquire in this process wait for their turn. One caller per
// lock contends on the masters. The others wait behind it, first come, first served, and cost
// nothing but memory.
type localQueues struct {
	contention *contention
	done       <-chan struct{} // closed when the Manager is

	mu    sync.Mutex // guards all below, and every localQueue
	byKey map[localKey]*localQueue
}

// localKey is what a localQueue is for. Plain locks and those of ordered kinds queue apart.
type localKey struct {
	lock    string // its key
	ordered bool
}

// localQueue is the queue for one lock. It exists while somebody contends for the lock.
type localQueue struct {
	waiting    list.List     // of place
	contending int           // callers whose turn it is
	joining    bool          // one of them has yet to call joined or pass
	contender  contender     // whose turn it is; nil until it contends
	failure    *AttemptError // of the last attempt in the queue; nil at first
}

// place is a caller's place in a localQueue.
type place struct {
	turn  chan struct{} // closed when the turn has come
	limit int           // how many callers may contend
}

// contender is the waiter whose turn it is, and all that the queues know of it.
type contender interface {
	// why returns why the contender does not have the lock yet. last is the last attempt's failure,
	// or nil.
	why(last *AttemptError) *AttemptError
}

func newLocalQueues(c *contention, done <-chan struct{}) *localQueues {
	return &localQueues{contention: c, done: done, byKey: map[localKey]*localQueue{}}
}

// takeTurn waits for the caller's turn to contend for a lock. So many may contend at once, but not
// before the last one has called joined. It returns false if ctx ended or the Manager was closed
// first. Otherwise the caller must pass the turn on.
func (s *localQueues) takeTurn(ctx context.Context, key localKey, limit int) (*localQueue, bool) {
	q, mine := s.join(key, limit)
	if mine == nil {
		return q, true
	}
	select {
	case <-mine.Value.(place).turn:
		return q, true
	case <-ctx.Done():
	case <-s.done:
	}
	if s.withdraw(q, mine) {
		return q, false
	}
	s.pass(key, q, clock.Never) // the turn came at the same time
	return q, false
}

// join returns the lock's queue and the caller's place in it. The place is nil if it is the
// caller's turn at once.
func (s *localQueues) join(key localKey, limit int) (*localQueue, *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.byKey[key]
	if !ok {
		q = &localQueue{}
		s.byKey[key] = q
	}
	if q.joining || q.contending >= limit || q.waiting.Len() > 0 { //mutant:local-contender
		return q, q.waiting.PushBack(place{make(chan struct{}), limit}) //mutant:local-order
	}
	q.joining = true
	q.contending++
	return q, nil
}

// contended reports whether a caller contends for a lock.
func (s *localQueues) contended(key localKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key] != nil
}

// withdraw removes a place from the queue. It returns false if the place's turn has already come.
func (s *localQueues) withdraw(q *localQueue, mine *list.Element) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-mine.Value.(place).turn:
		return false
	default:
		q.waiting.Remove(mine)
		return true
	}
}

// pass wakes the next caller. acquired is when the lock was acquired, or Never. If the lock was
// acquired, the next caller skips its first attempt. If that caller joins or leaves during pass,
// the guess may cost a round trip.
func (s *localQueues) pass(key localKey, q *localQueue, acquired clock.Instant) {
	if acquired != clock.Never && s.hasNext(q) {
		s.contention.mark(key.lock, acquired)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.contender, q.joining = nil, false
	q.contending--
	s.next(key, q)
}

// joined says that the caller whose turn came last is in the masters' queues, so the next one may
// follow. A caller that calls it ends its turn with leave instead of pass.
func (s *localQueues) joined(key localKey, q *localQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.joining = false
	s.next(key, q)
}

// leave ends the turn of a caller that has joined.
func (s *localQueues) leave(key localKey, q *localQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.contending--
	s.next(key, q)
}

// next wakes the next caller if its turn has come. The caller must hold mu.
func (s *localQueues) next(key localKey, q *localQueue) {
	first := q.waiting.Front()
	switch {
	case first == nil && q.contending == 0:
		delete(s.byKey, key)
	case first != nil && !q.joining && q.contending < first.Value.(place).limit:
		q.joining = true
		q.contending++
		close(q.waiting.Remove(first).(place).turn)
	}
}

func (s *localQueues) hasNext(q *localQueue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return q.waiting.Len() > 0
}

// contend records whose turn it is. It returns the failure of the last attempt.
func (s *localQueues) contend(q *localQueue, c contender) *AttemptError {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.contender = c //mutant:contender
	return q.failure
}

// failed records why the contender's last attempt failed, for callers behind it that give up.
func (s *localQueues) failed(q *localQueue, failure *AttemptError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.failure = failure
}

// why returns why the contender does not have the lock yet, or nil if that is not known.
func (s *localQueues) why(q *localQueue) *AttemptError {
	s.mu.Lock()
	c, failure := q.contender, q.failure
	s.mu.Unlock()
	if c == nil {
		return failure
	}
	return c.why(failure)
}
