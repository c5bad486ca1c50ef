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
	opening  = 100 // what is in the account at first
	depositA = 50
	depositB = 30

	ttlA = time.Second // short, so that it need not be paused for long
	ttlB = 30 * time.Second
)

// story is the tale of two replicas of one program.
type story struct {
	out   *log.Logger
	began time.Time
	run   string          // part of the locks' names; a new one for each run
	a, b  *quorum.Manager // one per replica, as two processes would have
}

func newStory(out io.Writer, urls []string) (*story, error) {
	opts := &quorum.Options{Fencing: true}
	a, err := quorum.Open(urls, opts)
	if err != nil {
		return nil, err
	}
	b, err := quorum.Open(urls, opts)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &story{out: log.New(out, "", 0), began: time.Now(), run: rand.Text()[:8], a: a, b: b}, nil
}

func (s *story) close() {
	_ = s.a.Close()
	_ = s.b.Close()
}

// holding is what a replica has in its hands while it makes a deposit.
type holding struct {
	lock *quorum.Lock
	read int64 // the balance
}

// outcome is what came of a story.
type outcome struct {
	a, b holding
	late error // of A's write: nil or errStale
}

// tell runs the story on an account that is yet to be opened. The error is about
// what should have worked.
func (s *story) tell(ctx context.Context, acc account) (o outcome, err error) {
	if err := acc.open(ctx, opening); err != nil {
		return o, err
	}
	lockName := "fencing-" + s.run + "-" + acc.name()

	if o.a, err = begin(ctx, s.a.TryAcquire, lockName, ttlA, acc); err != nil {
		return o, err
	}
	defer func() { _ = o.a.lock.Release(ctx) }() // lost by then
	s.say("A takes the lock with fence %d, reads %d", o.a.lock.Fence(), o.a.read)

	// Not a line of A's own runs from here to its write below. What B waits for is
	// that the masters let A's lock expire, and nothing else.
	s.say("A is paused")
	if o.b, err = begin(ctx, s.b.Acquire, lockName, ttlB, acc); err != nil {
		return o, err
	}
	defer func() { _ = o.b.lock.Release(ctx) }()
	if err := acc.write(ctx, o.b.read+depositB, o.b.lock.Fence()); err != nil {
		return o, err
	}
	s.say("A's lock has expired; B takes it with fence %d, reads %d, writes %d",
		o.b.lock.Fence(), o.b.read, o.b.read+depositB)

	// A had Validity to look at, but the pause may as well come right after that.
	o.late = acc.write(ctx, o.a.read+depositA, o.a.lock.Fence())
	if o.late != nil && !errors.Is(o.late, errStale) {
		return o, o.late // refused is one thing, failed another
	}
	return o, nil
}

// begin takes the lock and reads the account.
func begin(ctx context.Context, acquire acquireFunc, lockName string, ttl time.Duration, acc account) (h holding, err error) {
	if h.lock, err = acquire(ctx, lockName, ttl); err != nil {
		return h, err
	}
	if h.read, err = acc.read(ctx, h.lock.Fence()); err != nil {
		_ = h.lock.Release(ctx)
	}
	return h, err
}

// acquireFunc is TryAcquire or Acquire.
type acquireFunc = func(ctx context.Context, name string, ttl time.Duration, opts ...quorum.AcquireOption) (*quorum.Lock, error)

// expect tells the story and how it ended, and it must have ended with the balance
// given.
func (s *story) expect(ctx context.Context, acc account, balance int64) error {
	o, err := s.tell(ctx, acc)
	if err != nil {
		return err
	}
	left, err := acc.balance(ctx)
	if err != nil {
		return err
	}
	verdict := "done"
	if o.late != nil {
		verdict = "refused, " + o.late.Error()
	}
	s.say("A wakes, writes %d: %s", o.a.read+depositA, verdict)
	s.say("the balance is %d", left)
	if left != balance {
		return fmt.Errorf("the balance is %d, not %d", left, balance)
	}
	return nil
}

func (s *story) say(format string, args ...any) {
	s.out.Printf("%7.1f ms  %s", time.Since(s.began).Seconds()*1000, fmt.Sprintf(format, args...))
}
