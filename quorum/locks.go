package quorum

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Locks is one acquisition of several locks by TryAcquireAll or AcquireAll. They are renewed,
// extended, released and lost as one. Its methods are safe for concurrent use.
//
// The whole is over as soon as one of the locks is: when it is lost, for whatever reason, or when
// it is released or detached by itself. Then Lost is closed, and Err says which lock it was. The
// other locks are not touched. They stay held, and are renewed if the whole was acquired with
// AutoRenew, until Release: so they still protect a holder that takes a while to stop. Each Lock
// tells for itself.
type Locks struct {
	engine *engine
	order  map[string]int // the place of each name
	locks  []*Lock        // in the order of the call's names; does not change once it is complete

	mu      sync.Mutex            // guards all below
	ended   error                 // why the whole is over; nil while it is held
	lost    chan struct{}         // made by the first call of Lost
	derived map[*lockContext]bool // the contexts that end with the whole
}

var _ whole = (*Locks)(nil)

// newLocks returns a whole without locks. add adds them.
func newLocks(e *engine, names []string) *Locks {
	s := &Locks{engine: e, order: make(map[string]int, len(names)), locks: make([]*Lock, len(names))}
	for i, name := range names {
		s.order[name] = i
	}
	return s
}

func (s *Locks) add(l *Lock) { s.locks[s.order[l.Name()]] = l }

// All returns the locks, in the order in which the call named them.
//
// A lock's own methods work as for any Lock. Extend lengthens the window of that lock only, and the
// Validity of the whole stays the least of all. Release and Detach end the whole, which does not
// hold all its names anymore.
func (s *Locks) All() []*Lock { return slices.Clone(s.locks) }

// Lock returns the lock called name, or nil if it is not one of them.
func (s *Locks) Lock(name string) *Lock {
	if i, ok := s.order[name]; ok {
		return s.locks[i]
	}
	return nil
}

// Names returns the names of the locks, in the order in which the call named them.
func (s *Locks) Names() []string {
	names := make([]string, len(s.locks))
	for i, l := range s.locks {
		names[i] = l.Name()
	}
	return names
}

// Validity returns how much longer all locks can be relied on: the least of their validities.
func (s *Locks) Validity() time.Duration {
	least := s.locks[0].Validity()
	for _, l := range s.locks[1:] {
		least = min(least, l.Validity()) //mutant:least-validity
	}
	return least
}

// Lost returns a channel that is closed once any of the locks can no longer be relied on; see
// Lock.Lost.
func (s *Locks) Lost() <-chan struct{} {
	s.mu.Lock()
	if s.lost == nil {
		s.lost = make(chan struct{})
		if s.ended != nil {
			close(s.lost)
		}
	}
	lost := s.lost
	s.mu.Unlock()
	s.watch()
	return lost
}

// watch makes the expiry loop notice the end of each lock.
func (s *Locks) watch() {
	for _, l := range s.locks {
		if !l.isOver() {
			l.engine.expiry.look(&l.watched, l.windowCloses()) //mutant:parts-look
		}
	}
}

// Err returns why the whole is over, or nil while all locks are held. The error names the first
// lock that was found to be over, and is what that lock's Err returns, such as ErrExpired. If the
// whole was released, it is ErrReleased itself. Each of them is also an ErrLost.
func (s *Locks) Err() error {
	for _, l := range s.locks {
		if why := l.Err(); why != nil {
			s.partEnded(l.Name(), why) // it may be about to tell so itself //mutant:part-ends
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// partLost is why a whole is over.
type partLost struct {
	name string // of the lock
	why  error  // is a loss
}

func (e *partLost) Error() string {
	return fmt.Sprintf("quorum: lock %s lost: %s", quote(e.name), strings.TrimPrefix(e.why.Error(), lossPrefix))
}

// Unwrap returns why the lock is over.
func (e *partLost) Unwrap() error { return e.why }

// partEnded ends the whole, because one of its locks is over.
func (s *Locks) partEnded(name string, why error) { s.end(&partLost{name, why}) }

// end ends the whole, unless it is over.
func (s *Locks) end(why error) {
	s.mu.Lock()
	derived, first := s.derived, s.ended == nil
	if first {
		s.ended, s.derived = why, nil
		if s.lost != nil {
			close(s.lost)
		}
	}
	s.mu.Unlock()
	if first {
		for ctx := range derived {
			ctx.cancel(why)
		}
	}
}

// Context returns a copy of ctx that also ends when any of the locks is lost or released; see
// Lock.Context. context.Cause then returns what Err returns.
func (s *Locks) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	mustHave(ctx)
	derived, cancel := context.WithCancelCause(ctx)
	c := &lockContext{Context: derived, lock: s, cancel: cancel}
	s.mu.Lock()
	over := s.ended
	if over == nil {
		if s.derived == nil {
			s.derived = map[*lockContext]bool{}
		}
		s.derived[c] = true
	}
	s.mu.Unlock()
	if over != nil {
		cancel(over)
	}
	s.watch()
	return c, func() {
		s.mu.Lock()
		delete(s.derived, c)
		s.mu.Unlock()
		cancel(nil)
	}
}
