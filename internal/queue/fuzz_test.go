package queue_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
)

// world drives an entry with random events, and checks its decisions.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	entry    *queue.Entry
	masters  int
	fencing  bool
	now      clock.Instant
	retry    queue.Retry
	inFlight vote.Set
}

// FuzzStep checks invariants that hold for any answers at any time, however absurd.
func FuzzStep(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWorld(t, seed)
		again := newWorld(t, seed)
		for range 100 {
			w.event()
			again.event()
			require.Equal(t, w.step(), again.step(), "the same calls lead to the same decisions")
		}
	})
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	masters := 1 + rng.IntN(5)
	cfg := config(masters)
	cfg.Fencing = rng.IntN(2) == 0
	return &world{
		t: t, rng: rng, masters: masters, fencing: cfg.Fencing, now: start,
		entry: queue.NewEntry(cfg, token, time.Second),
	}
}

// event generates a random event, or lets time pass.
func (w *world) event() {
	i := w.rng.IntN(w.masters)
	switch w.rng.IntN(6) {
	case 0, 1, 2:
		w.entry.Answered(i, queue.Answer{
			Outcome:     vote.Outcome(w.rng.IntN(int(vote.Outcomes))),
			Quarantined: w.rng.IntN(2) == 0,
			Left:        time.Duration(w.rng.IntN(1000)-100) * time.Millisecond,
			Rank:        int64(w.rng.IntN(3)),
		}, w.now, w.rng.IntN(2) == 0)
		w.inFlight &^= vote.Only(i)
	case 3:
		w.entry.Granted(i, queue.Grant{
			Asked: w.now.Add(time.Duration(w.rng.IntN(3000)-2000) * time.Millisecond),
			Age:   time.Duration(w.rng.IntN(2000)) * time.Millisecond,
			Fence: int64(w.rng.IntN(3)),
		}, w.now)
	case 4:
		w.entry.AskSoon(i)
	case 5:
		w.now = w.now.Add(time.Duration(w.rng.IntN(int(time.Second))))
	}
	if w.rng.IntN(10) == 0 {
		w.retry.Confirm = w.now.Add(time.Duration(w.rng.IntN(int(time.Second))))
		w.retry.Attempt = w.now.Add(time.Duration(w.rng.IntN(int(time.Second))))
	}
}

// step calls Step, checks its results, and returns them.
func (w *world) step() []any {
	act, ask, next := w.entry.Step(w.now, w.retry)
	if act != queue.Stay {
		assert.Empty(w.t, ask)
		w.checkAction(act)
		until, fence := w.entry.Window()
		return []any{act, until, fence}
	}
	assert.Greater(w.t, next, w.now, "Step is called again later")
	defer w.checkNext(next)
	for _, i := range ask {
		assert.False(w.t, w.inFlight.Has(i), "one call at a time")
		w.inFlight |= vote.Only(i)
		assert.Equal(w.t, w.now, w.entry.AskedAt(i))
	}
	return []any{act, ask, next}
}

// checkNext checks that no master is left alone for so long that three polls take longer than the
// lease.
func (w *world) checkNext(next clock.Instant) {
	if w.inFlight.Len() < w.masters {
		assert.LessOrEqual(w.t, next.Sub(w.now), queue.Lease/3)
	}
}

// checkAction checks an action against the masters' last answers.
func (w *world) checkAction(act queue.Action) {
	var counts [vote.Outcomes]int
	quarantined := 0
	for i := range w.masters {
		a, ok := w.entry.Heard(i)
		if ok {
			counts[a.Outcome]++
		}
		if ok && a.Outcome == vote.Refused && a.Quarantined {
			quarantined++
		}
	}
	quorum := w.masters/2 + 1
	switch act {
	case queue.Hold:
		require.GreaterOrEqual(w.t, counts[vote.Held], quorum)
		until, fence := w.entry.Window()
		require.GreaterOrEqual(w.t, until.Sub(w.now), 50*time.Millisecond)
		require.Equal(w.t, w.fencing, fence > 0)
	case queue.Confirm:
		require.GreaterOrEqual(w.t, counts[vote.Held]+counts[vote.Absent], quorum)
	case queue.GiveBack:
		require.Positive(w.t, counts[vote.Held])
	case queue.Attempt:
		require.Less(w.t, counts[vote.Taken]+counts[vote.Absent]+quarantined, quorum)
		require.GreaterOrEqual(w.t, w.now, w.retry.Attempt)
	}
}
