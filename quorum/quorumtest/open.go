package quorumtest

import (
	"context"
	"fmt"
	"time"

	"github.com/quorumlock/redlock/internal/bubble"
	"github.com/quorumlock/redlock/quorum"
)

// TB is the part of testing.TB that this package uses. It is a type of its own so that programs
// that use this package, such as demos, do not contain package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Open starts n masters without sockets and returns a Manager of locks on them. When the test is
// over, both are closed. If anything fails, Open fails the test. nil opts mean the defaults.
//
// Open also works inside a testing/synctest bubble. There, t must be the bubble's own, and the test
// ends two virtual seconds late, because go-redis' goroutines take so long to end. With
// Options.RestartGuard, Open calls Bootstrap.
//
// The test may close the Manager itself. The error of the Manager's Close is ignored, because it
// may be due to masters that the test has stopped.
func Open(t TB, n int, opts *quorum.Options) (*quorum.Manager, *Cluster) {
	t.Helper()
	locks, cluster, err := open(n, opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		_ = locks.Close()
		if err := cluster.Close(); err != nil {
			t.Errorf("%v", err)
		}
		settle()
	})
	return locks, cluster
}

// open starts masters without sockets, and returns a Manager of locks on them.
func open(n int, opts *quorum.Options) (*quorum.Manager, *Cluster, error) {
	cluster, err := StartInProcess(n)
	if err != nil {
		return nil, nil, err
	}
	locks, err := quorum.New(cluster.Clients(), opts)
	if err != nil {
		_ = cluster.Close() // cannot fail: nothing has been done yet
		return nil, nil, fmt.Errorf("quorumtest: %w", err)
	}
	if opts != nil && opts.RestartGuard > 0 {
		if err := locks.Bootstrap(context.Background()); err != nil {
			_, _ = locks.Close(), cluster.Close() // the first error says what is wrong
			return nil, nil, fmt.Errorf("quorumtest: %w", err)
		}
	}
	return locks, cluster, nil
}

// settleTime is longer than go-redis' goroutines live on after their client was closed. Those of a
// pool that could not dial look once a second whether they can now.
const settleTime = 2 * time.Second

// settle lets go-redis' goroutines end. A bubble must not end before its goroutines have. Elsewhere
// nobody need wait for them.
func settle() {
	if bubble.Inside() {
		time.Sleep(settleTime)
	}
}
