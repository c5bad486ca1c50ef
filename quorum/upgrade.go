package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/internal/wire"
)

// ErrUpgrade means that a call asked for an Exclusive lock of a name of which this Manager holds a
// Shared one. A shared lock cannot become an exclusive one: two readers that both wanted that would
// wait for each other. Release it first.
//
// If ctx ends with the shared lock, as those of Do, Lead and Context do, the call fails at once: it
// would wait for its own caller. Otherwise somebody else in the process may hold it, so the call
// goes on, and the error comes with the ErrTaken in which it ends.
var ErrUpgrade = errors.New("quorum: a shared lock of this name is held here; it cannot become an exclusive one, so release it first")

// sharedKey asks a context whether it ends with a shared lock.
type sharedKey struct {
	engine *engine
	name   string
}

// checkUpgrade returns an error if ctx ends with a shared lock of a name that is to be locked
// exclusively.
func (p *acquireParams) checkUpgrade(ctx context.Context, e *engine, names ...string) error {
	if p.mode != wire.ModeExclusive {
		return nil
	}
	for _, name := range names {
		if ctx.Value(sharedKey{e, name}) != nil { //mutant:upgrade-refused
			return acquireError(ErrUpgrade, name)
		}
	}
	return nil
}

// endsWithShared reports whether a context's lock is the shared one that a key asks for.
func (c *lockContext) endsWithShared(key sharedKey) bool {
	switch l := c.lock.(type) {
	case *Lock:
		return l.isShared(key)
	case *Locks:
		part := l.Lock(key.name)
		return part != nil && part.isShared(key)
	}
	return false
}

func (l *Lock) isShared(key sharedKey) bool {
	return l.engine == key.engine && l.Name() == key.name && l.claim.mode == wire.ModeShared && l.Err() == nil
}

// explainUpgrade adds ErrUpgrade to why an exclusive lock was taken, if this Manager holds a shared
// one of that name.
func (e *engine) explainUpgrade(p acquireParams, err error) {
	var failure *AttemptError
	if p.mode != wire.ModeExclusive || !errors.As(err, &failure) || !errors.Is(err, ErrTaken) {
		return
	}
	key := sharedKey{e, p.name}
	for _, item := range e.held.all() {
		if l, ok := item.(*Lock); ok && l.isShared(key) { //mutant:upgrade-explained
			failure.reasons = append(failure.reasons, ErrUpgrade)
			return
		}
	}
}
