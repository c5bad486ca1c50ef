package integration

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/quorum"
)

// acquireSeveral acquires up to five locks of one kind together, in any order. Half of the time it
// does not wait. Each of the locks is a hold of its own.
func (w *chaosWorker) acquireSeveral(ctx context.Context) {
	names, kind := w.drawSeveral()
	ttl, timeout := w.ttl(), w.upTo(maxWait)
	call, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	op, acquire := "acquire several", w.locks.AcquireAll
	if w.random.IntN(2) == 0 {
		op, acquire, timeout = "try several", w.locks.TryAcquireAll, 2*chaosAttemptTimeout
	}
	start := w.journal.now()
	locks, err := acquire(call, names, ttl, w.options(kind)...)
	w.journal.checkTook(op, start, w.journal.now()-start, timeout)
	if err != nil {
		w.checkSeveralFailure(call, op, err)
		return
	}
	w.journal.outcome("%s: held", op)
	var holds []*heldLock
	for _, l := range locks.All() {
		holds = append(holds, w.hold(l, kind, ttl, false, 0))
	}
	holds[0].use(ctx, w.useTime(ttl))
	w.releaseSeveral(ctx, locks, holds)
}

// checkSeveralFailure checks the error of an acquisition of several locks.
func (w *chaosWorker) checkSeveralFailure(ctx context.Context, op string, err error) {
	var failures *quorum.LocksError
	if !errors.As(err, &failures) || len(failures.Failures) == 0 {
		w.journal.violation("%s: unexpected error %v", op, err)
		return
	}
	w.journal.checkFailure(ctx, op, err)
}

// drawSeveral draws the names of up to five locks that have the kind of one drawn before.
func (w *chaosWorker) drawSeveral() (names []string, kind lockKind) {
	locks := w.setup.Locks
	kind = locks[w.random.IntN(len(locks))].Kind
	for _, l := range only(locks, kind) {
		names = append(names, l.Name)
	}
	w.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+w.random.IntN(min(5, len(names)))], kind.draw(w.random)
}

// releaseSeveral ends the holds, releases the locks and checks the result.
func (w *chaosWorker) releaseSeveral(ctx context.Context, locks *quorum.Locks, holds []*heldLock) {
	for _, h := range holds {
		h.end()
	}
	call, cancel := context.WithCancel(context.WithoutCancel(ctx)) // also while the process is stopping
	defer cancel()
	before := w.journal.now()
	err := locks.Release(call)
	after := w.journal.now()
	var failures *quorum.LocksError
	errors.As(err, &failures)
	for _, h := range holds {
		h.checkReleased()
		if failures == nil {
			continue
		}
		for _, failure := range failures.Failures {
			if failure.Name == h.lock.Name() && errors.Is(failure, quorum.ErrLost) && after < h.until {
				h.recordDenied(failure.Error())
			}
		}
	}
	if locks.Err() == nil || locks.Validity() > 0 {
		w.journal.violation("released, but held: %v", locks)
	}
	holds[0].checkError(call, "release several", err, errors.Is(err, quorum.ErrLost))
	w.journal.checkTook("release several", before, after-before, chaosAttemptTimeout)
}
