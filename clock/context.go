package clock

import (
	"context"
	"sync"
	"time"
)

// Timeouts makes contexts for many calls with about the same timeout, at one sixth of the cost of
// context.WithTimeout. Contexts made at about the same time share one timer and end together, so
// none needs to be canceled.
//
// The Deadline of a context is exact. Clients that set their sockets' deadlines by it are on time.
// The context itself ends up to one eighth of the timeout later, which stops everything else that a
// client waits for.
//
// The zero value is ready for use. A Timeouts is safe for concurrent use. It must not be copied
// after first use.
type Timeouts struct {
	mu     sync.Mutex // guards the fields below
	parent context.Context
	shared context.Context    // ends the contexts that are made now
	cancel context.CancelFunc // never called: shared ends by itself
	end    time.Time          // when shared ends
}

// Context returns a context whose Deadline is d from now, or parent's deadline if that is earlier.
// The context ends within d/8 after its Deadline, or when parent ends. Parents must be comparable,
// as all contexts of package context are.
func (t *Timeouts) Context(parent context.Context, d time.Duration) context.Context {
	deadline := time.Now().Add(d)
	t.mu.Lock()
	defer t.mu.Unlock()
	if slack := t.end.Sub(deadline); parent != t.parent || slack < 0 || slack > d/8 { //mutant:timeouts-renewed
		t.parent, t.end = parent, deadline.Add(d/8)
		t.shared, t.cancel = context.WithDeadline(parent, t.end) //mutant:timeouts-end
	}
	return deadlineContext{Context: t.shared, deadline: deadline}
}

type deadlineContext struct {
	context.Context
	deadline time.Time
}

// Deadline returns the context's own deadline or its parent's, whichever is earlier.
func (c deadlineContext) Deadline() (time.Time, bool) {
	if d, ok := c.Context.Deadline(); ok && d.Before(c.deadline) {
		return d, true
	}
	return c.deadline, true
}
