package quorum

import (
	"context"

	"github.com/quorumlock/redlock/clock"
)

// attemptAll tries once to acquire the locks of several names, all at once. If all tries have won,
// it returns them. Otherwise it returns why some have failed, and rolls back all of them, except
// that with prefix, it returns those before the first one that has failed.
//
// As with attempt, tries that only this Manager's own retired tokens blocked are repeated at once.
// Meanwhile it keeps what the others have won.
func (a *acquirer) attemptAll(ctx context.Context, p acquireParams, names []string, prefix bool) (won []try, failures []*AttemptError) {
	if ctx.Err() != nil {
		return nil, a.unsentAll(ctx, names)
	}
	tries := make([]try, len(names))
	for i, name := range names {
		tries[i].params = p
		tries[i].params.name = name
	}
	pending := pointers(tries)
	for n, start := 0, a.engine.clock.Now(); ; n++ {
		a.runAll(ctx, pending)
		first := 0
		if pending, failures, first = a.failed(ctx, tries); len(pending) == 0 {
			return tries, nil
		}
		if n < maxRepeats && ctx.Err() == nil && a.mayRepeat(ctx, start, failures...) {
			a.rollBackAll(ctx, pending, true)
			continue
		}
		if prefix {
			won = tries[:first]
		}
		// A caller that keeps a prefix is going to wait for a lock anyway.
		a.rollBackAll(ctx, pointers(tries[len(won):]), !prefix) //mutant:roll-back-all
		return won, failures
	}
}

// runAll gives each try a new token, and runs the tries together. Their rounds are sent at the same
// time, and their windows count from the same instant.
func (a *acquirer) runAll(ctx context.Context, tries []*try) {
	start := a.engine.clock.Now() // before anything is sent
	for _, t := range tries {
		c := a.freshClaim(ctx, t.params)
		*t = a.begin(t.params, c, a.request(t.params, c), start)
	}
	underWay, rounds := make([]*try, 0, len(tries)), make([]*round, 0, len(tries))
	for {
		underWay, rounds = underWay[:0], rounds[:0]
		for _, t := range tries {
			if a.next(t) {
				t.last.prepareAll(t.sent, a.engine.timeout(t.sent, t.until))
				underWay, rounds = append(underWay, t), append(rounds, t.last)
			}
		}
		if len(rounds) == 0 {
			return
		}
		submitAll(a.engine, rounds[0].sent, rounds)
		for _, t := range underWay {
			t.verdict = t.last.await(ctx)
		}
	}
}

// failed returns the tries that have failed, why, and the index of the first one.
func (a *acquirer) failed(ctx context.Context, tries []try) (failed []*try, failures []*AttemptError, first int) {
	for i := range tries {
		t := &tries[i]
		if a.hasWon(t) {
			continue
		}
		if failed == nil {
			first = i
		}
		failure := a.failure(ctx, t)
		failed, failures = append(failed, t), append(failures, failure)
		if !failure.unsettled() {
			a.engine.tellAttemptFailed(ctx, failure)
		}
	}
	return failed, failures, first
}

// rollBackAll is rollBack for several tries together. It waits for the masters only if told to.
func (a *acquirer) rollBackAll(ctx context.Context, tries []*try, wait bool) {
	now := a.engine.clock.Now()
	rounds, awaited := make([]*round, len(tries)), make([]*round, 0, len(tries))
	for i, t := range tries {
		granted, to := a.retire(t, now)
		rounds[i] = newRelease(a.engine, t.claim, to, now, granted, 0)
		rounds[i].prepareAll(now, clock.Never)
		if granted != 0 {
			awaited = append(awaited, rounds[i])
		}
	}
	submitAll(a.engine, now, rounds)
	if wait && len(awaited) > 0 && ctx.Err() == nil {
		waitSettled(ctx, a.engine, tries[0].start, awaited...)
	}
}

// unsentAll returns why an attempt did not begin: ctx had ended.
func (a *acquirer) unsentAll(ctx context.Context, names []string) []*AttemptError {
	failures := make([]*AttemptError, len(names))
	for i, name := range names {
		failures[i] = a.engine.unsentError("acquire", name, ended(ctx))
	}
	return failures
}

func pointers[T any](values []T) []*T {
	all := make([]*T, len(values))
	for i := range values {
		all[i] = &values[i]
	}
	return all
}
