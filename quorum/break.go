package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
)

// ErrNotHeld means that no master stores the token that was given to Break or Resume. Its lock was
// released or has expired, or the token is another's.
var ErrNotHeld = errors.New("quorum: no master stores the token")

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
// Break returns nil once a quorum of the masters has stopped storing the token at the same time,
// and the holder cannot put it back. If no master stores it in the first place, the error is
// ErrNotHeld, and nothing is changed. It is ErrTaken if enough masters store a third token: the
// lock has changed hands. If too few masters answer, the error is ErrNoQuorum: the lock may or may
// not be broken, and Break may be repeated. If ctx ended, the error also satisfies errors.Is for
// ctx's error. After Close it is ErrClosed.
func (m *Manager) Break(ctx context.Context, name, token string) error {
	mustHave(ctx)
	if err := m.engine.opts.checkName(name); err != nil {
		return fmt.Errorf("quorum: break: %w", err)
	}
	if err := m.engine.enter(); err != nil {
		return err
	}
	defer m.engine.exit()
	if err := mustBeStored(ctx, m.engine, name, token); err != nil {
		return err
	}
	if err := breakLock(ctx, m.engine, name, token); err != nil {
		return err
	}
	m.engine.tellBroken(ctx, name, token)
	return nil
}

// breakTTL is how long the masters store the token of a Break that dies halfway.
const breakTTL = 5 * time.Second

// mustBeStored returns an error unless a master stores the token.
func mustBeStored(ctx context.Context, e *engine, name, token string) error {
	found, err := inspect(ctx, e, name)
	if err != nil {
		return as("break", err)
	}
	for _, m := range found.Masters {
		if m.Token == token && token != "" {
			return nil
		}
	}
	return fmt.Errorf("quorum: break %s: %w", quote(name), ErrNotHeld)
}

// as names another operation in an AttemptError.
func as(op string, err error) error {
	var failure *AttemptError
	if errors.As(err, &failure) {
		failure.Op = op
	}
	return err
}

// breakLock replaces the victim's token by one of its own, on every master, and then releases that.
//
// To delete the token on one master after the other would not do. The holder's extensions may be
// confirmed by the masters whose turn has yet to come, and then it repairs those that were first.
// But once a quorum stores the new token at the same time, no extension wins anymore. Those that
// won before have repairs to make on fewer masters than a quorum: an extension's own quorum needs
// none, and the new token keeps earlier repairs out.
//
// A third token may belong to an attempt that fails at once, so breakLock tries again.
func breakLock(ctx context.Context, e *engine, name, victim string) error {
	start := e.clock.Now()
	c := e.newClaim(name)
	c.noteTTL(breakTTL)
	r, verdict := takeFrom(ctx, e, c, victim, start.Add(breakTTL/2))
	now := e.clock.Now()
	if verdict != vote.Won {
		failure := r.failure("break", noQuorum(ctx)...)
		failure.classify(e.system)
		discard(e, c, wire.Nobody, now)
		if e.closed.Load() {
			return ErrClosed
		}
		return e.redactVictim(failure, victim)
	}
	taken := r.with(vote.Held)
	e.retire(c, now)
	released := startRelease(e, c, wire.Anyone, now, taken, e.proposeNext(now)) //mutant:break-hands-on
	released.waitSettled(ctx, start)
	return nil
}

// takeFrom makes rounds that give the claim the victim's keys, until one wins or fails for good. It
// returns the last one and its verdict. All rounds are over by the given time, while every master
// still stores what the first one stored.
func takeFrom(ctx context.Context, e *engine, c *claim, victim string, until clock.Instant) (*round, vote.Verdict) {
	for n := 0; ; n++ {
		r := newRound(e, c, c.subject.Break(victim, breakTTL))
		verdict := r.run(ctx, e.clock.Now(), until) //mutant:break-verdict
		pause := backoff.Pause(e.opts.MinBackoff, e.opts.MaxBackoff, n, c.subject.Token)
		again := e.clock.Now().Add(pause) < until && (verdict == vote.LostToRival || verdict == vote.Doomed)
		if !again || !e.sleep(ctx, pause) {
			return r, verdict
		}
	}
}

// proposeNext returns the fence that a release proposes for the next holder, or 0 without fencing.
func (e *engine) proposeNext(now clock.Instant) int64 {
	if !e.opts.Fencing {
		return 0
	}
	return vote.Propose(e.offsets.mastersTime(now))
}

// redactVictim makes sure that no master's error repeats the victim's token. The token of the round
// itself has been redacted.
func (e *engine) redactVictim(failure *AttemptError, victim string) *AttemptError {
	for i, m := range failure.Masters {
		failure.Masters[i].Err = e.masters[i].Redact(m.Err, victim)
	}
	return failure
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
