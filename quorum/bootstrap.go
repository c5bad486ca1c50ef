package quorum

import (
	"context"
	"errors"
)

// ErrMarked means that Bootstrap found the restart guard's marker on a master, so
// the deployment is not a new one.
var ErrMarked = errors.New("quorum: a master was in use before")

// Bootstrap declares a brand-new deployment empty, so that Options.RestartGuard
// need not hold its masters out: nobody can hold a lock on them yet. It is for the
// person who sets the masters up, once. A program that calls it whenever it starts
// takes the guard away just when all masters have lost their memory at once.
//
// It needs an answer from every master, not just from a majority, or the error is
// ErrNoQuorum. If any master was seen before under the guard, the error is
// ErrMarked, nothing should be concluded from the others, and the guard's time is
// to be waited for. If ctx ended, the error satisfies errors.Is for its error too.
// Without Options.RestartGuard it is an error. After Close it is ErrClosed.
func (m *Manager) Bootstrap(ctx context.Context) error {
	mustHave(ctx)
	if m.opts.RestartGuard == 0 {
		return errors.New("quorum: bootstrap: there is no RestartGuard")
	}
	if err := m.enter(); err != nil {
		return err
	}
	defer m.exit()
	for _, write := range []string{"0", "1"} {
		if err := m.bootstrap(ctx, write); err != nil {
			return err
		}
	}
	return nil
}

// bootstrap asks every master whether it is new, or marks it.
func (m *Manager) bootstrap(ctx context.Context, write string) error {
	c := &claim{manager: m, key: markerKey, keyArg: markerKey, sequence: m.lanes.NewSequence()}
	r := newRound(question{claim: c, verb: bootstrapVerb, script: bootstrapScript,
		args: bootstrapScript.byDigest([]any{c.keyArg}, write)})
	if ctx.Err() != nil {
		return m.unsentError("bootstrap", "", ended(ctx))
	}
	start := m.opts.Clock.Now()
	deadline := start.Add(m.opts.AttemptTimeout)
	r.submit(start, deadline)
	r.wait(ctx, start, deadline)
	failure := r.failure("bootstrap", append([]error{ErrNoQuorum}, ended(ctx)...)...)
	failure.Quorum = len(m.masters)
	switch {
	case m.closed.Load():
		return ErrClosed
	case failure.Count(Taken) > 0:
		failure.reasons = []error{ErrMarked}
		return failure
	case failure.Count(Held) < len(m.masters):
		return failure
	}
	return nil
}
