// Tests that fail only under the race detector.

package quorum_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
)

// A waiter may ask a master again as soon as it is answered. The lane that brought the answer may
// still use the operation then.
func TestWaiterAsksAgainBeforeLaneIsDone(t *testing.T) {
	t.Parallel() // it waits in real time
	c := embedded(t, 5)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var contenders errgroup.Group
	for range 3 {
		m := open(t, quorum.Options{}, c.URLs()...)
		for range 5 {
			contenders.Go(func() error {
				for {
					l, err := m.Acquire(ctx, name, ttl)
					if errors.Is(err, context.DeadlineExceeded) {
						return nil
					} else if err != nil {
						return err
					}
					if err := l.Release(patiently(t)); err != nil {
						return err
					}
				}
			})
		}
	}
	require.NoError(t, contenders.Wait())
}

// A waiter behind a contender learns from it why it has failed, even while the contender itself
// gives up. It must not get the error of the contender's context.
func TestLocalWaitersGetOnlyTheirOwnContextErrors(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(0).Stop()
		b.Master(1).Stop()
		cause := errors.New("no patience left")
		for range 50 {
			impatient, cancel := context.WithTimeoutCause(b.Context(), time.Second, cause)
			var waiters errgroup.Group
			for i := range 4 {
				ctx, hasCause := impatient, true
				if i%2 == 1 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(b.Context(), time.Second)
					defer cancel()
					hasCause = false
				}
				waiters.Go(func() error {
					_, err := b.Acquire(ctx, name, ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.ErrorIs(b, err, context.DeadlineExceeded)
					assert.Equal(b, hasCause, errors.Is(err, cause), "%v", err)
					return nil
				})
			}
			require.NoError(b, waiters.Wait())
			cancel()
		}
	})
}

// Waiters behind a contender get the reasons of its failure. Each of them may modify the error that
// it got.
func TestLocalWaitersMayModifyTheirErrors(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(0).Stop()
		b.Master(1).Stop()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		var waiters errgroup.Group
		for range 8 {
			waiters.Go(func() error {
				_, err := b.Acquire(ctx, name, ttl)
				failure := requireAttemptError(b, err)
				for i := range failure.Masters {
					failure.Masters[i].Outcome = quorum.Held
					failure.Masters[i].Err = nil
				}
				return nil
			})
		}
		require.NoError(b, waiters.Wait())
	})
}

// A subscription that is confirmed makes every waiter ask the master, also one that is just about
// to enter.
func TestEntrantIsToldToAskWhileItEnters(t *testing.T) {
	t.Parallel() // it waits in real time
	m := open(t, quorum.Options{}, embedded(t, 3).URLs()...)
	ctx, cancel := context.WithCancel(t.Context())
	var told errgroup.Group
	told.Go(func() error {
		for ctx.Err() == nil {
			quorum.AskSoon(m, 0)
		}
		return nil
	})
	var readers errgroup.Group
	for range 4 {
		readers.Go(func() error {
			for range 25 {
				l, err := m.Acquire(ctx, name, ttl, quorum.Shared())
				if err != nil {
					return err
				} else if err := l.Release(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, readers.Wait())
	cancel()
	require.NoError(t, told.Wait())
}
