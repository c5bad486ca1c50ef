// Tests that only the race detector fails.

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

// TestWaitersAskAgainOnceAnswered: at once, if need be, while the lane that brought
// the answer has yet to be done with the operation. It is for the race detector.
func TestWaitersAskAgainOnceAnswered(t *testing.T) {
	t.Parallel() // it waits
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

// TestThoseBehindAreToldApart: who waits in this process behind a contender learns
// from it why it has failed, also while the contender itself gives up.
func TestThoseBehindAreToldApart(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.Master(0).Stop()
		b.Master(1).Stop()
		why := errors.New("no patience left")
		for range 50 {
			impatient, cancel := context.WithTimeoutCause(b.Context(), time.Second, why)
			var waiters errgroup.Group
			for i := range 4 {
				ctx, told := impatient, true
				if i%2 == 1 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(b.Context(), time.Second)
					defer cancel()
					told = false
				}
				waiters.Go(func() error {
					_, err := b.Acquire(ctx, name, ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.ErrorIs(b, err, context.DeadlineExceeded)
					assert.Equal(b, told, errors.Is(err, why), "%v", err)
					return nil
				})
			}
			require.NoError(b, waiters.Wait())
			cancel()
		}
	})
}

// TestErrorsOfOneLineAreTheCallersOwn: who waits behind a contender gets the reasons
// for its failure, and may change what it got.
func TestErrorsOfOneLineAreTheCallersOwn(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.Master(0).Stop()
		b.Master(1).Stop()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		var waiters errgroup.Group
		for range 8 {
			waiters.Go(func() error {
				_, err := b.Acquire(ctx, name, ttl)
				failure := attemptError(b, err)
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
