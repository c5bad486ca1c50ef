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
// If ctx ends with the shared lock, as those of Do and Context do, the call fails at once: it
// would wait for its own caller. Otherwise somebody else in the process may hold it, so the call
// goes on, and the error comes with the ErrTaken in which it ends.
var ErrUpgrade = errors.New("quorum: a shared lock of this name is held here; it cannot become an exclusive one, so release it first")

// sharedKey asks a context whether it ends with a shared lock.
type sharedKey struct {
	manager any // an *engine
	name    string
}

// sharer is a Lock, or Locks.
type sharer interface {
	// holdsShared reports whether it is, or has, the shared lock that a key asks for.
	holdsShared(key sharedKey) bool
}

// checkUpgrade returns an error if ctx ends with a shared lock of a name that is to be locked
// exclusively.
func (p *acquireParams) checkUpgrade(ctx context.Context, manager any, names ...string) error {
	if p.mode != wire.ModeExclusive {
		return nil
	}
	for _, name := range names {
		if ctx.Value(sharedKey{manager, name}) != nil { //mutant:upgrade-refused
			return acquireError(ErrUpgrade, name)
		}
	}
	return nil
}

func (s *Locks) holdsShared(key sharedKey) bool {
	part := s.Lock(key.name)
	return part != nil && part.holdsShared(key)
}

func (l *Lock) holdsShared(key sharedKey) bool {
	return l.engine == key.manager && l.Name() == key.name && l.claim.mode == wire.ModeShared && l.Err() == nil
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
		if l, ok := item.(sharer); ok && l.holdsShared(key) { //mutant:upgrade-explained
			failure.reasons = append(failure.reasons, ErrUpgrade)
			return
		}
	}
}
