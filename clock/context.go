package clock

import (
	"context"
	"sync"
	"time"
)

// Timeouts makes the contexts of calls that may take about as long each, and of
// which there are many. Context is context.WithTimeout at a sixth of its price:
// contexts that were asked for at about the same time end together, by one timer,
// and none has to be cancelled. A context ends up to an eighth of the time-out after
// its Deadline, which is exact: for clients that turn it into one of their sockets',
// the end is what stops all else that they wait for.
//
// The zero value is ready for use. A Timeouts must not be copied after its first use.
// It is safe for concurrent use.
type Timeouts struct {
	mu     sync.Mutex // guards all below
	parent context.Context
	shared context.Context    // what ends the contexts that are made now
	cancel context.CancelFunc // of shared, which ends by itself
	end    time.Time          // of shared
}

// Context returns a context whose Deadline is d from now, or parent's if that is
// earlier, and which ends within d/8 after it, or when parent does. Parents have to
// be comparable, as all of package context are.
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

// Deadline returns the earlier of the context's own deadline and its parent's.
func (c deadlineContext) Deadline() (time.Time, bool) {
	if d, ok := c.Context.Deadline(); ok && d.Before(c.deadline) {
		return d, true
	}
	return c.deadline, true
}
