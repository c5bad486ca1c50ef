package quorumtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// Fake is a quorum.Locker for tests of code that uses locks. The test says what happens to the
// locks, in terms of the code:
//
//   - Take and Free: another replica holds a lock
//   - Lose: the code loses a lock that it holds
//   - Down and Up: there is no quorum
//
// A Fake is a Manager, on one embedded master without a socket. So the locks are real: they expire,
// callers wait for each other, and errors are those of production. For tests of how the locks
// themselves behave when masters fail, use Open.
//
// A Fake is safe for concurrent use, and works inside a testing/synctest bubble if it was made
// there. Its methods panic if they are used wrongly, as their comments say.
type Fake struct {
	*quorum.Manager // used by the code under test

	cluster *Cluster
	rival   *quorum.Manager // the other replica's
	longest time.Duration   // the longest TTL that the code under test may use
	close   func() error
}

var _ quorum.Locker = (*Fake)(nil)

// NewFake returns a Fake that is closed when the test is over. If anything fails, NewFake fails the
// test. opts are those of the code under test; nil means the defaults. In a testing/synctest
// bubble, t must be the bubble's own.
func NewFake(t TB, opts *quorum.Options) *Fake {
	t.Helper()
	f, err := StartFake(opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return f
}

// StartFake is NewFake for code without a testing.TB, such as an Example. The caller must call
// Close.
func StartFake(opts *quorum.Options) (*Fake, error) {
	var o quorum.Options
	if opts != nil {
		o = *opts
	}
	locks, cluster, err := open(1, &o)
	if err != nil {
		return nil, err
	}
	// Without the restart guard, which would bound how long the rival can hold a lock.
	rival, err := quorum.New(cluster.Clients(), &quorum.Options{
		Prefix: o.Prefix, Fencing: o.Fencing, Drift: o.Drift, Clock: o.Clock, Owner: "another",
		AttemptTimeout: 250 * time.Millisecond, // for which Lose may have to wait
	})
	if err != nil {
		_, _ = locks.Close(), cluster.Close() // the first error says what is wrong
		return nil, fmt.Errorf("quorumtest: %w", err)
	}
	f := &Fake{Manager: locks, cluster: cluster, rival: rival, longest: forever}
	f.close = sync.OnceValue(f.closeAll)
	if o.RestartGuard > 0 {
		f.longest = o.RestartGuard - o.LockDelay
	}
	return f, nil
}

// forever is longer than any test, in virtual time too.
const forever = 50 * 365 * 24 * time.Hour

// Close ends the Fake and all its locks. In a testing/synctest bubble, that takes two virtual
// seconds. Later calls return the result of the first one.
func (f *Fake) Close() error { return f.close() }

func (f *Fake) closeAll() error {
	_ = f.Manager.Close() // the test may have closed it, or the quorum may be down
	err := errors.Join(f.rival.Close(), f.cluster.Close())
	settle()
	return err
}

// Take makes another replica hold the lock called name until Free. If another replica holds it
// already, Take does nothing. As in production, Once takes up to Options.AttemptTimeout to be sure
// that the other replica has the lock, or half a period if that is shorter. Take panics if the code
// under test holds the lock, or after Down.
func (f *Fake) Take(name string) {
	if held(f.rival, name) != nil {
		return
	}
	if _, err := f.rival.TryAcquire(context.Background(), name, forever); err != nil {
		panic(fmt.Sprintf("quorumtest: Take(%q): %v", name, err))
	}
}

// Free makes the other replica release the lock called name. If the code under test waits for the
// lock, it gets it. If no other replica holds the lock, Free does nothing. Free panics after Down.
func (f *Fake) Free(name string) {
	l := held(f.rival, name)
	if l == nil {
		return
	}
	if err := l.Release(context.Background()); err != nil {
		panic(fmt.Sprintf("quorumtest: Free(%q): %v", name, err))
	}
}

// Lose makes the code under test lose the lock called name. When Lose returns, the lock's Lost
// channel is closed, and its contexts have ended with quorum.ErrDenied as their cause. The lock
// goes to the next waiter, or is free. A lock is lost a quarter of a second after its acquisition
// at the earliest, for which Lose waits. Lose panics if the code under test does not hold the lock,
// or after Down.
func (f *Fake) Lose(name string) {
	l := held(f.Manager, name)
	if l == nil {
		panic(fmt.Sprintf("quorumtest: Lose(%q): the lock is not held", name))
	}
	ctx := context.Background()
	if err := f.rival.Break(ctx, name, l.Token()); err != nil {
		panic(fmt.Sprintf("quorumtest: Lose(%q): %v", name, err))
	}
	if err := l.Extend(ctx, f.longest); !errors.Is(err, quorum.ErrLost) { // that is how a holder finds out
		panic(fmt.Sprintf("quorumtest: Lose(%q): %v", name, err))
	}
}

// held returns the lock called name that a Manager holds, or nil.
func held(m *quorum.Manager, name string) *quorum.Lock {
	for _, l := range m.Held() {
		if l.Name() == name {
			return l
		}
	}
	return nil
}

// Down ends the quorum: from now on, every operation fails with quorum.ErrNoQuorum. Locks that are
// held stay valid, but cannot be renewed, so they are lost when their windows close.
func (f *Fake) Down() { f.cluster.Master(0).Fail("ERR the fake is down") }

// Up ends Down.
func (f *Fake) Up() { f.cluster.Master(0).Fail("") }
