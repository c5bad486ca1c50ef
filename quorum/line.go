package quorum

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// lines is where the callers of Acquire in this process wait for their turn: one
// of them per lock contends on the masters, the others wait behind it, first come
// first served, and cost nothing but their memory.
type lines struct {
	mu    sync.Mutex // guards all below, and every line
	byKey map[string]*line
	hot   map[string]clock.Instant // locks that others waited for a moment ago, and until when that is of interest
}

// line is for one lock. It is there for as long as somebody contends for it.
type line struct {
	waiting   list.List     // of chan struct{}, closed when the turn has come
	contender *waiter       // whose turn it is; nil before it contends
	failure   *AttemptError // of the last attempt in the line; nil at first
}

// hotFor is for how long a lock counts as contended after somebody was seen to
// wait for it, and mostHot how many locks are remembered.
const (
	hotFor  = time.Second
	mostHot = 1024
)

// takeTurn waits for the turn to contend for a lock. It returns false if ctx ended or
// the Manager was closed before; otherwise the turn must be passed on.
func (m *Manager) takeTurn(ctx context.Context, key string) (*line, bool) {
	ln, turn := m.lines.join(key)
	if turn == nil {
		return ln, true
	}
	select {
	case <-turn.Value.(chan struct{}):
		return ln, true
	case <-ctx.Done():
	case <-m.done:
	}
	if m.lines.withdraw(ln, turn) {
		return ln, false
	}
	m.lines.pass(key, ln, clock.Never) // the turn came at the same time
	return ln, false
}

// join returns the lock's line, and the caller's place in it, nil if it is the
// caller's turn at once.
func (s *lines) join(key string) (*line, *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln, ok := s.byKey[key]; ok {
		return ln, ln.waiting.PushBack(make(chan struct{}))
	}
	ln := &line{}
	s.byKey[key] = ln
	return ln, nil
}

// withdraw takes a place out of the line. It returns false if its turn has come.
func (s *lines) withdraw(ln *line, turn *list.Element) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-turn.Value.(chan struct{}):
		return false
	default:
		ln.waiting.Remove(turn)
		return true
	}
}

// pass gives the turn to whoever is next, who need not try a lock that was got just
// now; got is Never if it was not.
func (s *lines) pass(key string, ln *line, got clock.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := ln.waiting.Front()
	if next == nil {
		delete(s.byKey, key)
		return
	}
	ln.contender = nil
	if got != clock.Never {
		s.heatLocked(key, got)
	}
	close(ln.waiting.Remove(next).(chan struct{}))
}

// contend notes whose turn it is. It returns the failure of the last attempt.
func (s *lines) contend(ln *line, w *waiter) *AttemptError {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln.contender = w
	return ln.failure
}

// note keeps why the line's contender has failed, for those who give up behind it.
func (s *lines) note(ln *line, failure *AttemptError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln.failure = failure
}

// why returns why the line's contender has not got the lock yet, nil if that is not
// known.
func (s *lines) why(ln *line) *AttemptError {
	s.mu.Lock()
	w, failure := ln.contender, ln.failure
	s.mu.Unlock()
	if w == nil {
		return failure
	}
	return w.why(failure)
}

// heat notes that somebody waits for a lock.
func (s *lines) heat(key string, now clock.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heatLocked(key, now)
}

// heatLocked is heat for who holds mu.
func (s *lines) heatLocked(key string, now clock.Instant) {
	if len(s.hot) >= mostHot {
		for key, until := range s.hot {
			if until <= now {
				delete(s.hot, key)
			}
		}
	}
	if _, ok := s.hot[key]; ok || len(s.hot) < mostHot {
		s.hot[key] = now.Add(hotFor)
	}
}

// isHot tells whether a plain attempt to get the lock is likely to be in vain,
// because somebody waits for it. It is a guess that costs a round trip if wrong.
func (s *lines) isHot(key string, now clock.Instant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.hot[key]
	return ok && now < until
}
