package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// demo is a run of the program: two replicas of a job, and an operator, as in three processes.
type demo struct {
	out   *log.Logger
	start time.Time
	urls  []string
	names string // how the names of this run's locks begin; it leaves others alone

	first, second *replica
	operator      *operator
	jobs          sync.WaitGroup
}

// runDemo runs the demo on the given masters.
func runDemo(ctx context.Context, out io.Writer, urls []string, masters string) (err error) {
	d := &demo{out: log.New(out, "", 0), start: time.Now(), urls: urls, names: "oncall-" + rand.Text()[:8] + ":"}
	open := func(owner string, events quorum.Events) *quorum.Manager {
		locks, failed := quorum.Open(urls, &quorum.Options{Owner: owner, Events: events})
		err = errors.Join(err, failed)
		return locks
	}
	d.first, d.second = newReplica("web-1:4711", d.logf, open), newReplica("web-2:4712", d.logf, open)
	d.operator = &operator{locks: open("operator:alice", quorum.Events{}), urls: urls, logf: d.logf}
	if err != nil {
		return err // of the URLs: if one Manager cannot be opened, none can
	}
	defer func() {
		err = errors.Join(err, d.first.locks.Close(), d.second.locks.Close(), d.operator.locks.Close())
	}()

	d.out.Printf("A nightly job hangs, and holds its lock on %d %s.\n\n", len(urls), masters)
	if err := d.run(ctx); err != nil {
		return err
	}
	d.out.Print("\nEverything worked as promised.")
	return nil
}

func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer d.jobs.Wait()
	defer cancel()
	if err := d.operator.awaitMasters(ctx); err != nil {
		return err
	}
	name := d.names + "nightly-mail"
	hung := d.startJob(ctx, d.first, name, hang)
	if err := hung.hasBegun(); err != nil {
		return err
	}
	next := d.startJob(ctx, d.second, name, sendMails)
	stuck, err := d.operator.findStuck(ctx, d.names)
	if err != nil {
		return err
	}
	if err := d.operator.breakLock(ctx, stuck); err != nil {
		return err
	}
	if err := <-hung.ended; !errors.Is(err, quorum.ErrDenied) {
		return fmt.Errorf("%s should have lost its lock, but its job returned %w", d.first.owner, err)
	}
	if err := <-next.ended; err != nil {
		return err
	}
	return d.operator.expectNothing(ctx, d.names)
}

// running is a job that was started.
type running struct {
	begun chan struct{} // closed once it has its lock
	ended chan error    // delivers what it returned
}

// hasBegun waits until the job has its lock.
func (r *running) hasBegun() error {
	select {
	case <-r.begun:
		return nil
	case err := <-r.ended:
		return err
	}
}

// startJob starts a replica's job, which waits for its lock. The job ends with ctx.
func (d *demo) startJob(ctx context.Context, on *replica, name string, work func(context.Context) error) *running {
	r := &running{make(chan struct{}), make(chan error, 1)}
	d.jobs.Go(func() {
		r.ended <- on.runJob(ctx, name, func(ctx context.Context) error {
			close(r.begun)
			return work(ctx)
		})
	})
	return r
}

// logf prints what happened, and when.
func (d *demo) logf(format string, args ...any) {
	d.out.Printf("%7.1f ms  %s", time.Since(d.start).Seconds()*1000, fmt.Sprintf(format, args...))
}
