package quorum

import (
	"context"
	"time"
)

// Locker is what most programs need of a Manager. Code that takes a Locker instead of a *Manager
// can be tested without masters: package quorumtest has a Fake.
type Locker interface {
	// TryAcquire makes one attempt to acquire a lock; see Manager.TryAcquire.
	TryAcquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error)
	// Acquire waits for a lock; see Manager.Acquire.
	Acquire(ctx context.Context, name string, ttl time.Duration, opts ...AcquireOption) (*Lock, error)
	// Do runs a function while it holds a lock; see Manager.Do.
	Do(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts ...AcquireOption) error
	// Lead runs a function while it leads; see Manager.Lead.
	Lead(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lock) error, opts ...AcquireOption) error
	// Once runs a function on one replica per period; see Manager.Once.
	Once(ctx context.Context, name string, period time.Duration, fn func(context.Context) error, opts ...OnceOption) (ran bool, err error)
}

var _ Locker = (*Manager)(nil)
