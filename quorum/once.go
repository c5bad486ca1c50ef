package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
)

// Once runs fn on one replica out of many per period. The first replica to acquire the lock called
// name runs fn, and leaves the lock to expire after period. ran reports whether fn ran here. ran is
// false and err is nil if another replica has the period.
//
// At most one replica runs fn per period. Exactly one does if a majority of the masters stays
// reachable, even if all replicas call within the same millisecond. For that, Once repeats its
// attempt while it sees no other token on a majority, for half a period and 5 s at most. After
// that, or if ctx ends, it returns the error of TryAcquire.
//
// Another replica's token on a majority does not prove that fn runs there. While the token is
// younger than that replica's Options.AttemptTimeout, the replica's attempt may still fail and
// leave the period free again. So Once looks again before it trusts such a token. It returns false
// up to AttemptTimeout and an eighth later, or ErrTaken if ctx ends first. Once does not mistake a
// token that this Manager gave up for another replica's.
//
// But if a replica crashes or is cut off right after the masters granted it the period, the period
// stays taken although fn runs nowhere. Work that must not be missed needs its own record of when
// it was last done.
//
// With Options.RestartGuard, a master that may have forgotten casts no vote for a period until it
// has been up for the period, and until the guard has passed. So a period may be longer than the
// guard, if all calls with the name have the same one. Restart no more than a minority of the
// masters within a period. Otherwise, Once fails with ErrQuarantined until a majority has been up
// for that long: it rather runs fn too late than twice. Give other locks other names.
//
// The masters measure period. It must be shorter than the interval at which Once is called, for
// example 23 hours for a nightly job. A period as long as the interval may still be running at the
// next call.
//
// If fn returns an error, Once returns true and that error. The period then stays taken unless the
// option GiveBack is given; the same holds if fn panics. fn gets ctx itself and is not stopped when
// the period ends. Use Do for work that may take longer and must not overlap with the next run.
// Close does not end the period. If fn did not run, the error, if any, is an ErrNotAcquired.
func (m *Manager) Once(ctx context.Context, name string, period time.Duration, fn func(context.Context) error, opts ...OnceOption) (ran bool, err error) {
	mustHave(ctx)
	if fn == nil {
		return false, errNoFunction
	}
	p, err := m.beginOnce(name, period, opts)
	if err != nil {
		return false, err
	}
	defer m.engine.exit()
	p.began = m.engine.clock.Now()
	l, err := m.acquirer.takePeriod(ctx, p.acquireParams)
	if l == nil {
		m.engine.tellNotAcquired(ctx, p.acquireParams, err)
		return false, err
	}
	completed := false
	defer func() {
		if p.giveBack && (err != nil || !completed) { //mutant:once-gives-back
			err = errors.Join(err, l.giveUp(ctx, "release"))
		}
		l.leave()
	}()
	err = fn(ctx)
	completed = true
	return true, err
}

// OnceOption changes one call of Once.
type OnceOption func(*onceParams)

// GiveBack makes Once release its period if its function returns an error or panics, so that
// another replica, or the next call, can try again. If too few masters confirm that release, Once's
// error says so too.
func GiveBack() OnceOption {
	return func(p *onceParams) { p.giveBack = true }
}

// onceParams holds the parameters of one call of Once.
type onceParams struct {
	acquireParams
	giveBack bool
}

// beginOnce checks the parameters and calls engine.enter. The caller must call engine.exit. Nobody
// relies on a period's window, so there is no LockDelay. Each period is its own restart guard.
func (m *Manager) beginOnce(name string, period time.Duration, opts []OnceOption) (p onceParams, err error) {
	o := &m.engine.opts
	p.name = name
	if err := o.checkName(name); err != nil {
		return p, &notAcquired{fmt.Errorf("quorum: acquire: %w", err)}
	}
	if p.lease, err = o.lease(period, 0); err != nil { // whatever the restart guard
		return p, acquireError(err, name)
	}
	p.silent = true
	for _, opt := range opts {
		if opt != nil {
			opt(&p)
		}
	}
	if m.engine.enter() != nil {
		return p, errClosedNotAcquired
	}
	return p, nil
}

// leave ends the Manager's interest in a lock that is left to expire, unless it was released.
func (l *Lock) leave() {
	l.engine.expiry.forget(&l.watched)
	now := l.engine.clock.Now()
	over := l.Err()
	l.engine.held.remove(&l.held)
	if !errors.Is(over, ErrReleased) { //mutant:leave-tells
		l.tellReleased(now, true, nil)
	}
}

// maxOnceRetries bounds how long Once tries to win a period that nobody has.
const maxOnceRetries = 5 * time.Second

// rival is another client's token that a majority was found to store.
type rival struct {
	token string
	sure  clock.Instant // if masters still store it then, its attempt has not failed
}

// takePeriod makes attempts until one wins, or until another token turns out to have a majority. In
// the latter case it returns neither a lock nor an error.
//
// A token that this Manager gave up is not a rival: its release is on the way. A token that is
// still within the time an attempt can last may belong to an attempt that fails and is about to be
// rolled back. So takePeriod looks again once the token must be older.
func (a *acquirer) takePeriod(ctx context.Context, p acquireParams) (*Lock, error) {
	now := a.engine.clock.Now
	deadline := now().Add(min(p.ttl/2, maxOnceRetries))
	p.seekHolder = true
	var seen rival
	for n := 0; ; n++ {
		l, token, err := a.attempt(ctx, p)
		var failure *AttemptError
		if err == nil {
			return l, nil
		}
		if !errors.As(err, &failure) || errors.Is(err, ErrOtherMasters) {
			return nil, err
		}
		pause := backoff.Pause(a.engine.opts.MinBackoff, a.engine.opts.MaxBackoff, n, token)
		last := now().Add(pause) >= deadline                                                //mutant:once-last
		if holder := failure.holder; holder != "" && !a.engine.retired.has(holder, now()) { //mutant:once-rival
			if holder != seen.token && (seen.token == "" || !last) {
				seen = rival{holder, now().Add(a.youth(ctx, p, holder))}
			}
			if holder == seen.token && now() >= seen.sure {
				return nil, nil
			}
			if holder == seen.token {
				pause, last = seen.sure.Sub(now()), false
			}
		}
		if last || !a.engine.sleep(ctx, pause) {
			return nil, a.onceError(ctx, failure)
		}
	}
}

// youth returns how long to wait until the attempt that stored a token on a majority must be over,
// including its rollback. The TTLs that the masters' keys have left show how old the token is by
// now, provided that they were set with the same TTL. youth is at most half the period.
func (a *acquirer) youth(ctx context.Context, p acquireParams, token string) time.Duration {
	age := time.Duration(0)
	if i, err := inspect(ctx, a.engine, p.name, ""); err == nil {
		for _, master := range i.Masters {
			if master.Token == token && master.TTL > 0 {
				age = max(age, p.keep-master.TTL)
			}
		}
	}
	attempt := a.engine.opts.AttemptTimeout + a.engine.opts.AttemptTimeout/8
	return min(max(attempt-age, 0), p.ttl/2) //mutant:youth
}

func (a *acquirer) onceError(ctx context.Context, failure *AttemptError) error {
	if a.engine.closed.Load() {
		return errClosedNotAcquired
	}
	failure.reasons = append(failure.reasons[:1:1], ended(ctx)...)
	failure.holder = ""
	return failure
}
