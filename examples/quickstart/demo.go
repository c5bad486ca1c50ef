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
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const (
	ttl      = 30 * time.Second // TTL of the lock
	patience = time.Second      // how long replica B waits for the lock
)

// demo is a run of the program with two replicas.
type demo struct {
	out   *log.Logger
	start time.Time
	name  string          // name of the lock, new for each run
	a, b  *quorum.Manager // one per replica, as in two processes
}

// runDemo runs the demo on the given masters. It kills two masters of cluster, which is nil if the
// masters are real.
func runDemo(ctx context.Context, out io.Writer, urls []string, cluster *quorumtest.Cluster) error {
	a, err := quorum.Open(urls, nil)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	b, err := quorum.Open(urls, nil)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()

	d := &demo{out: log.New(out, "", 0), start: time.Now(), name: "quickstart-" + rand.Text()[:8], a: a, b: b}
	masters := "embedded masters"
	if cluster == nil {
		masters = "real masters, none of which is killed"
	}
	d.out.Printf("Two replicas contend for lock %q on %d %s.\n\n", d.name, len(urls), masters)
	if err := d.run(ctx, cluster); err != nil {
		return err
	}
	d.out.Print("\nEverything worked as promised.")
	return nil
}

func (d *demo) run(ctx context.Context, cluster *quorumtest.Cluster) error {
	lock, err := d.a.TryAcquire(ctx, d.name, ttl)
	if err != nil {
		return err
	}
	if err := d.reportHeld(ctx, lock, "replica A acquires the lock"); err != nil {
		return err
	}
	if err := d.expectTaken(ctx); err != nil {
		return err
	}
	if cluster != nil {
		cluster.Master(0).Stop()
		cluster.Master(1).Stop()
		d.logf("two of the five masters are killed")
		if err := d.expectTaken(ctx); err != nil {
			return err
		}
	}
	if err := lock.Extend(ctx, ttl); err != nil {
		return err
	}
	if err := d.reportHeld(ctx, lock, "replica A extends the lock"); err != nil {
		return err
	}
	return d.handOff(ctx, lock)
}

// reportHeld reports how many masters store the lock. An attempt does not wait for more masters
// than it needs, so the other replies may still be on their way.
func (d *demo) reportHeld(ctx context.Context, lock *quorum.Lock, event string) error {
	at := time.Since(d.start)
	deadline := time.Now().Add(time.Second)
	for {
		seen, err := d.a.Inspect(ctx, d.name)
		if err != nil {
			return err
		}
		stored, answered := 0, 0
		for _, m := range seen.Masters {
			if m.Err == nil {
				answered++
			}
			if m.Token == lock.Token() {
				stored++
			}
		}
		if stored == answered || time.Now().After(deadline) && seen.Token == lock.Token() {
			d.logAt(at, "%s: stored on %d of %d masters, valid for another %v",
				event, stored, len(seen.Masters), lock.Validity().Round(time.Millisecond))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("replica A should hold the lock, but Inspect returned %v", seen)
		}
		time.Sleep(time.Millisecond)
	}
}

// expectTaken lets replica B wait for the lock. It must not get it.
func (d *demo) expectTaken(ctx context.Context) error {
	waitCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lock, err := d.b.Acquire(waitCtx, d.name, ttl)
	if err == nil {
		return fmt.Errorf("replica B acquired the lock while replica A holds it: %v", lock)
	}
	if !errors.Is(err, quorum.ErrTaken) {
		return err
	}
	var failure *quorum.AttemptError
	if !errors.As(err, &failure) {
		return err
	}
	d.logf("replica B waits %v in vain: taken on %d of %d masters",
		patience, failure.Count(quorum.Taken), len(failure.Masters))
	return nil
}

// handOff lets replica A release the lock and replica B acquire it.
func (d *demo) handOff(ctx context.Context, lock *quorum.Lock) error {
	if err := lock.Release(ctx); err != nil {
		return err
	}
	d.logf("replica A releases the lock")
	next, err := d.b.TryAcquire(ctx, d.name, ttl)
	if err != nil {
		return err
	}
	d.logf("replica B acquires the lock, valid for another %v", next.Validity().Round(time.Millisecond))
	return next.Release(ctx)
}

func (d *demo) logf(format string, args ...any) { d.logAt(time.Since(d.start), format, args...) }

func (d *demo) logAt(at time.Duration, format string, args ...any) {
	d.out.Printf("%7.1f ms  %s", at.Seconds()*1000, fmt.Sprintf(format, args...))
}
