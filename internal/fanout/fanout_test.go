package fanout_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fanout"
)

const (
	stall = time.Second
	never = time.Duration(1<<63 - 1)
)

var errDown = errors.New("connection refused")

type (
	op    = fanout.Op[int]
	group = fanout.Group[int]
)

// master is a fake master. It records each call. If respond is set, the call returns when respond
// does, with its error.
type master struct {
	mu      sync.Mutex
	batches [][]int
	respond func(batch []int) error
}

func (m *master) send(_ context.Context, _ int, batch []*op) error {
	ids := make([]int, len(batch))
	for i, o := range batch {
		ids[i] = o.Payload
	}
	m.mu.Lock()
	m.batches = append(m.batches, ids)
	respond := m.respond
	m.mu.Unlock()
	if respond != nil {
		return respond(ids)
	}
	return nil
}

func (m *master) sent() [][]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.batches)
}

// record is an Owner that collects the results of operations, by payload.
type record struct {
	mu      sync.Mutex
	settled map[int]error
	order   []int
}

func (r *record) Done(o *op, dropped error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled == nil {
		r.settled = map[int]error{}
	}
	if _, twice := r.settled[o.Payload]; twice {
		panic("operation settled twice")
	}
	r.settled[o.Payload] = dropped
	r.order = append(r.order, o.Payload)
}

func (r *record) outcome(id int) (settled bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err, settled = r.settled[id]
	return settled, err
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.settled)
}

// bubble runs a test of a group with one lane in virtual time.
func bubble(t *testing.T, pipelines int, test func(t *testing.T, g *group, m *master, r *record)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, r := &master{}, &record{}
		start := time.Now()
		g := fanout.New(fanout.Config[int]{
			Lanes: 1, Pipelines: pipelines, Batch: 100, Queue: 1000, Stall: stall,
			Now: func() time.Duration { return time.Since(start) },
		}, m.send)
		test(t, g, m, r)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		require.NoError(t, g.Close(ctx))
	})
}

func submit(g *group, r *record, seq *fanout.Sequence[int], id int, deadline time.Duration) {
	g.SubmitTo(0, seq, &op{Payload: id, Owner: r, Deadline: deadline})
}

func undo(g *group, r *record, seq *fanout.Sequence[int], id int) {
	g.SubmitTo(0, seq, &op{Payload: id, Owner: r, Deadline: never, Undo: true})
}

// blocking makes each call block. The returned function makes one call return.
func blocking(m *master) (release func(err error)) {
	results := make(chan error)
	m.mu.Lock()
	m.respond = func([]int) error { return <-results }
	m.mu.Unlock()
	return func(err error) { results <- err; synctest.Wait() }
}

// answering makes new calls return at once.
func (m *master) answering() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.respond = nil
}

func TestSubmitReachesEveryLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got := map[int]int{}
		g := fanout.New(fanout.Config[int]{Lanes: 5, Pipelines: 1, Batch: 10, Queue: 10, Stall: stall,
			Now: func() time.Duration { return 0 },
		}, func(_ context.Context, lane int, batch []*op) error {
			mu.Lock()
			defer mu.Unlock()
			got[lane] += batch[0].Payload
			return nil
		})
		r := &record{}
		ops := make([]op, 5)
		for i := range ops {
			ops[i] = op{Payload: 10 + i, Owner: r, Deadline: never}
		}
		g.Submit(0, g.NewSequence(), ops)
		synctest.Wait()
		assert.Equal(t, map[int]int{0: 10, 1: 11, 2: 12, 3: 13, 4: 14}, got)
		assert.Equal(t, 5, r.count())
		require.NoError(t, g.Close(t.Context()))
	})
}

// Several sequences' operations that are submitted together go in one call, even in an idle lane.
func TestSubmitAllIsOneBatch(t *testing.T) {
	bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
		all := make([]fanout.Submission[int], 10)
		for id := range all {
			all[id] = fanout.Submission[int]{
				Sequence: g.NewSequence(), Ops: []op{{Payload: id, Owner: r, Deadline: never}},
			}
		}
		g.SubmitAll(0, all)
		synctest.Wait()
		assert.Equal(t, [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, m.sent())
		undone := all[:2]
		for i := range undone {
			undone[i].Ops = []op{{Payload: 10 + i, Owner: r, Deadline: never, Undo: true}}
		}
		g.SubmitAll(0, append(undone, fanout.Submission[int]{
			Sequence: g.NewSequence(), Ops: []op{{Payload: 12, Owner: r, Undo: true, Deadline: never}},
		}))
		synctest.Wait()
		assert.Equal(t, []int{10, 11}, m.sent()[1])
		_, err := r.outcome(12)
		assert.ErrorIs(t, err, fanout.ErrNothingSent)
	})
}

// An idle lane sends an operation at once. While a call is in flight, operations collect for the
// next batch.
func TestBusyLaneBatchesOperations(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		for id := 1; id <= 150; id++ {
			submit(g, r, g.NewSequence(), id, never)
		}
		for range 3 {
			release(nil)
		}
		batches := m.sent()
		require.Len(t, batches, 3)
		assert.Equal(t, []int{0}, batches[0])
		assert.Len(t, batches[1], 100, "at most Config.Batch")
		assert.Len(t, batches[2], 50)
		assert.True(t, slices.IsSorted(r.order), "oldest first")
	})
}

func TestSequenceSendsNextAfterPreviousReturns(t *testing.T) {
	bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		for id := range 3 {
			submit(g, r, seq, id, never)
		}
		for want := 1; want <= 3; want++ {
			synctest.Wait()
			assert.Len(t, m.sent(), want, "one operation at a time")
			time.Sleep(3 * stall) // even if the call is stuck
			synctest.Wait()
			assert.Len(t, m.sent(), want)
			release(nil)
		}
		assert.Equal(t, []int{0, 1, 2}, r.order)
	})
}

func TestExpiredOperationsAreNotSent(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		submit(g, r, g.NewSequence(), 1, 100*time.Millisecond)
		submit(g, r, g.NewSequence(), 2, 900*time.Millisecond)
		submit(g, r, g.NewSequence(), 3, 101*time.Millisecond) // expires before operation 2
		time.Sleep(101 * time.Millisecond)
		release(nil)
		release(nil)
		assert.Equal(t, [][]int{{0}, {2}}, m.sent())
		for _, id := range []int{1, 3} {
			_, err := r.outcome(id)
			assert.ErrorIs(t, err, fanout.ErrExpired)
		}
	})
}

func TestSequenceContinuesAfterExpiredOperation(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		seq := g.NewSequence()
		submit(g, r, seq, 1, time.Millisecond)
		submit(g, r, seq, 2, never)
		time.Sleep(time.Millisecond)
		release(nil)
		release(nil)
		assert.Equal(t, [][]int{{0}, {2}}, m.sent())
	})
}

func TestExpiredOperationsDoNotPileUpBehindStuckCall(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		for id := range 1000 {
			submit(g, r, seq, id, time.Duration(id+1)*10*time.Millisecond)
			time.Sleep(10 * time.Millisecond)
		}
		assert.Equal(t, 998, r.count(), "all but the one in flight and the one that has not expired")
		release(nil)
		assert.Equal(t, 1000, r.count())
	})
}

func TestUndoDropsUnsentOperations(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		busy, idle := g.NewSequence(), g.NewSequence()
		submit(g, r, busy, 0, never)
		synctest.Wait()
		submit(g, r, busy, 1, never)
		submit(g, r, idle, 2, never)
		submit(g, r, idle, 3, never)
		undo(g, r, idle, 4)
		undo(g, r, busy, 5)

		for id, want := range map[int]error{1: fanout.ErrSuperseded, 2: fanout.ErrSuperseded, 3: fanout.ErrSuperseded, 4: fanout.ErrNothingSent} {
			settled, err := r.outcome(id)
			assert.True(t, settled, "%d", id)
			assert.ErrorIs(t, err, want, "%d", id)
		}
		release(nil)
		release(nil)
		assert.Equal(t, [][]int{{0}, {5}}, m.sent(), "the undo follows the call it undoes")
	})
}

func TestUndoIsSentAfterFailedCall(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		seq := g.NewSequence()
		submit(g, r, seq, 0, never)
		synctest.Wait()
		undo(g, r, seq, 1)
		release(errDown)
		release(nil)
		assert.Equal(t, [][]int{{0}, {1}}, m.sent(), "the master may have executed the call that failed")
	})
}

// Operations for a master that does not answer wait only briefly, if at all.
func TestMasterThatDoesNotAnswerDelaysNobody(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		release(errDown)
		assert.True(t, g.NotAnswering(0))

		submit(g, r, g.NewSequence(), 1, never) // finds out whether the master is back
		synctest.Wait()
		submit(g, r, g.NewSequence(), 2, never) // waits for operation 1
		time.Sleep(stall / 4)
		start := time.Now()
		submit(g, r, g.NewSequence(), 3, never) // is rejected: operation 1 takes too long
		settled, err := r.outcome(3)
		assert.True(t, settled)
		assert.ErrorIs(t, err, fanout.ErrNotAnswering)
		assert.Equal(t, start, time.Now())

		release(errDown)
		_, err = r.outcome(2)
		assert.ErrorIs(t, err, fanout.ErrNotAnswering, "the second failure in a row drops the queue")

		submit(g, r, g.NewSequence(), 4, never)
		release(nil)
		assert.False(t, g.NotAnswering(0))
		m.answering()
		submit(g, r, g.NewSequence(), 5, never)
		synctest.Wait()
		assert.Equal(t, [][]int{{0}, {1}, {4}, {5}}, m.sent())
	})
}

func TestStuckCallsAreBoundedAndDoNotBlock(t *testing.T) {
	bubble(t, 3, func(t *testing.T, g *group, m *master, r *record) {
		stuck := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		for id := 1; id < 1000; id++ {
			submit(g, r, g.NewSequence(), id, never)
			time.Sleep(stall / 4)
		}
		assert.Len(t, m.sent(), 3, "at most Config.Pipelines calls")
		assert.True(t, g.NotAnswering(0))
		waiting := 1000 - r.count()
		assert.LessOrEqual(t, waiting, 10, "later operations are rejected at once")

		m.answering()
		for range 3 {
			stuck(errDown)
		}
		submit(g, r, g.NewSequence(), 1000, never)
		synctest.Wait()
		settled, err := r.outcome(1000)
		assert.True(t, settled)
		assert.NoError(t, err)
	})
}

func TestLaneRecoversBeforeStuckCallReturns(t *testing.T) {
	bubble(t, 3, func(t *testing.T, g *group, m *master, r *record) {
		stuck := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		time.Sleep(2 * stall)
		m.answering()
		for id := 1; id <= 100; id++ {
			submit(g, r, g.NewSequence(), id, never)
			synctest.Wait()
			settled, err := r.outcome(id)
			assert.True(t, settled, "sent although call 0 is still stuck")
			assert.NoError(t, err)
		}
		assert.False(t, g.NotAnswering(0))
		stuck(errDown)
		synctest.Wait()
		assert.False(t, g.NotAnswering(0), "call 0 is older than those that were answered")
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *group, m *master, r *record) {
		release := blocking(m)
		submit(g, r, g.NewSequence(), 0, never)
		synctest.Wait()
		for id := 1; id <= 1001; id++ {
			submit(g, r, g.NewSequence(), id, never)
		}
		assert.Equal(t, 1, r.count())
		_, err := r.outcome(1001)
		assert.ErrorIs(t, err, fanout.ErrFull)
		m.answering()
		release(nil)
	})
}

func TestSlowNetworkUsesSeveralPipelines(t *testing.T) {
	for name, tt := range map[string]struct {
		rtt  time.Duration
		want int
	}{"loopback": {50 * time.Microsecond, 1}, "far": {20 * time.Millisecond, 4}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 4, func(t *testing.T, g *group, m *master, r *record) {
				var mu sync.Mutex
				inFlight, most := 0, 0
				m.respond = func([]int) error {
					mu.Lock()
					inFlight++
					most = max(most, inFlight)
					mu.Unlock()
					time.Sleep(tt.rtt)
					mu.Lock()
					inFlight--
					mu.Unlock()
					return nil
				}
				for id := range 200 {
					submit(g, r, g.NewSequence(), id, never)
					time.Sleep(tt.rtt / 8)
				}
				time.Sleep(stall)
				mu.Lock()
				defer mu.Unlock()
				assert.Equal(t, tt.want, most)
				assert.Equal(t, 200, r.count())
			})
		})
	}
}

func TestCloseDropsQueueAndWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := &master{}, &record{}
		var calls context.Context
		g := fanout.New(fanout.Config[int]{Lanes: 1, Pipelines: 1, Batch: 10, Queue: 10, Stall: stall,
			Now: func() time.Duration { return 0 },
		}, func(ctx context.Context, _ int, batch []*op) error {
			calls = ctx
			return m.send(ctx, 0, batch)
		})
		release := blocking(m)
		seq := g.NewSequence()
		submit(g, r, seq, 0, never)
		synctest.Wait()
		submit(g, r, seq, 1, never)
		submit(g, r, g.NewSequence(), 2, never)

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		assert.ErrorIs(t, g.Close(ctx), context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Error(t, calls.Err(), "Close cancels the calls' context when it stops waiting")

		submit(g, r, g.NewSequence(), 3, never)
		release(nil)
		for id := 1; id <= 3; id++ {
			settled, err := r.outcome(id)
			assert.True(t, settled, "%d", id)
			assert.ErrorIs(t, err, fanout.ErrClosed, "%d", id)
		}
		assert.NoError(t, g.Close(t.Context()))
	})
}

// TestEveryOperationIsSettledOnce drives a lane at random, with failures, hangs, deadlines and
// undos. It checks the guarantees in the package comment.
func TestEveryOperationIsSettledOnce(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			busy := map[int]bool{} // sequences with a call in flight
			start := time.Now()
			draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
			g := fanout.New(fanout.Config[int]{Lanes: 1, Pipelines: 3, Batch: 7, Queue: 40, Stall: stall,
				Now: func() time.Duration { return time.Since(start) },
			}, func(_ context.Context, _ int, batch []*op) error {
				mu.Lock()
				for _, o := range batch {
					require.Greater(t, o.Deadline, time.Since(start), "seed %d: sent after its deadline", seed)
					require.False(t, busy[o.Payload%10], "seed %d: two calls of a sequence at once", seed)
					busy[o.Payload%10] = true
				}
				mu.Unlock()
				time.Sleep(time.Duration(draw(5)*draw(5)*draw(100)) * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				for _, o := range batch {
					busy[o.Payload%10] = false
				}
				if random.IntN(3) == 0 {
					return errDown
				}
				return nil
			})
			r := &record{}
			seqs := make([]*fanout.Sequence[int], 10)
			for i := range seqs {
				seqs[i] = g.NewSequence()
			}
			const ops = 2000
			for id := 0; id < ops; {
				all := make([]fanout.Submission[int], min(1+draw(2)*draw(10), ops-id)) // mostly one
				for i := range all {
					deadline := time.Since(start) + time.Duration(1+draw(3000))*time.Millisecond
					all[i] = fanout.Submission[int]{Sequence: seqs[id%10], Ops: []op{
						{Payload: id, Owner: r, Deadline: deadline, Undo: draw(4) == 0},
					}}
					id++
				}
				if len(all) == 1 {
					g.SubmitTo(0, all[0].Sequence, &all[0].Ops[0])
				} else {
					g.SubmitAll(time.Since(start), all)
				}
				time.Sleep(time.Duration(draw(30)) * time.Millisecond)
			}
			require.NoError(t, g.Close(t.Context()))
			assert.Equal(t, ops, r.count(), "seed %d", seed)
		})
	}
}
