package quorum

import (
	"context"
	"errors"
	"time"
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
// still fail, and the period is free again. And a replica that crashes, or is cut
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

// takePeriod makes attempts until one wins, or another's token is seen on a
// majority, for which it returns neither a lock nor an error.
func (m *Manager) takePeriod(ctx context.Context, a acquisition) (*Lock, error) {
	now := m.opts.Clock.Now
	deadline := now().Add(min(a.ttl/2, mostOnceRetries))
	a.seekHolder = true
	own := map[string]bool{} // tokens of attempts that failed, but may stand yet
	for n := 0; ; n++ {
		l, c, err := m.attempt(ctx, a)
		var failure *AttemptError
		switch {
		case err == nil:
			return l, nil
		case !errors.As(err, &failure):
			return nil, err
		case failure.holder != "" && !own[failure.holder]:
			return nil, nil
		}
		own[c.token] = true
		pause := backoff(m.opts.MinBackoff, m.opts.MaxBackoff, n, c.token)
		if now().Add(pause) >= deadline || !m.sleep(ctx, pause) {
			return nil, m.onceError(ctx, failure)
		}
	}
}

func (m *Manager) onceError(ctx context.Context, failure *AttemptError) error {
	if m.closed.Load() {
		return ErrClosed
	}
	failure.reasons = append(failure.reasons[:1:1], ended(ctx)...)
	failure.holder = ""
	return failure
}
