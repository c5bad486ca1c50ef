package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// TryAcquireAll makes one attempt to acquire the locks of all names at once, for ttl. It acquires
// either all of them or none, and does not wait for others to release a lock.
//
// names must not be empty, and no name may occur twice. Their order does not matter. The other
// parameters are those of TryAcquire, and apply to each name. The attempt takes one round trip,
// however many names there are. With a Cluster client, they may belong to different slots. All
// locks have the same window, which counts from before the first request was sent.
//
// The error is a *LocksError, which says which names failed. It is ErrTaken if another client holds
// any of them, and ErrNoQuorum for any other failure of the attempt, as with TryAcquire. After
// Close it is ErrClosed. Any other error says what is wrong with the parameters. A failed attempt
// leaves nothing behind: whatever was granted, or may have been, is released.
func (m *Manager) TryAcquireAll(ctx context.Context, names []string, ttl time.Duration, opts ...AcquireOption) (*Locks, error) {
	g, err := m.beginAll(ctx, names, ttl, opts)
	if err != nil {
		return nil, err
	}
	defer m.engine.exit()
	if err := g.params.forbidWait("TryAcquireAll"); err != nil {
		return nil, acquireError(err, names...)
	}
	return m.acquireAll(ctx, g)
}

// AcquireAll acquires the locks of all names, for ttl. It waits until it has all of them, until ctx
// ends, or as WaitAtMost and NoWait say. The parameters are those of TryAcquireAll.
//
// First, AcquireAll tries all names at once, in one round trip. If some are taken, it keeps the
// locks before the first of these, in the order of their keys, and gives back the others. It waits
// for that one in its turn, as Acquire does, and then tries the rest at once. It leaves out names
// that somebody is known to wait for, and those after them. So a call that waits keeps only locks
// with lower keys than the one that it waits for. No two calls wait for each other, whatever the
// order of their names. The turn of a call depends on when it first had to wait; with Shared,
// Exclusive and Permits, on when it began to wait for that name.
//
// The locks that are kept during a wait are renewed. If one is lost, AcquireAll acquires it again.
// Until all locks are acquired, no event mentions them, and Held does not list them. Then they
// become the caller's together. Right after a wait, Validity may be less than the TTL: the locks
// are extended to the whole TTL a few milliseconds later, as after Acquire. AutoRenew, MaxHold and
// MinHold apply to the whole, and count from its completion.
//
// When ctx ends, the error is a *LocksError for the name that was waited for. It satisfies
// errors.Is for ctx's error, and for the reason of the last attempt, ErrTaken or ErrNoQuorum. After
// Close the error is ErrClosed. In either case, no lock is kept.
func (m *Manager) AcquireAll(ctx context.Context, names []string, ttl time.Duration, opts ...AcquireOption) (*Locks, error) {
	g, err := m.beginAll(ctx, names, ttl, opts)
	if err != nil {
		return nil, err
	}
	defer m.engine.exit()
	return m.acquireAll(ctx, g)
}

// beginAll checks the parameters and calls engine.enter. The caller must call engine.exit.
func (m *Manager) beginAll(ctx context.Context, names []string, ttl time.Duration, opts []AcquireOption) (*gathering, error) {
	mustHave(ctx)
	names = slices.Clone(names) // the caller may change it
	if err := m.engine.opts.checkNames(names); err != nil {
		return nil, &notAcquired{fmt.Errorf("quorum: acquire: %w", err)}
	}
	p, err := m.engine.opts.checkCall(ttl, m.engine.opts.LockDelay, opts)
	if err != nil {
		return nil, acquireError(err, names...)
	}
	if err := p.checkUpgrade(ctx, m.engine, names...); err != nil {
		return nil, err
	}
	if m.engine.enter() != nil {
		return nil, errClosedNotAcquired
	}
	m.engine.noteMinHold(p)
	p.began = m.engine.clock.Now()
	return newGathering(m.waiters, p, names), nil
}

// acquireAll acquires all locks, waiting for them as the parameters say.
func (m *Manager) acquireAll(ctx context.Context, g *gathering) (locks *Locks, err error) {
	if g.params.noWait {
		locks, err = g.try(ctx)
	} else {
		locks, err = g.acquire(ctx)
	}
	if locks == nil {
		g.tellNotAcquired(ctx, err)
	}
	return locks, err
}

// checkNames checks the names of several locks.
func (o *Options) checkNames(names []string) error {
	if len(names) == 0 {
		return errors.New("no names")
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := o.checkName(name); err != nil {
			return err
		}
		if seen[name] { //mutant:duplicate-names
			return fmt.Errorf("name %s occurs twice", quote(name))
		}
		seen[name] = true
	}
	return nil
}
