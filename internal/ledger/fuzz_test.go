package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/ledger"
)

// model drives a ledger with random events, and checks what it returns.
type model struct {
	*ledger.Ledger[string]
	t     *testing.T
	rng   *rand.Rand
	limit int
	now   clock.Instant
	tries []ledger.Debt[string] // in flight

	open map[string]int // by lock: first tries that were not settled and have not ended
	log  []string       // everything that the ledger returned
}

// FuzzLedger checks that every first try ends once, and that the ledger observes its limit, in any
// order of events.
func FuzzLedger(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m, again := newModel(t, seed), newModel(t, seed)
		for range 200 {
			m.event()
			again.event()
		}
		m.finish()
		again.finish()
		assert.Equal(t, m.log, again.log, "the same calls lead to the same decisions")
	})
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	limit := 1 + rng.IntN(20)
	return &model{
		Ledger: ledger.New(limit, strings.Compare), t: t, rng: rng, limit: limit, now: start,
		open: map[string]int{},
	}
}

// event generates a random event.
func (m *model) event() {
	switch m.rng.IntN(8) {
	case 0, 1, 2:
		m.release(fmt.Sprint("lock-", m.rng.IntN(50)))
	case 3:
		m.take(m.rng.IntN(3) == 0)
	case 4, 5:
		if len(m.tries) > 0 {
			m.tried(m.rng.IntN(len(m.tries)))
		}
	case 6:
		m.now = m.now.Add(time.Duration(m.rng.Int64N(int64(2 * time.Second))))
	case 7:
		if m.rng.IntN(20) == 0 {
			m.Close(m.now)
		}
	}
	require.LessOrEqual(m.t, m.Pending(), m.limit+len(m.tries))
	if m.Pending() > len(m.tries) {
		assert.LessOrEqual(m.t, m.UntilNext(m.now), 64*time.Second, "the ledger wants another Take")
	}
}

// answer returns a random answer to a try. What is known about a lock's token stays the same.
func (m *model) answer(lock string) ledger.Answer {
	var n int
	_, _ = fmt.Sscanf(lock, "lock-%d", &n)
	a := ledger.Answer{
		InDoubt: n%3 == 0, MayHaveKey: n%2 == 0, MayStand: n%5 != 0,
		Life: time.Duration(1+n) * time.Second, DoubtEnds: clock.Never,
	}
	if m.rng.IntN(2) == 0 {
		a.DoubtEnds = m.now.Add(time.Duration(m.rng.Int64N(int64(4*time.Second))) - time.Second)
	}
	switch m.rng.IntN(8) {
	case 0, 1, 2:
		a.Sent, a.Gone = true, true
	case 3, 4, 5:
		a.Sent = true
	case 6:
		a.Final = m.rng.IntN(3) == 0
	}
	return a
}

func (m *model) release(lock string) {
	debt, a := first(lock), m.answer(lock)
	if debt.Settled(a) {
		return
	}
	m.open[lock]++
	m.settle(debt, a)
}

func (m *model) tried(i int) {
	debt := m.tries[i]
	m.tries = slices.Delete(m.tries, i, i+1)
	a := m.answer(debt.Lock)
	require.False(m.t, debt.Settled(a))
	m.settle(debt, a)
	m.Tried()
}

func (m *model) settle(debt ledger.Debt[string], a ledger.Answer) {
	pending := m.Pending()
	ended, entered := m.Settle(debt, a, m.now)
	m.log = append(m.log, fmt.Sprint(m.now, debt.Lock, ended, entered))
	m.end(ended)
	if entered {
		assert.Equal(m.t, pending+1, m.Pending()+len(ended), "one debt is entered, some end")
	}
}

// take takes the debts that are due. It checks that each lock is tried once at a time, and not
// after its expiry.
func (m *model) take(silent bool) {
	due, ended := m.Take(m.now, silent)
	m.log = append(m.log, fmt.Sprint(m.now, due, ended))
	m.end(ended)
	for _, debt := range due {
		assert.Greater(m.t, debt.Expires(), m.now)
		for _, other := range m.tries {
			require.NotEqual(m.t, debt.Lock, other.Lock)
		}
		m.tries = append(m.tries, debt)
	}
}

func (m *model) end(ended []ledger.Ended[string]) {
	for _, e := range ended {
		m.open[e.Lock]--
		require.GreaterOrEqual(m.t, m.open[e.Lock], 0, "%s ended too often", e.Lock)
	}
}

// finish settles the tries in flight and gives up the rest, as callers do when they close.
func (m *model) finish() {
	m.Close(m.now)
	for len(m.tries) > 0 {
		m.tried(0)
	}
	left, ended := m.GiveUp()
	m.log = append(m.log, fmt.Sprint(left, ended, m.LeftToExpire()))
	m.end(ended)
	assert.Zero(m.t, m.Pending())
	assert.LessOrEqual(m.t, uint64(len(left)), m.LeftToExpire())
	for lock, n := range m.open {
		assert.Zero(m.t, n, "%s has not ended", lock)
	}
}
