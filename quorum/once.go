package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
)

// Once runs fn on one replica out of many per period. The replica that first acquires the lock
// called name runs fn, and leaves the lock to expire after period. Once returns whether fn ran
// here. ran is false without an error if another replica has the period.
//
// At most one replica runs fn per period, and exactly one if a majority of the masters stays
// reachable, even if all replicas call within the same millisecond: while no other token is seen on
// a majority, the attempt is repeated for half a period, and 5 s at most. After that, or if ctx
// ends, the error is that of TryAcquire.
//
// Another replica's token on a majority does not prove that fn runs there. While the token is
// younger than that replica's Options.AttemptTimeout, its attempt may still fail and leave the
// period free again. So Once looks again before it believes such a token: it returns false up to
// AttemptTimeout and an eighth later, and ErrTaken if ctx ends before. A token that this Manager
// gave up itself is not taken for another replica's. But a replica that crashes or is cut off from
// the masters right after they granted it the period leaves the period taken although fn runs
// nowhere. Work that must not be missed needs its own record of when it was last done.
//
// period is counted by the masters and must be shorter than the interval in which Once is called,
// for instance 23 hours for a nightly job. A period as long as the interval can still be running
// when the next call comes.
//
// If fn returns an error, ran is true and the error is fn's. The period then stays taken, also if
// fn panics, unless Options.OnceGivesBack is set. fn gets ctx itself and is not stopped when the
// period ends. Use Do for work that may take longer and must not overlap with the next run. Close
// does not end the period.
func (m *Manager) Once(ctx context.Context, name string, period time.Duration, fn func(context.Context) error) (ran bool, err error) {
	mustHave(ctx)
	if fn == nil {
		return false, errNoFunction
	}
	p, err := m.begin(ctx, name, period, nil)
	if err != nil {
		return false, err
	}
	defer m.engine.exit()
	l, err := m.acquirer.takePeriod(ctx, p)
	if l == nil {
		return false, err
	}
	completed := false
	defer func() {
		if m.engine.opts.OnceGivesBack && (err != nil || !completed) { //mutant:once-gives-back
			err = errors.Join(err, l.giveUp(ctx))
		}
	}()
	err = fn(ctx)
	completed = true
	return true, err
}

// maxOnceRetries bounds how long Once tries to win a period that nobody has.
const maxOnceRetries = 5 * time.Second

// rival is another client's token that was found on a majority.
type rival struct {
	token string
	sure  clock.Instant // if masters still store it then, its attempt has not failed
}

// takePeriod makes attempts until one wins, or until another token turns out to have a majority,
// for which it returns neither a lock nor an error.
//
// A token that this Manager gave up is no rival's: its release is on the way. One that is younger
// than an attempt can be may belong to an attempt that fails and is about to be rolled back. So it
// is looked at again when it must be older.
func (a *acquirer) takePeriod(ctx context.Context, p acquireParams) (*Lock, error) {
	now := a.clock.Now
	deadline := now().Add(min(p.ttl/2, maxOnceRetries))
	p.seekHolder = true
	var seen rival
	for n := 0; ; n++ {
		l, token, err := a.attempt(ctx, p)
		var failure *AttemptError
		if err == nil {
			return l, nil
		}
		if !errors.As(err, &failure) {
			return nil, err
		}
		pause := backoff.Pause(a.opts.MinBackoff, a.opts.MaxBackoff, n, token)
		last := now().Add(pause) >= deadline                                         //mutant:once-last
		if holder := failure.holder; holder != "" && !a.retired.has(holder, now()) { //mutant:once-rival
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
		if last || !a.sleep(ctx, pause) {
			return nil, a.onceError(ctx, failure)
		}
	}
}

// youth returns how long it takes until a token that a majority stores must be older than the
// attempt that put it there can last, its rollback included. The masters' keys tell how old it is
// by now, if they were given the same TTL. Of a short period it takes no more than half.
func (a *acquirer) youth(ctx context.Context, p acquireParams, token string) time.Duration {
	age := time.Duration(0)
	if i, err := inspect(ctx, a.engine, p.name); err == nil {
		for _, master := range i.Masters {
			if master.Token == token && master.TTL > 0 {
				age = max(age, p.ttl-master.TTL)
			}
		}
	}
	attempt := a.opts.AttemptTimeout + a.opts.AttemptTimeout/8
	return min(max(attempt-age, 0), p.ttl/2) //mutant:youth
}

func (a *acquirer) onceError(ctx context.Context, failure *AttemptError) error {
	if a.closed.Load() {
		return ErrClosed
	}
	failure.reasons = append(failure.reasons[:1:1], ended(ctx)...)
	failure.holder = ""
	return failure
}
