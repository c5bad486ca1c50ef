package quorum

import (
	"context"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/token"
)

// What happens to a claim is told only once it has become a Lock that somebody has: claim.won says
// so. Nobody has a provisional lock.

// acquisition identifies a claim in events.
func (c *claim) acquisition() Acquisition {
	ctx := c.call
	if ctx == nil {
		ctx = context.Background()
	}
	return Acquisition{Name: c.name, Token: token.Abbreviate(c.subject.Token), Fence: c.fence.Load(), Context: ctx}
}

// tellAcquired tells that a call, which began at start, acquired the lock.
func (l *Lock) tellAcquired(start clock.Instant) {
	d := l.engine.events
	if d.handlers.Acquired == nil {
		return
	}
	now := l.engine.clock.Now()
	tell(d, "Acquired", d.handlers.Acquired, AcquiredEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Waited: now.Sub(start),
		Validity: l.windowCloses().Sub(now), HandedOn: l.handedOn, // Validity could end the lock, too early
	})
}

// tellNotAcquired tells that a call returned without the lock.
func (e *engine) tellNotAcquired(ctx context.Context, p acquireParams, err error) {
	d := e.events
	if d.handlers.NotAcquired == nil {
		return
	}
	tell(d, "NotAcquired", d.handlers.NotAcquired, NotAcquiredEvent{
		Name: p.name, Context: ctx, Time: d.now(), Waited: e.clock.Now().Sub(p.began), Err: copied(err),
	})
}

// copied returns an error that shares nothing with the caller's, which the caller may change.
func copied(err error) error {
	failure, ok := err.(*AttemptError) //nolint:errorlint // the error itself is copied, not what wraps it
	if !ok {
		return err
	}
	c := *failure
	c.Masters = slices.Clone(failure.Masters)
	return &c
}

// tellAttemptFailed tells that one attempt failed.
func (e *engine) tellAttemptFailed(ctx context.Context, failure *AttemptError) {
	d := e.events
	if d.handlers.AttemptFailed == nil {
		return
	}
	tell(d, "AttemptFailed", d.handlers.AttemptFailed, AttemptFailedEvent{
		Name: failure.Name, Context: ctx, Time: d.now(), Err: copied(failure),
	})
}

// tellLost tells that the lock was lost.
func (l *Lock) tellLost(why error) {
	d := l.engine.events
	if d.handlers.Lost == nil {
		return
	}
	ended := min(l.engine.clock.Now(), l.windowCloses())
	tell(d, "Lost", d.handlers.Lost, LostEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Held: ended.Sub(l.since), Err: why,
	})
}

// tellReleased tells that the lock was released, or left to expire, at the given instant.
func (l *Lock) tellReleased(at clock.Instant, leftToExpire bool, err error) {
	d := l.engine.events
	if d.handlers.Released == nil {
		return
	}
	took := l.engine.clock.Now().Sub(at)
	tell(d, "Released", d.handlers.Released, ReleasedEvent{
		Acquisition: l.claim.acquisition(), Time: d.now().Add(-took), Held: at.Sub(l.since), Took: took,
		LeftToExpire: leftToExpire, Err: err,
	})
}

// tellTermEnded tells that the lock's term of Lead ended.
func (l *Lock) tellTermEnded(ran time.Duration, rejoins bool, err error) {
	d := l.engine.events
	if d.handlers.TermEnded == nil {
		return
	}
	tell(d, "TermEnded", d.handlers.TermEnded, TermEndedEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Ran: ran, Rejoins: rejoins, Err: copied(err),
	})
}

// tellHandedOn tells that the lock was handed on, once per lock. Claims that never became locks are
// handed on silently.
func (e *engine) tellHandedOn(c *claim) {
	d := e.events
	if d.handlers.HandedOn == nil || !c.won.Load() || c.handedOn.Swap(true) {
		return
	}
	tell(d, "HandedOn", d.handlers.HandedOn, HandedOnEvent{Acquisition: c.acquisition(), Time: d.now()})
}

// tellRenewed tells that a renewal succeeded.
func (l *Lock) tellRenewed() {
	d := l.engine.events
	if d.handlers.Renewed == nil || !l.claim.won.Load() {
		return
	}
	tell(d, "Renewed", d.handlers.Renewed, RenewedEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Validity: l.Validity(),
	})
}

// tellRenewalFailed tells that a try to renew the lock failed.
func (l *Lock) tellRenewalFailed(r *round) {
	d := l.engine.events
	if !l.claim.won.Load() {
		return
	}
	tell(d, "RenewalFailed", d.handlers.RenewalFailed, RenewalFailedEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Validity: l.Validity(), Err: r.failure("extend", ErrNoQuorum),
	})
}

// tellRepaired tells that a master stores the lock again.
func (l *Lock) tellRepaired(master int) {
	d := l.engine.events
	if d.handlers.Repaired == nil || !l.claim.won.Load() {
		return
	}
	tell(d, "Repaired", d.handlers.Repaired, RepairedEvent{
		Acquisition: l.claim.acquisition(), Time: d.now(), Master: l.engine.masters[master].Name(),
	})
}

// owed tells that a master is owed a release.
func (d *dispatcher) owed(c *claim, master string) {
	if d.handlers.ReleaseOwed == nil {
		return
	}
	tell(d, "ReleaseOwed", d.handlers.ReleaseOwed, ReleaseOwedEvent{
		Name: c.name, Token: token.Abbreviate(c.subject.Token), Master: master, Time: d.now(),
	})
}

// givenUp tells that a master will not be told of a release.
func (d *dispatcher) givenUp(c *claim, master string) {
	if d.handlers.ReleaseGivenUp == nil {
		return
	}
	tell(d, "ReleaseGivenUp", d.handlers.ReleaseGivenUp, ReleaseGivenUpEvent{
		Name: c.name, Token: token.Abbreviate(c.subject.Token), Master: master, Time: d.now(),
	})
}

// masterTeller tells what happens to masters.
type masterTeller struct {
	events  *dispatcher
	masters []*redisconn.Master
}

func (t masterTeller) onStopped(master int, err error) {
	tell(t.events, "MasterStopped", t.events.handlers.MasterStopped,
		MasterStoppedEvent{Master: t.masters[master].Name(), Time: t.events.now(), Err: err})
}

func (t masterTeller) onResumed(master int, silent time.Duration) {
	tell(t.events, "MasterResumed", t.events.handlers.MasterResumed,
		MasterResumedEvent{Master: t.masters[master].Name(), Time: t.events.now(), Silent: silent})
}

func (t masterTeller) onQuarantined(master int, left time.Duration) {
	tell(t.events, "MasterQuarantined", t.events.handlers.MasterQuarantined,
		MasterQuarantinedEvent{Master: t.masters[master].Name(), Time: t.events.now(), Left: left})
}

func (t masterTeller) onQueueFailed(master int, err error) {
	tell(t.events, "QueueFailed", t.events.handlers.QueueFailed,
		QueueFailedEvent{Master: t.masters[master].Name(), Time: t.events.now(), Err: err})
}

func (t masterTeller) onQueueRestored(master int) {
	tell(t.events, "QueueRestored", t.events.handlers.QueueRestored,
		QueueRestoredEvent{Master: t.masters[master].Name(), Time: t.events.now()})
}
