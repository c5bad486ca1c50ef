package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// TryAcquireAll makes one attempt to acquire the locks of all names at once, for ttl. Either it
// acquires all of them, or none. It does not wait for others to release a lock.
//
// names must not be empty, and no name may occur twice. Their order does not matter. The other
// parameters are those of TryAcquire, for each name. The attempt takes one round trip, as
// TryAcquire does, however many names there are; with a Cluster client, they may belong to
// different slots. All locks have the same window, which counts from before the first request was
// sent.
//
// The error is a *LocksError, which names the locks that could not be acquired. It is ErrTaken if
// TryAcquire's would be for any of the names, because another client holds that lock. Otherwise it
// is as that of TryAcquire. A failed attempt leaves nothing behind: whatever was granted, or may
// have been, is released.
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
// First, AcquireAll tries to acquire all locks at once, in one round trip. If some are taken, it
// keeps those before the first one that is taken, in the order of their keys, and gives back the
// others. It waits for that one as Acquire does, in its turn, and tries the rest again. So it waits
// only while it keeps locks with lower keys, and no two clients wait for each other, whatever the
// order of names in their calls. Whoever calls Acquire for several names, one by one, can rule out
// a deadlock only by calling it in the same order everywhere.
//
// The locks that it keeps while it waits are kept alive. If one of them is lost in the meantime,
// it acquires that one again. No event tells of them, and Held does not list them, until all locks
// are acquired. Then all get the whole TTL, counted from now: as after Acquire, Validity may be
// less at first, and grows a few milliseconds later. AutoRenew, MaxHold and MinHold count from then
// on, too.
//
// When ctx ends, the error is a *LocksError as that of TryAcquireAll, for the name that was waited
// for, and also satisfies errors.Is for ctx's error. After Close the error is ErrClosed. Nothing
// is kept then.
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
	if m.engine.enter() != nil {
		return nil, errClosedNotAcquired
	}
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
