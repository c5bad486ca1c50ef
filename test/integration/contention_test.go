package integration

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
)

// TestMutualExclusionWhileMastersRestart lets 200 goroutines of 4 Managers contend for one lock.
// Each holder increments a counter in a way that loses increments if two do it at once. Meanwhile
// masters are killed and restarted, one at a time.
func TestMutualExclusionWhileMastersRestart(t *testing.T) {
	ms := Start(t, 5, WithAOF())
	const managers, goroutines = 4, 200
	var inside, counter, held, late atomic.Int64

	hold := func(ctx context.Context, locks *quorum.Manager) error {
		lock, err := locks.Acquire(ctx, "counter", 20*time.Second)
		if err != nil {
			return err
		}
		if n := inside.Add(1); n != 1 {
			t.Errorf("%d holders at once", n)
		}
		value := counter.Load()
		runtime.Gosched()
		counter.Store(value + 1)
		inside.Add(-1)
		if lock.Validity() <= 0 {
			t.Error("machine too slow for this test: the window closed before the counter was incremented")
		}
		held.Add(1)
		err = lock.Release(ctx)
		if errors.Is(err, quorum.ErrNoQuorum) && !errors.Is(err, context.Canceled) {
			late.Add(1) // on a busy machine; the release continues in the background
			return nil
		}
		return err
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var g errgroup.Group
	// 200 goroutines that poll at the default pace would leave no CPU time for the masters on two
	// cores.
	opts := &quorum.Options{MinBackoff: 50 * time.Millisecond, MaxBackoff: 2 * time.Second}
	for i := range managers {
		locks := constructors[i%len(constructors)].open(t, ms, opts)
		for range goroutines / managers {
			g.Go(func() error {
				for {
					if err := hold(ctx, locks); errors.Is(err, context.Canceled) {
						return nil
					} else if err != nil {
						return err
					}
				}
			})
		}
	}

	progress := func(with string) {
		t.Helper()
		enough := held.Load() + 10
		require.Eventually(t, func() bool { return held.Load() >= enough }, waitLimit, 5*time.Millisecond, "no progress with %s", with)
	}
	progress("all masters")
	for _, m := range ms[:3] {
		require.NoError(t, m.Kill())
		progress("one master killed")
		require.NoError(t, m.Start())
		progress("the master restarted")
	}
	stop()
	require.NoError(t, g.Wait())
	require.Equal(t, held.Load(), counter.Load(), "increments were lost")
	t.Logf("%d holds, %d releases continued in the background", held.Load(), late.Load())
}
