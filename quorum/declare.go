package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/membership"
)

// DeclareMasters declares that clients use the masters given to New or Open, and no longer another
// set. It is the step of a change of masters between the rollout of both sets and that of the new
// one; see "Changing the masters" in the package documentation. Whoever changes the masters calls
// it once, with a Manager that is given the new set, and the old one as Options.Joint.
//
// From the beginning on, the masters grant nothing more to clients of the old set alone, and keep
// nothing for them. When all is over that they have granted to those, they may grant to clients of
// the new set alone. DeclareMasters returns nil then. Until then, they refuse these with
// ErrOtherMasters. How long that takes depends on the longest TTL, period of Once, or minimum hold
// that a running client has asked for since its Manager was made, or with Options.Fencing, on how
// far fences may be ahead of the clocks, which is a minute: it is up to 30 s longer. The masters
// keep the time.
//
// Clients of both sets go on meanwhile. A majority of the old set has to answer, and one of the new
// set. It does not begin before that, nor while others use a new master as another set.
// DeclareMasters waits for it, and asks again and again, until ctx ends. The error then says what
// is missing, and satisfies errors.Is for ctx's error. It may be called again at any time, also by
// another process: it goes on where it stopped. A change can be taken back likewise, by a Manager
// that is given the old set, and the new one as Options.Joint.
//
// If a majority of the old set is also in the new set, DeclareMasters works without Options.Joint.
// So it also serves those who stop all clients, and start those of the new set.
//
// After Close, DeclareMasters returns ErrClosed. With Options.AnyMasters it returns an error, and
// with Cluster or Ring clients.
func (m *Manager) DeclareMasters(ctx context.Context) error {
	mustHave(ctx)
	e := m.engine
	if m.acquirer.members.off {
		return errors.New("quorum: declare masters: the masters' records are not used, because of AnyMasters, or a Cluster or Ring client")
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	why, err := m.acquirer.members.declare(ctx)
	switch {
	case err == nil:
		return nil
	case e.closed.Load():
		return ErrClosed
	case why == "":
		return fmt.Errorf("quorum: declare masters: %w", err)
	}
	return fmt.Errorf("quorum: declare masters: %s: %w", why, err)
}

// declare makes a change of masters. If it fails, why is what it was waiting for.
func (m *members) declare(ctx context.Context) (why string, err error) {
	var change membership.Change
	var last []membership.View // before the last writes
	for {
		views, writes := m.ask(ctx, nil)
		if ctx.Err() != nil {
			return why, unfinished(ctx)
		}
		var twins *membership.TwinError
		if errors.As(m.err(), &twins) {
			return "", twins
		}
		step, pause := m.step(&change, views), declarePause
		switch {
		case step.Done:
			return "", nil
		case step.Wait > 0:
			why = fmt.Sprintf("what the old set has granted may last for another %v", step.Wait)
			pause = min(max(pause, step.Wait/8), step.Wait)
		case step.Lack != "":
			why = m.explain(step.Lack, views)
		default:
			writes = step.Writes
		}
		if writes != nil {
			m.ask(ctx, writes)
			if last == nil || !membership.SameRecords(last, views) { //mutant:declare-stuck
				pause = declarePause / 100
			}
			last = views
		} else {
			last = nil
		}
		if !m.engine.sleep(ctx, pause) {
			return why, unfinished(ctx)
		}
	}
}

// explain adds to what is missing why no master has answered, if none has.
func (m *members) explain(lack string, views []membership.View) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, err := range m.errs {
		if err != nil && !slices.ContainsFunc(views, func(v membership.View) bool { return v.Answered }) {
			return fmt.Sprintf("%s: %s: %v", lack, m.engine.masters[i].Name(), err)
		}
	}
	return lack
}

// unfinished returns why DeclareMasters stopped before it was done, which is never nil: because ctx
// ended, or else because of Close.
func unfinished(ctx context.Context) error {
	if ctx.Err() == nil { //mutant:declare-closed
		return ErrClosed
	}
	return errors.Join(ended(ctx)...)
}

// declarePause is how often DeclareMasters looks whether it can go on, unless that is known.
const declarePause = time.Second
