package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/quorum"
)

// tooOld is the age from which on the operator looks at a lock. For a job that usually takes
// minutes, it would be an hour.
const tooOld = time.Second

// patience is the longest that the operator looks.
const patience = 30 * time.Second

// operator is whoever is on call at three in the morning.
type operator struct {
	locks *quorum.Manager
	urls  []string
	logf  func(format string, args ...any)
}

// list returns the locks whose names begin with names, and that have been held for age at least.
func (o *operator) list(ctx context.Context, names string, age time.Duration) (found []*quorum.Inspection, err error) {
	for lock, failed := range o.locks.List(ctx, quorum.NamePrefix(names), quorum.MinAge(age)) {
		if failed != nil {
			err = errors.Join(err, failed) // about one master: the others are listed all the same
			continue
		}
		found = append(found, lock)
	}
	return found, err
}

// findStuck lists until a lock is too old. Outside of a demo, the operator looks once, because the
// lock is too old already.
func (o *operator) findStuck(ctx context.Context, names string) (*quorum.Inspection, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		found, err := o.list(ctx, names, tooOld)
		if len(found) > 0 {
			stuck := found[0]
			o.logf("operator: one lock is older than %v: %q, held by %s since %s (%v), expires in %v, %d waiting", tooOld, stuck.Name,
				stuck.Owner, stuck.Since.Format(time.TimeOnly), time.Since(stuck.Since).Round(time.Millisecond),
				stuck.TTL.Round(time.Millisecond), stuck.Waiting)
			return stuck, o.read(ctx, stuck.Name)
		}
		if err != nil || time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("no lock is older than %v", tooOld), err)
		}
	}
}

// read reads the lock's key on one master. That needs no tool of this library: after the @ stands
// the owner. The part before is a secret: who has all of it can break the lock. This is shown here
// because it is what an operator sees.
func (o *operator) read(ctx context.Context, name string) error {
	var errs []error
	for _, url := range o.urls {
		value, err := get(ctx, url, name)
		if err == nil {
			o.logf("operator: redis-cli GET %s: %q", name, value)
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// get reads a key on one master.
func get(ctx context.Context, url, key string) (string, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return "", err // not of a URL that quorum.Open has accepted
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	return client.Get(ctx, key).Result()
}

// breakLock takes the lock from its holder. The operator names the token, too. So if the job has
// come to its senses meanwhile, and the lock is another replica's by now, nothing happens.
//
// The holder does not know yet. So an operator first makes sure that the job is stuck, or that the
// resource refuses its writes; see examples/fencing.
func (o *operator) breakLock(ctx context.Context, stuck *quorum.Inspection) error {
	o.logf("operator: breaks the lock; %s will find out within %v", stuck.Owner, ttl/3)
	if err := o.locks.Break(ctx, stuck.Name, stuck.Token); err != nil {
		return err
	}
	// The lock is broken once a quorum of the masters has done so. The others follow.
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		again := o.locks.Break(ctx, stuck.Name, stuck.Token)
		if errors.Is(again, quorum.ErrNotHeld) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("the token of a lock that was broken should be gone"), again)
		}
	}
}

// awaitMasters waits for masters that can grant locks: a job would wait for those that are down.
func (o *operator) awaitMasters(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := o.locks.Check(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// expectNothing makes sure that no lock stands anymore. The last release may be on its way to some
// masters.
func (o *operator) expectNothing(ctx context.Context, names string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		found, err := o.list(ctx, names, 0)
		if len(found) == 0 && err == nil {
			o.logf("operator: no lock stands anymore")
			return nil
		}
		if err != nil || time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("locks still stand: %v", found), err)
		}
	}
}
