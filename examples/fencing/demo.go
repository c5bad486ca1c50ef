package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

const (
	opening  = 100 // the initial balance
	depositA = 50
	depositB = 30

	ttlA = time.Second // short, so that a short pause is enough
	ttlB = 30 * time.Second
)

// demo is a run of the program with two replicas.
type demo struct {
	out   *log.Logger
	start time.Time
	runID string          // part of the lock names, new for each run
	a, b  *quorum.Manager // one per replica, as in two processes
}

func newDemo(out io.Writer, urls []string) (*demo, error) {
	opts := &quorum.Options{Fencing: true}
	a, err := quorum.Open(urls, opts)
	if err != nil {
		return nil, err
	}
	b, err := quorum.Open(urls, opts)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &demo{out: log.New(out, "", 0), start: time.Now(), runID: rand.Text()[:8], a: a, b: b}, nil
}

func (d *demo) close() {
	_ = d.a.Close()
	_ = d.b.Close()
}

// deposit is the state of a replica that makes a deposit.
type deposit struct {
	lock *quorum.Lock
	read int64 // the balance that it read
}

// outcome is the result of a run.
type outcome struct {
	a, b deposit
	late error // result of A's late write: nil or errStale
}

// run runs the demo on a new account. It returns an error if a step fails that must succeed.
func (d *demo) run(ctx context.Context, acc account) (o outcome, err error) {
	if err := acc.open(ctx, opening); err != nil {
		return o, err
	}
	lockName := "fencing-" + d.runID + "-" + acc.name()

	if o.a, err = startDeposit(ctx, d.a.TryAcquire, lockName, ttlA, acc); err != nil {
		return o, err
	}
	defer func() { _ = o.a.lock.Release(ctx) }() // A has lost it by then
	d.logf("A acquires the lock with fence %d and reads %d", o.a.lock.Fence(), o.a.read)

	// A's code is paused from here to its write below. B waits until the masters let A's lock
	// expire.
	d.logf("A is paused")
	if o.b, err = startDeposit(ctx, d.b.Acquire, lockName, ttlB, acc); err != nil {
		return o, err
	}
	defer func() { _ = o.b.lock.Release(ctx) }()
	if err := acc.write(ctx, o.b.read+depositB, o.b.lock.Fence()); err != nil {
		return o, err
	}
	d.logf("A's lock has expired: B acquires it with fence %d, reads %d and writes %d",
		o.b.lock.Fence(), o.b.read, o.b.read+depositB)

	// A could have checked Validity, but a pause may also follow right after that check.
	o.late = acc.write(ctx, o.a.read+depositA, o.a.lock.Fence())
	if o.late != nil && !errors.Is(o.late, errStale) {
		return o, o.late // a failure, not a rejection
	}
	return o, nil
}

// startDeposit acquires the lock and reads the account.
func startDeposit(ctx context.Context, acquire acquireFunc, lockName string, ttl time.Duration, acc account) (h deposit, err error) {
	if h.lock, err = acquire(ctx, lockName, ttl); err != nil {
		return h, err
	}
	if h.read, err = acc.read(ctx, h.lock.Fence()); err != nil {
		_ = h.lock.Release(ctx)
	}
	return h, err
}

// acquireFunc is the type of TryAcquire and Acquire.
type acquireFunc = func(ctx context.Context, name string, ttl time.Duration, opts ...quorum.AcquireOption) (*quorum.Lock, error)

// expectBalance runs the demo, reports how it ended, and checks the final balance.
func (d *demo) expectBalance(ctx context.Context, acc account, balance int64) error {
	o, err := d.run(ctx, acc)
	if err != nil {
		return err
	}
	left, err := acc.balance(ctx)
	if err != nil {
		return err
	}
	verdict := "accepted"
	if o.late != nil {
		verdict = "rejected, " + o.late.Error()
	}
	d.logf("A wakes up and writes %d: %s", o.a.read+depositA, verdict)
	d.logf("the balance is %d", left)
	if left != balance {
		return fmt.Errorf("the balance is %d, want %d", left, balance)
	}
	return nil
}

func (d *demo) logf(format string, args ...any) {
	d.out.Printf("%7.1f ms  %s", time.Since(d.start).Seconds()*1000, fmt.Sprintf(format, args...))
}
