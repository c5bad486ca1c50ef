package quorum

import "context"

// mustHave panics if ctx is nil. A nil context would panic anyway, but only later, after a turn was
// taken or a call counted in.
func mustHave(ctx context.Context) {
	if ctx == nil {
		panic("quorum: nil context")
	}
}

// lockContext is a context that ends with a lock. Err and Value read the clock each time. So they
// are correct at once after the process was stopped, even before the Done channel is closed.
type lockContext struct {
	context.Context
	lock *Lock
}

// context returns a child of parent that ends when l does, with the reason as its cause. It also
// returns a function that cancels the child.
func (l *Lock) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	l.cancel = cancel
	_ = l.over(now) // if it is over, unlock cancels ctx
	return lockContext{Context: ctx, lock: l}, func() { cancel(nil) }
}

// Err reads the clock, and returns the context's error.
func (c lockContext) Err() error {
	c.lock.check() //mutant:context-err
	return c.Context.Err()
}

// Value reads the clock first, because context.Cause calls Value.
func (c lockContext) Value(key any) any {
	c.lock.check() //mutant:context-value
	return c.Context.Value(key)
}

// check ends the lock if its time is over.
func (l *Lock) check() {
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	_ = l.over(now) // ends it
}
