package clock

import (
	"context"
	"time"
)

// WithTimeout returns a context whose Deadline is d from now and which ends only
// when parent does. It has no timer, so it costs one allocation: it is for
// clients that turn a context's deadline into one of their socket's, and for
// calls that nobody else waits for.
func WithTimeout(parent context.Context, d time.Duration) context.Context {
	return deadlineContext{Context: parent, deadline: time.Now().Add(d)}
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
