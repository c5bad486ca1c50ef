package queue_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
)

// TestWindowIsCoveredByMasters plays random histories of a waiter and its masters. Whenever the
// waiter may hold the lock, a quorum of the masters must really keep the key for it until the
// window ends. With fencing, they must have stored the fence together with the key.
//
// Polls and messages are late, doubled, reordered and lost. Each master has a clock of its own, as
// fast as Drift allows, or slower.
func TestWindowIsCoveredByMasters(t *testing.T) {
	var held, fenced int
	for seed := range uint64(1000) {
		h := play(t, seed)
		held += h.held
		if h.cfg.Fencing {
			fenced += h.held
		}
	}
	assert.Greater(t, held, 2000, "the histories have many hand-offs")
	assert.Greater(t, fenced, 500, "and fences")
}

// FuzzWindow plays more of these histories.
func FuzzWindow(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { play(t, seed) })
}

// play plays the history of a seed, which lasts for half a minute.
func play(t *testing.T, seed uint64) *history {
	t.Helper()
	h := newHistory(t, seed)
	h.renew()
	h.at(0, h.leave)
	for len(h.events) > 0 && h.now < start.Add(30*time.Second) {
		e := h.events[0]
		h.events, h.now = h.events[1:], e.at
		e.happens()
		h.step()
	}
	return h
}

// history is a random history. Its time is that of the waiter's clock.
type history struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	cfg     queue.Config
	grant   time.Duration
	now     clock.Instant
	masters []*clockedMaster
	events  []event // in the order in which they happen

	entries int
	token   string
	entry   *queue.Entry
	calls   []int // by master: the number of the call in flight; 0 for none
	asked   int   // calls so far
	fences  int64 // proposed so far
	held    int   // how often the waiter held the lock
}

// event is something that will happen.
type event struct {
	at      clock.Instant
	happens func()
}

// clockedMaster is a master with a clock of its own. It keeps the key in milliseconds, as Redis
// does.
type clockedMaster struct {
	rate    float64
	offset  int64 // microseconds
	holder  string
	expires int64 // milliseconds
	fence   int64 // stored together with the key
	waiter  string
	asked   clock.Instant // the question of the waiter that came last
	arrived int64         // when it came, in microseconds
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	h := &history{t: t, seed: seed, rng: rng, now: start, cfg: config(1 + rng.IntN(5))}
	factor := []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)]
	h.cfg.Drift = clock.Drift{Factor: factor, Fixed: 2 * time.Millisecond}
	h.cfg.Fencing = rng.IntN(2) == 0
	h.grant = h.cfg.Grant(time.Duration(200+rng.IntN(1000))*time.Millisecond, 0)
	for range h.cfg.System.Masters() {
		rate := 1 + factor
		if rng.IntN(3) == 0 {
			rate -= 2 * factor * rng.Float64()
		}
		h.masters = append(h.masters, &clockedMaster{rate: rate, offset: rng.Int64N(1e12)})
	}
	h.calls = make([]int, len(h.masters))
	return h
}

// at schedules an event.
func (h *history) at(in time.Duration, happens func()) {
	e := event{h.now.Add(in), happens}
	i, _ := slices.BinarySearchFunc(h.events, e.at, func(o event, at clock.Instant) int {
		if o.at <= at {
			return -1
		}
		return 1
	})
	h.events = slices.Insert(h.events, i, e)
}

// delay returns how long something is on its way. Usually that is short.
func (h *history) delay() time.Duration {
	longest := 5 * time.Millisecond
	switch h.rng.IntN(8) {
	case 0:
		longest = h.grant / 2
	case 1:
		longest = 2 * h.grant
	}
	return time.Duration(h.rng.Int64N(int64(longest)))
}

// send delivers something once, or sometimes twice or never.
func (h *history) send(arrives func()) {
	copies := []int{0, 1, 1, 1, 1, 1, 1, 2}[h.rng.IntN(8)]
	for range copies {
		h.at(h.delay(), arrives)
	}
}

// micros returns a master's time.
func (h *history) micros(m *clockedMaster) int64 {
	return m.offset + int64(float64(h.now.Sub(start))*m.rate/1000)
}

// keeps returns until when a master keeps its key.
func (m *clockedMaster) keeps() clock.Instant {
	return start.Add(time.Duration(float64(m.expires*1000-m.offset) * 1000 / m.rate))
}

// expire ends a key that is over. Another client takes it, so that the waiter finds few keys
// vacant.
func (h *history) expire(m *clockedMaster) (now int64) {
	now = h.micros(m)
	if m.expires <= now/1000 {
		m.holder, m.expires = "another", now/1000+h.rng.Int64N(3000)
	}
	return now
}

// renew gives up the waiter's token, and makes a new entry.
func (h *history) renew() {
	for _, m := range h.masters {
		if m.holder == h.token {
			m.expires = 0
			h.expire(m)
		}
	}
	h.entries++
	h.token = fmt.Sprint(h.entries, " of ", h.seed)
	h.entry = queue.NewEntry(h.cfg, h.token, h.grant)
	clear(h.calls)
}

// step lets the waiter act.
func (h *history) step() {
	act, ask, next := h.entry.Step(h.now, queue.Retry{})
	switch act {
	case queue.Stay:
		for _, i := range ask {
			h.poll(i)
		}
		if next != clock.Never {
			h.at(next.Sub(h.now), func() {})
		}
		return
	case queue.Attempt:
		return
	case queue.Hold:
		h.check()
		h.held++
	}
	h.renew()
	h.at(0, func() {})
}

// poll sends a question to a master. The answer may be to any copy of it, or be lost.
func (h *history) poll(i int) {
	h.asked++
	number, entry, token, asked := h.asked, h.entry, h.token, h.now
	h.calls[i] = number
	answer := func(a queue.Answer) {
		if h.entry == entry && h.calls[i] == number {
			h.calls[i] = 0
			entry.Answered(i, a, h.now, true)
		}
	}
	h.send(func() {
		a := h.wait(h.masters[i], token, asked)
		h.at(h.delay(), func() { answer(a) })
	})
	h.at(h.cfg.AttemptTimeout, func() { answer(unknown) })
}

// wait executes a question on a master.
func (h *history) wait(m *clockedMaster, token string, asked clock.Instant) queue.Answer {
	now := h.expire(m)
	left := time.Duration(m.expires-now/1000) * time.Millisecond
	if m.holder == token {
		return queue.Answer{Outcome: vote.Held, Left: left}
	}
	m.waiter, m.asked, m.arrived = token, asked.Add(-time.Duration(asked)%time.Microsecond), now
	return queue.Answer{Outcome: vote.Taken, Left: left}
}

// leave lets another client release the lock, on one master after the other. It proposes a fence to
// all of them. Some time later the next one does.
func (h *history) leave() {
	h.fences++
	proposal := h.fences
	for i := range h.masters {
		if h.rng.IntN(8) == 0 {
			continue
		}
		h.at(h.delay(), func() { h.handOn(i, proposal) })
	}
	h.at(time.Duration(h.rng.Int64N(int64(2*h.grant))), h.leave)
}

// handOn grants a master's key to the waiter, unless the waiter has it already.
func (h *history) handOn(i int, proposal int64) {
	m := h.masters[i]
	now := h.expire(m)
	if m.holder == h.token || m.waiter == "" {
		return
	}
	m.holder, m.expires, m.fence = m.waiter, now/1000+h.grant.Milliseconds(), 0
	if h.rng.IntN(10) > 0 {
		m.fence = proposal
	}
	token, g := m.waiter, queue.Grant{
		Asked: m.asked, Age: time.Duration(now-m.arrived) * time.Microsecond, Fence: m.fence,
	}
	m.waiter = ""
	h.send(func() {
		if h.token == token {
			h.entry.Granted(i, g, h.now)
		}
	})
}

// check compares the waiter's window with what the masters keep.
func (h *history) check() {
	until, fence := h.entry.Window()
	var kept vote.Set
	for i, m := range h.masters {
		if m.holder == h.token && m.keeps() >= until && (!h.cfg.Fencing || m.fence == fence) {
			kept |= vote.Only(i)
		}
	}
	require.True(h.t, h.cfg.System.HasQuorum(kept), "seed %d, %v: held for %v, but only %d of %d masters keep it",
		h.seed, h.now.Sub(start), until.Sub(h.now), kept.Len(), len(h.masters))
	require.Equal(h.t, h.cfg.Fencing, fence > 0)
	require.GreaterOrEqual(h.t, until.Sub(h.now), 50*time.Millisecond)
	require.LessOrEqual(h.t, until.Sub(h.now), h.grant)
}
