package quorum

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// ErrNotFresh means that Bootstrap found the restart guard's marker on a master, so the deployment
// is not new.
var ErrNotFresh = errors.New("quorum: a master was in use before")

// Bootstrap declares a brand-new deployment empty. Options.RestartGuard then need not quarantine
// its masters, because nobody can hold a lock on them yet. The person who sets up the masters calls
// it once. A program that calls Bootstrap whenever it starts disables the guard exactly when it is
// needed: when all masters have lost their memory at once.
//
// Bootstrap needs an answer from every master, not just from a majority. Otherwise the error is
// ErrNoQuorum. If the guard has seen any of the masters before, the error is ErrNotFresh, nothing
// changes for the other masters, and the guard's time has to pass. While a master is quarantined,
// the error also satisfies errors.Is for ErrQuarantined, and its text says for how much longer.
// Bootstrap still succeeds after clients have used the masters, as long as the guard quarantines
// every master they used, because quarantined masters have granted nothing. If ctx ended, the error
// also satisfies errors.Is for ctx's error. Without Options.RestartGuard, Bootstrap returns an
// error. After Close it returns ErrClosed.
func (m *Manager) Bootstrap(ctx context.Context) error {
	mustHave(ctx)
	e := m.engine
	if e.opts.RestartGuard == 0 {
		return errors.New("quorum: bootstrap: there is no RestartGuard")
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	permits, err := bootstrap(ctx, e, e.newID(ctx), nil)
	if err == nil {
		_, err = bootstrap(ctx, e, "", permits)
	}
	return err
}

// bootstrap asks every master to take one of the two steps; see bootstrap.lua. It returns the
// masters' permits.
func bootstrap(ctx context.Context, e *engine, word string, permits []string) ([]string, error) {
	if ctx.Err() != nil {
		return nil, e.unsentError("bootstrap", "", ended(ctx))
	}
	c := &claim{sequence: e.lanes.NewSequence(), subject: wire.NewSubject(wire.MarkerKey, "", e.opts.Fencing, e.opts.RestartGuard)}
	r := newRound(e, c, c.subject.Bootstrap(word, permits))
	r.run(ctx, e.clock.Now(), clock.Never)
	failure := r.failure("bootstrap", noQuorum(ctx)...)
	failure.Quorum = e.system.Masters()
	switch {
	case e.closed.Load():
		return nil, ErrClosed
	case failure.Count(Taken) > 0:
		failure.reasons = []error{ErrNotFresh}
		return nil, failure
	case failure.Count(Held) < e.system.Masters():
		return nil, failure
	}
	given := make([]string, e.system.Masters())
	r.each(func(master int, a *wire.Answer) { given[master] = a.Stored })
	return given, nil
}
