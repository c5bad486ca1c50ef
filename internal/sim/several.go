package sim

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// several is several locks that a client has acquired together. Each of them is a hold of its own.
type several struct {
	client *client
	who    string
	locks  *quorum.Locks
	holds  []*hold
}

// useSeveral acquires several locks, then extends, releases, overuses or forgets them at random.
func (c *client) useSeveral(r random, who string, ttl time.Duration) {
	w := c.world
	ctx, cancel := r.timeout(r.between(time.Millisecond, min(5*ttl, longestUse)))
	defer cancel()
	acquire := c.manager.TryAcquireAll
	if r.chance(0.7) {
		acquire = c.manager.AcquireAll
	}
	var opts []quorum.AcquireOption
	renewed := r.chance(0.3)
	if renewed {
		opts = append(opts, quorum.AutoRenew(time.Duration(r.IntN(2))*4*ttl))
	}
	names, calls := c.startCalls(r)
	k := w.drawKind(r, names[0])
	opts = append(opts, k.options()...)
	minHold := time.Duration(0)
	if r.chance(w.cfg.MinHold) && !k.ordered() {
		minHold = r.between(time.Millisecond, ttl)
		opts = append(opts, quorum.MinHold(minHold))
	}
	locks, err := acquire(ctx, names, ttl, opts...)
	for _, k := range calls {
		k.end()
	}
	c.checkSeveralError(ctx, who, calls, err)
	if err != nil {
		return
	}
	s := &several{client: c, who: who, locks: locks}
	for _, l := range locks.All() {
		h := c.hold(r, who, l, k, renewed)
		h.rests, h.granted = calls[l.Name()].from+minHold, h.wasGranted()
		s.holds = append(s.holds, h)
	}
	for range r.IntN(4) {
		s.use(r.between(time.Microsecond, min(ttl, longestUse)/2))
		if r.chance(0.5) {
			s.extend(r, ttl)
		}
	}
	s.end(r, ttl)
}

// startCalls draws several names of locks of one kind, and starts a call for each.
func (c *client) startCalls(r random) (names []string, calls map[string]*apiCall) {
	w := c.world
	calls = map[string]*apiCall{}
	var usual kind
	for _, i := range r.Perm(w.cfg.Names)[:2+r.IntN(w.cfg.Names-1)] {
		name := w.lockName(i)
		if names == nil {
			usual = w.usualKind(name)
		}
		if w.usualKind(name) == usual {
			names, calls[name] = append(names, name), c.startCall(name)
		}
	}
	return names, calls
}

// checkSeveralError checks the error of an acquisition, for each lock that it names.
func (c *client) checkSeveralError(ctx context.Context, who string, calls map[string]*apiCall, err error) {
	w := c.world
	w.log("%s acquires %d locks: %v", who, len(calls), sentinels(err))
	if err == nil {
		return
	}
	var failures *quorum.LocksError
	if !errors.As(err, &failures) || len(failures.Failures) == 0 {
		w.violation("%s: not a LocksError: %v", who, err)
		return
	}
	if errors.Is(err, quorum.ErrTaken) == errors.Is(err, quorum.ErrNoQuorum) {
		w.violation("%s: not exactly one of ErrTaken and ErrNoQuorum: %v", who, err)
	}
	for _, failure := range failures.Failures {
		calls[failure.Name].checkError(ctx, who, failure)
	}
}

// use spends time d holding the locks.
func (s *several) use(d time.Duration) {
	s.holds[0].use(d)
	for _, h := range s.holds[1:] {
		h.checkWindow()
	}
	s.checkWhole()
}

// checkWhole checks that the whole is what its locks are.
func (s *several) checkWhole() {
	least := s.holds[0].lock.Validity()
	for _, h := range s.holds[1:] {
		least = min(least, h.lock.Validity())
	}
	if whole := s.locks.Validity(); whole != least {
		s.client.world.violation("%s: the whole is valid for %v, and its locks for %v", s.who, whole, least)
	}
	if (s.locks.Err() == nil) != (least > 0) {
		s.client.world.violation("%s: valid for %v, but: %v", s.who, least, s.locks.Err())
	}
}

func (s *several) extend(r random, ttl time.Duration) {
	w := s.client.world
	ctx, cancel := r.timeout(r.between(time.Millisecond, 2*ttl))
	defer cancel()
	longer := r.between(ttl/2, 2*ttl).Truncate(time.Millisecond)
	before, start := s.locks.Validity(), w.now()
	err := s.locks.Extend(ctx, longer)
	w.log("%s extends %d locks by %v: %v", s.who, len(s.holds), longer, sentinels(err))
	failed := s.checkFailures(err)
	for _, h := range s.holds {
		if failed[h.lock.Name()] == nil && before > 0 {
			h.confirmed = start
		}
		h.checkWindow()
	}
	switch {
	case err == nil && before <= 0:
		w.violation("%s: extending an expired whole succeeded", s.who)
	case errors.Is(err, quorum.ErrNoQuorum) && before <= 0:
		w.violation("%s: extending an expired whole failed with %v", s.who, err)
	case errors.Is(err, quorum.ErrLost) && s.locks.Validity() > 0:
		w.violation("%s: lost, but still valid", s.who)
	}
	s.checkWhole()
}

// checkFailures checks that each lock which an error names is lost if the error says so. It returns
// the failures by name.
func (s *several) checkFailures(err error) (failed map[string]error) {
	failed = map[string]error{}
	if err == nil {
		return failed
	}
	var failures *quorum.LocksError
	if !errors.As(err, &failures) {
		s.client.world.violation("%s: not a LocksError: %v", s.who, err)
		return failed
	}
	if errors.Is(err, quorum.ErrLost) == errors.Is(err, quorum.ErrNoQuorum) {
		s.client.world.violation("%s: not exactly one of ErrLost and ErrNoQuorum: %v", s.who, err)
	}
	for _, failure := range failures.Failures {
		failed[failure.Name] = failure
		for _, h := range s.holds {
			if h.lock.Name() == failure.Name {
				h.checkLoss(failure) // if it is an ErrDenied or an ErrExpired
			}
		}
	}
	return failed
}

// end ends the use of the locks.
func (s *several) end(r random, ttl time.Duration) {
	if !s.client.world.cfg.Tidy {
		if r.chance(0.1) {
			s.client.sleep(r, r.between(ttl, 2*ttl)) // pause until the locks have expired
		}
		if r.chance(0.1) && !s.holds[0].renewed {
			for s.locks.Validity() > 0 {
				s.use(s.client.clock.toTrueTime(s.locks.Validity()) + time.Nanosecond)
			}
			s.finish()
			return
		}
	}
	s.release(r)
}

// finish ends all holds.
func (s *several) finish() {
	for _, h := range s.holds {
		h.finish()
	}
}

func (s *several) release(r random) {
	w := s.client.world
	ctx, cancel := r.timeout(r.between(time.Millisecond, 2*callTimeout))
	defer cancel()
	if r.chance(0.2) {
		cancel()
	}
	held := map[string]bool{}
	for _, h := range s.holds {
		held[h.lock.Name()] = h.lock.Validity() > 0
	}
	s.finish()
	err := s.locks.Release(ctx)
	w.log("%s releases %d locks: %v", s.who, len(s.holds), sentinels(err))
	failed := s.checkFailures(err)
	for _, h := range s.holds {
		switch name := h.lock.Name(); {
		case held[name] && errors.Is(failed[name], quorum.ErrExpired):
			w.violation("%s: %s was lost at the instant of its release: %v", s.who, name, err)
		case failed[name] != nil:
		case !held[name]:
			w.violation("%s: Release of %s succeeded after it had expired", s.who, name)
		default:
			h.recordRest()
		}
	}
	if s.locks.Err() == nil {
		w.violation("%s: still held after its release", s.who)
	}
}

// mustAcquireAll acquires all locks together after all faults are over.
func (c *client) mustAcquireAll() {
	bound := c.world.patienceAfterFaults()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	var names []string
	for i := range c.world.cfg.Names {
		names = append(names, c.world.lockName(i))
	}
	locks, err := c.manager.AcquireAll(ctx, names, c.world.cfg.TTL)
	if err != nil {
		c.world.violation("a waiter for all locks did not get them within %v: %v", bound, err)
		return
	}
	if err := locks.Release(context.Background()); err != nil {
		c.world.violation("Release of all locks failed without faults: %v", err)
	}
}
