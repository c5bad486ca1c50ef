package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestArchiveNumbersReportsOfUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive()
		for want := 1; want <= 3; want++ {
			number, err := a.build(t.Context(), "alice", 2)
			require.NoError(t, err)
			require.Equal(t, want, number)
		}
		number, err := a.build(t.Context(), "bob", 2)
		require.NoError(t, err)
		require.Equal(t, 1, number)
	})
}

// Without this, a test of the locks could not fail.
func TestArchiveDetectsOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive()
		go func() { _, _ = a.build(t.Context(), "alice", 2) }()
		synctest.Wait()
		_, err := a.build(t.Context(), "alice", 2)
		require.ErrorIs(t, err, errOverlap)
		_, err = a.build(t.Context(), "bob", 2)
		require.NoError(t, err)
	})
}

func TestReportStopsIfContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, lost := newArchive(), errors.New("lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*pageTime/2, func() { cancel(lost) })
		_, err := a.build(ctx, "alice", 100)
		require.ErrorIs(t, err, lost)
		number, err := a.build(t.Context(), "alice", 1)
		require.NoError(t, err)
		require.Equal(t, 1, number, "the report that was stopped must not count")
	})
}
