package main

import (
	"context"
	"errors"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// ttl is how soon others can have the lock if its holder's process dies. A holder that is alive
// renews the lock, and finds out that it was broken, within a third of that.
const ttl = 3 * time.Second

// replica is one process that runs the nightly job, if no other one does.
type replica struct {
	owner string // in production, the default will do: host and process ID
	locks *quorum.Manager
	logf  func(format string, args ...any)
}

func newReplica(owner string, logf func(string, ...any), open func(string, quorum.Events) *quorum.Manager) *replica {
	r := &replica{owner: owner, logf: logf}
	r.locks = open(owner, quorum.Events{Lost: func(e quorum.LostEvent) { r.logf("%s: event: %v", owner, e) }})
	return r
}

// runJob waits for the lock, and does the work while it holds the lock.
func (r *replica) runJob(ctx context.Context, name string, work func(context.Context) error) error {
	err := r.locks.Do(ctx, name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
		r.logf("%s: holds the lock", r.owner)
		err := work(ctx)
		if errors.Is(context.Cause(ctx), quorum.ErrDenied) {
			r.logf("%s: the lock was broken, so the job stops", r.owner)
		}
		return err
	})
	if err != nil {
		r.logf("%s: %v", r.owner, err)
	} else {
		r.logf("%s: the job is done", r.owner)
	}
	return err
}

// hang is a job that hangs: it waits for a server that never answers. But it heeds its context.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// sendMails is a job as it should be.
func sendMails(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
