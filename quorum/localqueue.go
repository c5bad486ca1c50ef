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
	byKey map[string]*localQueue
}

// localQueue is the queue for one lock. It exists while somebody contends for the lock.
type localQueue struct {
	waiting   list.List     // of chan struct{}, closed when the turn has come
	contender contender     // whose turn it is; nil until it contends
	failure   *AttemptError // of the last attempt in the queue; nil at first
}

// contender is the waiter whose turn it is, and all that the queues know of it.
type contender interface {
	// why returns why the contender does not have the lock yet. last is the last attempt's failure,
	// or nil.
	why(last *AttemptError) *AttemptError
}

func newLocalQueues(c *contention, done <-chan struct{}) *localQueues {
	return &localQueues{contention: c, done: done, byKey: map[string]*localQueue{}}
}

// takeTurn waits for the caller's turn to contend for a lock. It returns false if ctx ended or the
// Manager was closed first. Otherwise the caller must pass the turn on.
func (s *localQueues) takeTurn(ctx context.Context, key string) (*localQueue, bool) {
	q, place := s.join(key)
	if place == nil {
		return q, true
	}
	select {
	case <-place.Value.(chan struct{}):
		return q, true
	case <-ctx.Done():
	case <-s.done:
	}
	if s.withdraw(q, place) {
		return q, false
	}
	s.pass(key, q, clock.Never) // the turn came at the same time
	return q, false
}

// join returns the lock's queue and the caller's place in it. The place is nil if it is the
// caller's turn at once.
func (s *localQueues) join(key string) (*localQueue, *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.byKey[key]; ok { //mutant:local-contender
		return q, q.waiting.PushBack(make(chan struct{})) //mutant:local-order
	}
	q := &localQueue{}
	s.byKey[key] = q
	return q, nil
}

// contended reports whether a caller contends for a lock.
func (s *localQueues) contended(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key] != nil
}

// withdraw removes a place from the queue. It returns false if the place's turn has already come.
func (s *localQueues) withdraw(q *localQueue, place *list.Element) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-place.Value.(chan struct{}):
		return false
	default:
		q.waiting.Remove(place)
		return true
	}
}

// pass wakes the next caller. acquired is when the lock was acquired, or Never. If the lock was
// acquired, the next caller skips its first attempt. If that caller joins or leaves during pass,
// the guess may cost a round trip.
func (s *localQueues) pass(key string, q *localQueue, acquired clock.Instant) {
	if acquired != clock.Never && s.hasNext(q) {
		s.contention.mark(key, acquired)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := q.waiting.Front()
	if next == nil {
		delete(s.byKey, key)
		return
	}
	q.contender = nil
	close(q.waiting.Remove(next).(chan struct{}))
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
