package quorum

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Once runs fn on one replica out of many per period: whoever takes the lock
// called name first runs fn, and leaves the lock to expire after period. It
// returns whether fn ran here. ran is false without an error when another
// replica has the period.
//
// At most one replica runs fn per period, exactly one if a majority of the
// masters stays reachable, also if all replicas call within the same
// millisecond: as long as no other token is seen on a majority the attempt is
// repeated, for half a period and 5 s at most. After that, or if ctx ends, the
// error is that of TryAcquire.
//
// Another replica's token on a majority does not prove that fn runs there. While
// the token is younger than that replica's Options.AttemptTimeout, its attempt may
// still fail, and the period is free again. So Once looks again before it believes
// such a token: it returns false up to AttemptTimeout and an eighth later, and with
// ErrTaken if ctx ends before. A token that this Manager gave up itself is not taken
// for another replica's. But a replica that crashes, or is cut
// off from the masters, right after they granted it the period leaves the period
// taken although nobody runs fn. Work that must not be missed needs a record of its
// own of when it was done last.
//
// period is counted by the masters and must be shorter than the interval in
// which Once is called, say 23 hours for a nightly job: a period as long as the
// interval can still be running when the next call comes.
//
// If fn returns an error, ran is true and the error is fn's. The period then
// stays taken, also if fn panics, unless Options.OnceGivesBack is set. fn gets
// ctx itself and is not stopped when the period ends; for work that may take
// longer, and must not overlap with the next, use Do. Close does not end the
// period.
func (m *Manager) Once(ctx context.Context, name string, period time.Duration, fn func(context.Context) error) (ran bool, err error) {
	mustHave(ctx)
	if fn == nil {
		return false, errNoFunction
	}
	a, err := m.acquisition(name, period, nil)
	if err != nil {
		return false, err
	}
	if err := m.enter(); err != nil {
		return false, err
	}
	defer m.exit()
	l, err := m.takePeriod(ctx, a)
	if l == nil {
		return false, err
	}
	completed := false
	defer func() {
		if m.opts.OnceGivesBack && (err != nil || !completed) {
			err = errors.Join(err, l.giveUp(ctx))
		}
	}()
	err = fn(ctx)
	completed = true
	return true, err
}

// mostOnceRetries bounds for how long Once tries to win a period that nobody has.
const mostOnceRetries = 5 * time.Second

// rival is another's token that was found on a majority.
type rival struct {
	token string
	sure  clock.Instant // if it stands there yet at this time, its attempt has not failed
}

// takePeriod makes attempts until one wins, or another's token turns out to have a
// majority, for which it returns neither a lock nor an error.
//
// A token that this Manager gave up is no rival's: its release is on its way. One
// that is younger than an attempt can be may belong to an attempt that fails, and
// is about to be rolled back. So it is looked at again when it must be older.
func (m *Manager) takePeriod(ctx context.Context, a acquisition) (*Lock, error) {
	now := m.opts.Clock.Now
	deadline := now().Add(min(a.ttl/2, mostOnceRetries))
	a.seekHolder = true
	var seen rival
	for n := 0; ; n++ {
		l, c, err := m.attempt(ctx, a)
		var failure *AttemptError
		if err == nil {
			return l, nil
		}
		if !errors.As(err, &failure) {
			return nil, err
		}
		pause := backoff(m.opts.MinBackoff, m.opts.MaxBackoff, n, c.token)
		last := now().Add(pause) >= deadline
		if holder := failure.holder; holder != "" && !m.abandoned.has(holder, now()) {
			if holder != seen.token && (seen.token == "" || !last) {
				seen = rival{holder, now().Add(m.youth(ctx, a, holder))}
			}
			if holder == seen.token && now() >= seen.sure {
				return nil, nil
			}
			if holder == seen.token {
				pause, last = seen.sure.Sub(now()), false
			}
		}
		if last || !m.sleep(ctx, pause) {
			return nil, m.onceError(ctx, failure)
		}
	}
}

// youth returns how long it takes until a token that stands on a majority must be
// older than the attempt which put it there can last, with its rollback. How old it
// is by now, the masters' keys tell, if they were given the same TTL. Of a short
// period it takes no more than half.
func (m *Manager) youth(ctx context.Context, a acquisition, token string) time.Duration {
	age := time.Duration(0)
	if i, err := m.inspect(ctx, a.name); err == nil {
		for _, master := range i.Masters {
			if master.Token == token && master.TTL > 0 {
				age = max(age, a.ttl-master.TTL)
			}
		}
	}
	attempt := m.opts.AttemptTimeout + m.opts.AttemptTimeout/8
	return min(max(attempt-age, 0), a.ttl/2)
}

func (m *Manager) onceError(ctx context.Context, failure *AttemptError) error {
	if m.closed.Load() {
		return ErrClosed
	}
	failure.reasons = append(failure.reasons[:1:1], ended(ctx)...)
	failure.holder = ""
	return failure
}
