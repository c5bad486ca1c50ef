package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A recoveringClient fails its first attempts.
type recoveringClient struct{ failures int }

func (c *recoveringClient) tryAcquire(context.Context, string) (release, error) {
	if c.failures > 0 {
		c.failures--
		return nil, errors.New("no answer")
	}
	return func(context.Context) error { return nil }, nil
}

func (c *recoveringClient) acquire(ctx context.Context, name string) (release, error) {
	return c.tryAcquire(ctx, name)
}

func (c *recoveringClient) close() error { return nil }

func TestTimeCyclesGoesOnUntilOneSucceeds(t *testing.T) {
	timed := timeCycles(t.Context(), &recoveringClient{failures: 3}, 0, time.Minute)
	timed.wait()
	require.Len(t, timed.releases, 1)
	require.Equal(t, 0.75, timed.failedShare())
	require.Positive(t, timed.rate())
}
