package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Extend extends all locks, in one round trip; see Lock.Extend. It returns nil once all of them are
// extended.
//
// Otherwise the error is a *LocksError, which names the locks that were not extended. The others
// stay extended: that does no harm, because the whole is valid for as long as the lock with the
// least validity. If the error is ErrNoQuorum, the whole is still held for its Validity, and Extend
// may be called again. If it is ErrLost, the whole is over. If it was over before the call, nothing
// is sent for the other locks either.
func (s *Locks) Extend(ctx context.Context, ttl time.Duration) error {
	mustHave(ctx)
	e := s.engine
	wanted, err := e.opts.checkTTL(ttl, e.opts.LockDelay) //mutant:extend-all-ttl
	if err != nil {
		return fmt.Errorf("quorum: extend %s: %w", quoteAll(s.Names()), err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	if lost := s.lostErrors("extend"); lost != nil { //mutant:extend-whole
		return s.failure("extend", lost)
	}
	errs := make([]error, len(s.locks))
	extensions, rounds := make([]*extension, len(s.locks)), make([]*round, 0, len(s.locks))
	start := e.clock.Now() // before anything is sent: the windows count from here
	for i, l := range s.locks {
		var until clock.Instant
		if extensions[i], until, errs[i] = l.beginExtend(ctx, start, wanted); errs[i] == nil {
			r := extensions[i].round
			r.prepareAll(start, e.timeout(start, until))
			rounds = append(rounds, r)
		}
	}
	submitAll(e, start, rounds)
	for i, l := range s.locks {
		if x := extensions[i]; x != nil {
			errs[i] = l.endExtend(ctx, x, x.round.await(ctx))
		}
	}
	return s.failure("extend", errs)
}

// lostErrors returns the error of an operation for each lock that is over, or nil if none is.
func (s *Locks) lostErrors(op string) (errs []error) {
	for _, l := range s.locks {
		if over := l.Err(); over != nil {
			errs = append(errs, l.lostError(op, over))
		}
	}
	return errs
}

// failure returns the error of an operation on the locks, given their errors, which may be nil.
func (s *Locks) failure(op string, errs []error) error {
	var failures []*AttemptError
	for _, err := range errs {
		var failure *AttemptError
		if errors.As(err, &failure) {
			failures = append(failures, failure)
		}
	}
	return newLocksError(op, len(s.locks), failures)
}
