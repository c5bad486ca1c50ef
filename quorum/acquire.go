package quorum

import (
	"context"
	"time"
)

// TryAcquire makes one attempt to acquire the lock called name for ttl. It does not wait for others
// to release the lock.
//
// name is any non-empty byte string. With Options.Prefix before it, it is the key on the masters.
// ttl is how long the masters keep the lock unless it is extended or released. It is truncated to
// whole milliseconds, and must leave some validity after the drift is subtracted. The lock can be
// relied on for Validity, which is a little shorter than ttl and counts from before the first
// request is sent.
//
// The error is ErrTaken if enough masters hold another client's token that no attempt can succeed,
// ErrClosed after Close, and ErrNoQuorum for any other failure of the attempt. Any other error says
// what is wrong with the parameters. Each of them is also an ErrNotAcquired. If ctx ended, the
// error also satisfies errors.Is for ctx's error. A failed attempt leaves nothing behind: whatever
// was granted, or may have been, is released in the background. ctx governs the attempt, not the
// lock.
func (m *Manager) TryAcquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error) {
	p, err := m.begin(ctx, name, ttl, opts)
	if err != nil {
		return nil, err
	}
	defer m.engine.exit()
	if err := p.forbidWait("TryAcquire"); err != nil {
		return nil, acquireError(err, name)
	}
	return m.acquire(ctx, p)
}

// Acquire acquires the lock called name for ttl. If the lock is taken, Acquire waits for it until
// ctx ends, or as WaitAtMost and NoWait say. The parameters are those of TryAcquire.
//
// Callers of one Manager are served in the order in which they called. Callers of several Managers
// are served roughly in that order, by the masters' clocks; see "Waiting" in the package
// documentation. Neither order is guaranteed.
//
// When ctx ends, the error satisfies errors.Is both for ctx's error and for the reason the last
// attempt failed, ErrTaken or ErrNoQuorum. After Close the error is ErrClosed, even for calls that
// were already waiting. Each of them is also an ErrNotAcquired.
//
// While masters refuse a wrong password or do not answer, Acquire keeps trying: they may recover.
// Events.AttemptFailed and Stats say why attempts fail in the meantime.
func (m *Manager) Acquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error) {
	p, err := m.begin(ctx, name, ttl, opts)
	if err != nil {
		return nil, err
	}
	defer m.engine.exit()
	return m.acquire(ctx, p)
}

// begin checks the parameters and calls engine.enter. The caller must call engine.exit.
func (m *Manager) begin(ctx context.Context, name string, ttl time.Duration, opts []AcquireOption) (acquireParams, error) {
	mustHave(ctx)
	p, err := m.engine.opts.checkAcquire(name, ttl, m.engine.opts.LockDelay, opts)
	if err == nil {
		err = p.checkUpgrade(ctx, m.engine, name)
	}
	if err == nil && m.engine.enter() != nil {
		err = errClosedNotAcquired
	}
	m.engine.noteMinHold(p)
	return p, err
}

// acquire acquires a lock, waiting for it as the parameters say.
func (m *Manager) acquire(ctx context.Context, p acquireParams) (l *Lock, err error) {
	p.began = m.engine.clock.Now()
	if p.noWait {
		l, _, err = m.acquirer.attempt(ctx, p) //mutant:no-wait
	} else {
		l, err = m.waiters.acquireWithin(ctx, p)
	}
	if l == nil {
		m.engine.explainUpgrade(p, err)
		m.engine.tellNotAcquired(ctx, p, err)
	}
	return l, err
}
