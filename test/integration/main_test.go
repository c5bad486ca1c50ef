package integration

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/leaktest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // go-redis logs each refused dial, and these tests cause many
	leaktest.Main(suite{m})
}

// A suite removes the shared masters after the last test, before the check for leaked goroutines.
type suite struct{ m *testing.M }

// Run runs the tests.
func (s suite) Run() int {
	code := s.m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the shared masters:", err)
		return max(code, 1)
	}
	return code
}

// shared is the fleet that masters returns. Starting a fleet for each test would take a second or
// two.
var shared sharedFleet

type sharedFleet struct {
	once  sync.Once
	fleet *fleet
	err   error
}

// masters returns five independent, empty masters that all answer. All tests of the package share
// them. A test may leave them in any state, but must not change their configuration; use Start for
// that. A test that calls masters cannot be parallel.
func masters(tb testing.TB) []*Master {
	tb.Helper()
	tb.Setenv("REDLOCK_SHARED_MASTERS", "1") // Setenv panics in parallel tests
	pool := engine(tb)
	shared.once.Do(func() { shared.fleet, shared.err = launch(context.Background(), pool, 5) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}

	var g errgroup.Group
	for _, m := range shared.fleet.masters {
		g.Go(func() error {
			if err := m.heal(tb.Context()); err != nil {
				return err
			}
			return m.Wipe()
		})
	}
	if err := g.Wait(); err != nil {
		tb.Fatal(err)
	}
	return shared.fleet.masters
}

func (s *sharedFleet) close() error {
	if s.fleet == nil {
		return nil
	}
	err := s.fleet.remove()
	s.fleet.pool.Client.HTTPClient.CloseIdleConnections()
	return err
}
