package quorum

import "context"

// mustHave panics if there is no context. A nil context would panic anyway, somewhere inside, after
// a turn was taken or a call counted in.
func mustHave(ctx context.Context) {
	if ctx == nil {
		panic("quorum: nil context")
	}
}

// lockContext is a context that ends with a lock. It asks the clock whenever it is asked. So it
// tells the truth at once after the process was stopped, before the channel has been closed.
type lockContext struct {
	context.Context
	lock *Lock
}

// context returns a child of parent that ends when l does, with the reason as its cause, and a
// function that ends it in any case.
func (l *Lock) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	now := l.engine.clock.Now()
	l.mu.Lock()
	defer l.unlock()
	l.cancel = cancel
	_ = l.over(now) // unlock cancels it if so
	return lockContext{Context: ctx, lock: l}, func() { cancel(nil) }
}

// Err returns the context's error, after a look at the clock.
func (c lockContext) Err() error {
	c.lock.check() //mutant:context-err
	return c.Context.Err()
}

// Value is what context.Cause asks, after a look at the clock.
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
