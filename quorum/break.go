package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/token"
)

// ErrNotHeld means that no master that answered stores the token that was given to Break or Resume.
// Its lock was released or has expired, or the token is another's.
var ErrNotHeld = errors.New("quorum: no master that answered stores the token")

// Break takes the lock called name from its holder, and hands it on or frees it. It is for
// operators. token is the one that Inspect or List showed: a lock that has changed hands since is
// not broken. Break also ends the time for which MinHold keeps a released lock taken; see
// Inspection.Released.
//
// Break cannot stop the holder. The holder learns of it as ErrDenied when it next extends or renews
// the lock, at about a third of the TTL, and relies on its window until then. Only a fence that the
// resource checks keeps it from doing harm in the meantime; see Lock.Fence. So make sure that the
// holder is gone or stuck before you break its lock.
//
// Break returns nil once a quorum of the masters does not store the token, and never will again: no
// extension that the holder sends after that can succeed. A lock that may be younger than
// Options.AttemptTimeout is broken after that time, because the requests that acquired it may still
// be on their way. So that option should be no shorter than the holders'. With access control
// lists, the holder needs a right to the keys redlock:aux:broken*; see "Access rights".
//
// If no master that answers stores the token in the first place, the error is ErrNotHeld, and
// nothing is changed. If too few masters answer, the error is ErrNoQuorum: the lock may or may not
// be broken, and Break may be repeated. A master without memory does not count: it deletes the
// token, but cannot keep the holder from storing it again later. If ctx ended, the error also
// satisfies errors.Is for ctx's error. After Close it is ErrClosed.
func (m *Manager) Break(ctx context.Context, name, token string) error {
	mustHave(ctx)
	e := m.engine
	if err := e.opts.checkName(name); err != nil {
		return fmt.Errorf("quorum: break: %w", err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	kept, err := settled(ctx, e, name, token)
	if err != nil {
		return err
	}
	if err := breakLock(ctx, e, name, token, kept); err != nil {
		return err
	}
	e.tellBroken(ctx, name, token)
	return nil
}

// settled finds out whether any master stores the token, and for how long at most. It returns once
// the requests that acquired the lock are over.
func settled(ctx context.Context, e *engine, name, token string) (kept time.Duration, err error) {
	found, err := inspect(ctx, e, name, token)
	if err != nil {
		return 0, as("break", err)
	}
	since, stored := time.Time{}, false
	for _, m := range found.Masters {
		ttl, made, ok := m.stands(token)
		if !ok {
			continue
		}
		if stored, kept = true, max(kept, ttl); made.After(since) {
			since = made
		}
	}
	if !stored {
		return 0, fmt.Errorf("quorum: break %s: %w", quote(name), ErrNotHeld)
	}
	young := e.opts.AttemptTimeout
	if !since.IsZero() {
		young -= max(e.mastersTime().Sub(since), 0)
	}
	switch {
	case young <= 0, e.sleep(ctx, young): //mutant:break-settled
		return kept, nil
	case e.closed.Load():
		return 0, ErrClosed
	}
	return 0, e.unsentError("break", name, ended(ctx))
}

// as names another operation in an AttemptError.
func as(op string, err error) error {
	var failure *AttemptError
	if errors.As(err, &failure) {
		failure.Op = op
	}
	return err
}

// breakLock releases the token on every master, and bars it there.
//
// To release it would not do. The holder may have repairs to make, of masters that had forgotten
// its lock, and it repeats them as long as its window is open. With the masters that Break has not
// reached, they could be a quorum again. So each master that answers stores that the token was
// broken, and then gives no vacant key to it anymore. Nothing else can give it the key: the token
// is in no queue there, and the requests that acquired the lock are over. An extension that is sent
// after Break has returned needs a quorum of the other masters, and they contain none.
//
// The bar outlasts the holder's window, because the masters would have let the key expire by then
// if nobody had extended it.
func breakLock(ctx context.Context, e *engine, name, token string, kept time.Duration) error {
	c := e.claimWith(name, token)
	now := e.clock.Now()
	r := newRound(e, c, c.subject.Break(e.proposal(), vote.Retention(kept)))
	if r.run(ctx, now, now.Add(e.opts.AttemptTimeout)) == vote.Won { //mutant:break-verdict
		return nil
	}
	if e.closed.Load() {
		return ErrClosed
	}
	return r.failure("break", noQuorum(ctx)...)
}

// tellBroken tells that a lock was broken.
func (e *engine) tellBroken(ctx context.Context, name, victim string) {
	d := e.events
	if d.handlers.Broken == nil {
		return
	}
	tell(d, "Broken", d.handlers.Broken, BrokenEvent{
		Name: name, Token: token.Abbreviate(victim), Context: ctx, Time: d.now(),
	})
}
