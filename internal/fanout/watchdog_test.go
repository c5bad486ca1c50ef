package fanout_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fanout"
)

// When a call gets stuck, the lane sends the next operation, although no call returns and nobody
// submits anything. Only the watchdog can notice.
func TestStuckCallLetsNextBeSent(t *testing.T) {
	bubble(t, 3, func(t *testing.T, g *group, m *master, r *record) {
		start := time.Now()
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		time.Sleep(stall / 2)
		submit(g, r, g.NewSequence(), 1, never)
		submit(g, r, g.NewSequence(), 2, never)
		time.Sleep(stall/2 - 1)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}}, m.sent(), "the call is not stuck yet")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}}, m.sent(), "one operation finds out whether the master is back")
		time.Sleep(stall)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {2}}, m.sent(), "the next is sent when that one is stuck too")
		assert.Equal(t, 2*stall, time.Since(start))
		for range 3 {
			release(nil)
		}
	})
}

// The watchdog notices a stuck call even if it was armed for an earlier call that has returned.
func TestWatchdogServesEveryCall(t *testing.T) {
	bubble(t, 2, func(t *testing.T, g *group, m *master, r *record) {
		submit(g, r, g.NewSequence(), 0, never)
		time.Sleep(stall * 3 / 4)
		release := blocking(m)
		submit(g, r, g.NewSequence(), 1, never)
		synctest.Wait()
		submit(g, r, g.NewSequence(), 2, never)
		time.Sleep(stall - 1)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}}, m.sent())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {2}}, m.sent())
		release(nil)
		release(nil)
	})
}

// A timer wakes the watchdog, but Config.Now decides whether a call is stuck. The two may run at
// different rates.
func TestWatchdogUsesConfigNow(t *testing.T) {
	for name, tt := range map[string]struct{ rate, late time.Duration }{
		"half speed": {2, time.Millisecond}, "full speed": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, r := &master{}, &record{}
				start := time.Now()
				g := fanout.New(fanout.Config[int]{Lanes: 1, Pipelines: 2, Batch: 10, Queue: 10, Stall: stall,
					Now: func() time.Duration { return time.Since(start) / tt.rate },
				}, m.send)
				release := blocking(m)
				submit(g, r, g.NewSequence(), 0, never)
				synctest.Wait()
				submit(g, r, g.NewSequence(), 1, never)
				time.Sleep(tt.rate*stall - 1)
				synctest.Wait()
				assert.Equal(t, [][]int{{0}}, m.sent())
				time.Sleep(time.Nanosecond + tt.late)
				synctest.Wait()
				assert.Equal(t, [][]int{{0}, {1}}, m.sent())
				release(nil)
				release(nil)
				require.NoError(t, g.Close(t.Context()))
			})
		})
	}
}

// The watchdog fires at most once per Stall while calls are in flight. It does not fire when the
// lane is idle or closed.
func TestWatchdogFiresRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := &master{}, &record{}
		start := time.Now()
		var looks atomic.Int64
		looksIn := func(d time.Duration) int64 {
			before := looks.Load()
			time.Sleep(d)
			synctest.Wait()
			return looks.Load() - before
		}
		g := fanout.New(fanout.Config[int]{Lanes: 1, Pipelines: 2, Batch: 10, Queue: 10, Stall: stall,
			Now: func() time.Duration { looks.Add(1); return time.Since(start) },
		}, m.send)
		for id := range 1000 {
			submit(g, r, g.NewSequence(), id, never)
			synctest.Wait()
		}
		assert.Equal(t, int64(1), looksIn(10*stall), "one firing for a thousand calls")

		release := blocking(m)
		submit(g, r, g.NewSequence(), 1000, never)
		synctest.Wait()
		assert.Equal(t, int64(1), looksIn(10*stall), "a call gets stuck once")
		submit(g, r, g.NewSequence(), 1001, never)
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, g.Close(ended))
		assert.Zero(t, looksIn(10*stall))
		release(nil)
		release(nil)
		require.NoError(t, g.Close(t.Context()))
	})
}

// Whoever watches a lane is told that its master stopped and resumed answering, although nobody
// submits anything or asks.
func TestChangedTellsOfHangAndRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := &master{}, &record{}
		start := time.Now()
		var g *group
		type change struct {
			at      time.Duration
			silent  bool
			settled int
		}
		var changes []change
		g = fanout.New(fanout.Config[int]{
			Lanes: 1, Pipelines: 2, Batch: 10, Queue: 10, Stall: stall,
			Now: func() time.Duration { return time.Since(start) },
			Changed: func(lane int) {
				assert.Zero(t, lane)
				changes = append(changes, change{time.Since(start), g.NotAnswering(0), r.count()})
			},
		}, m.send)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		assert.Empty(t, changes, "a master that answers is no change")
		time.Sleep(stall)
		release := blocking(m)
		submit(g, r, g.NewSequence(), 1, never)
		time.Sleep(5 * stall)
		synctest.Wait()
		assert.Equal(t, []change{{2 * stall, true, 1}}, changes, "once, when the call gets stuck")
		release(nil)
		synctest.Wait()
		assert.Equal(t, change{6 * stall, false, 2}, changes[1], "after the owner was told")
		submit(g, r, g.NewSequence(), 2, never)
		synctest.Wait()
		release(errDown)
		synctest.Wait()
		submit(g, r, g.NewSequence(), 3, never)
		synctest.Wait()
		release(errDown)
		synctest.Wait()
		assert.Equal(t, change{6 * stall, true, 3}, changes[2])
		assert.Len(t, changes, 3, "the next failure is no change")
		require.NoError(t, g.Close(t.Context()))
	})
}
