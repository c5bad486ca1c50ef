package quorum

import (
	"context"

	"github.com/quorumlock/redlock/clock"
)

// mustHave panics if ctx is nil. A nil context would panic anyway, but only later, after a turn was
// taken or a call counted in.
func mustHave(ctx context.Context) {
	if ctx == nil {
		panic("quorum: nil context")
	}
}

// Context returns a copy of ctx that also ends when the lock is lost or released. Then its Err is
// context.Canceled, and context.Cause returns what Err returns. Both read the clock each time, so
// they are correct at once after the process was stopped, even before the Done channel is closed.
// If the lock is over already, so is the context.
//
// Call the CancelFunc when the work is done. Until then, or until the lock is over, the lock refers
// to the context.
func (l *Lock) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	mustHave(ctx)
	derived, cancel := context.WithCancelCause(ctx)
	c := &lockContext{Context: derived, lock: l, cancel: cancel}
	l.add(c)
	l.engine.expiry.look(&l.watched, l.windowCloses()) //mutant:context-look
	return c, func() {
		l.forget(c)
		cancel(nil)
	}
}

// lockContext is a context that ends with a lock.
type lockContext struct {
	context.Context
	lock   endable
	cancel context.CancelCauseFunc
}

// Err reads the clock, and returns the context's error.
func (c *lockContext) Err() error {
	c.check() //mutant:context-err
	return c.Context.Err()
}

// Value reads the clock first, because context.Cause calls Value.
func (c *lockContext) Value(key any) any {
	c.check() //mutant:context-value
	if shared, ok := key.(sharedKey); ok {
		if l, ok := c.lock.(sharer); ok && l.holdsShared(shared) {
			return c
		}
	}
	return c.Context.Value(key)
}

// check ends the context if the lock is over. The goroutine that ended the lock may have been
// stopped before it came to that.
func (c *lockContext) check() {
	if why := c.lock.Err(); why != nil {
		c.cancel(why)
	}
}

// add makes c end with the lock.
func (l *Lock) add(c *lockContext) {
	now := l.engine.clock.Now()
	l.mu.Lock()
	over := l.over(now)
	if over == nil {
		if l.derived == nil {
			l.derived = map[*lockContext]bool{}
		}
		l.derived[c] = true
	}
	l.unlock()
	if over != nil {
		c.cancel(over)
	}
}

// forget undoes add.
func (l *Lock) forget(c *lockContext) {
	l.mu.Lock()
	defer l.unlock()
	delete(l.derived, c)
}

// windowCloses returns when the lock's window closes.
func (l *Lock) windowCloses() clock.Instant {
	l.mu.Lock()
	defer l.unlock()
	return l.closes()
}
