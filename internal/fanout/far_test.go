package fanout_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fanout"
)

// distant simulates a master with a round trip. Each call takes up to a tenth longer.
type distant struct {
	rtt time.Duration

	mu             sync.Mutex
	random         *rand.Rand
	calls          int
	inFlight, most int
}

func (d *distant) send(context.Context, int, []*op) error {
	d.mu.Lock()
	d.calls++
	d.inFlight++
	d.most = max(d.most, d.inFlight)
	took := d.rtt + time.Duration(d.random.Int64N(int64(d.rtt/10)))
	d.mu.Unlock()
	time.Sleep(took)
	d.mu.Lock()
	d.inFlight--
	d.mu.Unlock()
	return nil
}

// repeat lets callers submit one operation after another. It returns how long one takes on average.
func (d *distant) repeat(t *testing.T, callers, connections int) (average time.Duration) {
	t.Helper()
	d.random = rand.New(rand.NewPCG(1, 1))
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	g := fanout.New(fanout.Config[int]{
		Lanes: 1, Pipelines: 16, Batch: 1024, Queue: 1 << 16, Stall: stall, Now: now,
		Connections: func(int) int { return connections },
	}, d.send)
	const each = 50
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			time.Sleep(d.rtt * time.Duration(i) / time.Duration(callers))
			owner := make(signal, 1)
			for range each {
				g.SubmitTo(0, g.NewSequence(), &op{Owner: owner, Deadline: never})
				<-owner
			}
		})
	}
	all.Wait()
	require.NoError(t, g.Close(t.Context()))
	return now() / each
}

// An operation takes one round trip and little more, however many are submitted. Batches do not
// get so small that the calls cost more than they save.
func TestFarOperationTakesOneRoundTrip(t *testing.T) {
	const rtt = 2 * time.Millisecond
	for callers, tt := range map[int]struct {
		most  float64 // round trips
		calls int     // per round trip
	}{1: {1.1, 1}, 10: {1.15, 10}, 100: {1.2, 12}, 1000: {1.3, 12}} {
		t.Run(fmt.Sprintf("callers=%d", callers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				d := &distant{rtt: rtt}
				average := d.repeat(t, callers, 16)
				assert.LessOrEqual(t, average.Seconds()/rtt.Seconds(), tt.most)
				assert.LessOrEqual(t, d.calls, tt.calls*int(1+time.Since(start)/rtt))
			})
		})
	}
}

// A few calls may be in flight whatever they carry. Others must carry their share of the operations
// under way.
func TestManyCallsInFlightShareOperations(t *testing.T) {
	bubble(t, 16, func(t *testing.T, g *group, m *master, r *record) {
		m.respond = func([]int) error { time.Sleep(2 * time.Millisecond); return nil }
		slow := slowOwner{record: r, resume: make(chan struct{})}
		g.SubmitTo(0, g.NewSequence(), &op{Payload: 0, Owner: slow, Deadline: never})
		time.Sleep(stall / 2) // the round trip is known, and the lane waits for the owner
		release := blocking(m)
		submitted := 0
		add := func(n int) {
			for range n {
				submitted++
				submit(g, r, g.NewSequence(), submitted, never)
			}
		}
		sizes := func() (sizes []int) {
			synctest.Wait()
			for _, batch := range m.sent()[1:] {
				sizes = append(sizes, len(batch))
			}
			return sizes
		}
		add(80)
		close(slow.resume)
		require.Equal(t, []int{80}, sizes())
		for range 7 {
			add(1)
			synctest.Wait()
		}
		few := []int{80, 1, 1, 1, 1, 1, 1, 1}
		assert.Equal(t, few, sizes(), "a few calls may be small")
		add(10)
		assert.Equal(t, few, sizes(), "10 is less than an eighth of 87")
		add(1)
		assert.Equal(t, append(few, 11), sizes())
		add(5)
		release(nil) // the oldest call or another: its goroutine takes what is queued
		assert.Len(t, sizes(), 10)
		m.answering()
		for range 9 {
			release(nil)
		}
		assert.Equal(t, submitted+1, r.count())
	})
}

// A call that waits in the client for a connection cannot join a batch anymore.
func TestCallsInFlightDoNotExceedConnections(t *testing.T) {
	for connections, want := range map[int]int{-1: 1, 0: 1, 1: 1, 3: 3, 8: 8} {
		synctest.Test(t, func(t *testing.T) {
			d := &distant{rtt: 5 * time.Millisecond}
			d.repeat(t, 100, connections)
			assert.Equal(t, want, d.most, "%d connections", connections)
		})
	}
}

// A lane starts goroutines only for calls that are in flight together.
func TestNearLaneNeedsFewGoroutines(t *testing.T) {
	bubble(t, 16, func(t *testing.T, g *group, m *master, r *record) {
		synctest.Wait()
		before := runtime.NumGoroutine()
		m.respond = func([]int) error { time.Sleep(50 * time.Microsecond); return nil }
		for id := range 1000 {
			submit(g, r, g.NewSequence(), id, never)
			time.Sleep(time.Microsecond)
		}
		time.Sleep(stall)
		assert.Equal(t, 1000, r.count())
		assert.Equal(t, before, runtime.NumGoroutine())
	})
}
