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
	ttl      = 30 * time.Second // what the masters are asked to keep the lock for
	patience = time.Second      // how long replica B waits in vain
)

// story is the tale of two replicas of one program.
type story struct {
	out   *log.Logger
	began time.Time
	name  string          // the lock's; a new one for each run
	a, b  *quorum.Manager // one per replica, as two processes would have
}

// tell runs the story on the given masters. cluster is what it may kill two of;
// nil if the masters are real ones.
func tell(ctx context.Context, out io.Writer, urls []string, cluster *quorumtest.Cluster) error {
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

	s := &story{out: log.New(out, "", 0), began: time.Now(), name: "quickstart-" + rand.Text()[:8], a: a, b: b}
	whose := "embedded masters"
	if cluster == nil {
		whose = "masters of yours, all of which are left alive"
	}
	s.out.Printf("Two replicas contend for lock %q on %d %s.\n\n", s.name, len(urls), whose)
	if err := s.play(ctx, cluster); err != nil {
		return err
	}
	s.out.Print("\nAll as promised.")
	return nil
}

func (s *story) play(ctx context.Context, cluster *quorumtest.Cluster) error {
	lock, err := s.a.TryAcquire(ctx, s.name, ttl)
	if err != nil {
		return err
	}
	if err := s.held(ctx, lock, "replica A takes it"); err != nil {
		return err
	}
	if err := s.refused(ctx); err != nil {
		return err
	}
	if cluster != nil {
		cluster.Master(0).Stop()
		cluster.Master(1).Stop()
		s.say("two of the five masters are killed")
		if err := s.refused(ctx); err != nil {
			return err
		}
	}
	if err := lock.Extend(ctx, ttl); err != nil {
		return err
	}
	if err := s.held(ctx, lock, "replica A extends it"); err != nil {
		return err
	}
	return s.handOver(ctx, lock)
}

// held says on how many masters the lock stands by now: an attempt does not wait
// for more of them than it needs.
func (s *story) held(ctx context.Context, lock *quorum.Lock, event string) error {
	took := time.Since(s.began)
	deadline := time.Now().Add(time.Second)
	for {
		seen, err := s.a.Inspect(ctx, s.name)
		if err != nil {
			return err
		}
		have, answered := 0, 0
		for _, m := range seen.Masters {
			if m.Err == nil {
				answered++
			}
			if m.Token == lock.Token() {
				have++
			}
		}
		if have == answered || time.Now().After(deadline) && seen.Holder == lock.Token() {
			s.sayAt(took, "%s; it is on %d of the %d masters, valid for another %v",
				event, have, len(seen.Masters), lock.Validity().Round(time.Millisecond))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("replica A should hold the lock, but: %v", seen)
		}
		time.Sleep(time.Millisecond)
	}
}

// refused has replica B wait for the lock, and it must not get it.
func (s *story) refused(ctx context.Context) error {
	impatient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lock, err := s.b.Acquire(impatient, s.name, ttl)
	if err == nil {
		return fmt.Errorf("two replicas hold the lock at once: %v", lock)
	}
	if !errors.Is(err, quorum.ErrTaken) {
		return err
	}
	var failure *quorum.AttemptError
	if !errors.As(err, &failure) {
		return err
	}
	s.say("replica B has waited %v in vain: taken, say %d of the %d masters",
		patience, failure.Count(quorum.Taken), len(failure.Masters))
	return nil
}

// handOver has replica A release the lock and replica B take it.
func (s *story) handOver(ctx context.Context, lock *quorum.Lock) error {
	if err := lock.Release(ctx); err != nil {
		return err
	}
	s.say("replica A releases it")
	next, err := s.b.TryAcquire(ctx, s.name, ttl)
	if err != nil {
		return err
	}
	s.say("replica B takes it, valid for another %v", next.Validity().Round(time.Millisecond))
	return next.Release(ctx)
}

func (s *story) say(format string, args ...any) { s.sayAt(time.Since(s.began), format, args...) }

func (s *story) sayAt(at time.Duration, format string, args ...any) {
	s.out.Printf("%7.1f ms  %s", at.Seconds()*1000, fmt.Sprintf(format, args...))
}
