package quorum

import (
	"context"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// Release gives up all locks, in one round trip; see Lock.Release. All windows are closed before
// anything is sent. It returns nil once each lock is released.
//
// Otherwise the error is a *LocksError, which names the locks whose Release would return an error.
// It is ErrLost if any of them is over already, because it was lost or detached. If it is
// ErrNoQuorum, calling Release again asks the masters again for these locks, and for no others. All
// the others are released, whatever the error.
func (s *Locks) Release(ctx context.Context) error {
	mustHave(ctx)
	e := s.engine
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	now := e.clock.Now()
	if s.Err() == nil {
		s.end(ErrReleased)
	}
	all := make([]givingUp, len(s.locks))
	for i, l := range s.locks {
		all[i] = l.beginRelease(now)
	}
	ctx = releaseContext(ctx)
	rounds := make([]*round, 0, len(s.locks))
	for i, l := range s.locks {
		if all[i].mine != nil {
			e.expiry.forget(&l.watched)
			r := newRelease(e, l.claim, wire.Anyone, now, 0, l.nextFence())
			r.prepareAll(now, clock.Never)
			all[i].round, rounds = r, append(rounds, r)
		}
	}
	submitAll(e, now, rounds)
	errs := make([]error, len(s.locks))
	for i, l := range s.locks {
		errs[i] = l.endRelease(ctx, all[i], now, "release")
	}
	return s.failure("release", errs)
}
