package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/ledger"
)

// books has things happen to a ledger that come of a seed, and keeps the account.
type books struct {
	*ledger.Ledger[string]
	t     *testing.T
	rng   *rand.Rand
	limit int
	now   clock.Instant
	tries []ledger.Debt[string] // under way

	open map[string]int // first tries that were not settled and have not ended, by lock
	log  []string       // all that the ledger said
}

// FuzzLedger checks that all first tries end once, and that no more is owed than there may be,
// whatever happens when.
func FuzzLedger(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		b, again := newBooks(t, seed), newBooks(t, seed)
		for range 200 {
			b.happens()
			again.happens()
		}
		b.finish()
		again.finish()
		assert.Equal(t, b.log, again.log, "the same calls lead to the same decisions")
	})
}

func newBooks(t *testing.T, seed uint64) *books {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	limit := 1 + rng.IntN(20)
	return &books{
		Ledger: ledger.New[string](limit), t: t, rng: rng, limit: limit, now: start,
		open: map[string]int{},
	}
}

// happens has one thing happen.
func (b *books) happens() {
	switch b.rng.IntN(8) {
	case 0, 1, 2:
		b.release(fmt.Sprint("lock-", b.rng.IntN(50)))
	case 3:
		b.take(b.rng.IntN(3) == 0)
	case 4, 5:
		if len(b.tries) > 0 {
			b.tried(b.rng.IntN(len(b.tries)))
		}
	case 6:
		b.now = b.now.Add(time.Duration(b.rng.Int64N(int64(2 * time.Second))))
	case 7:
		if b.rng.IntN(20) == 0 {
			b.Close(b.now)
		}
	}
	require.LessOrEqual(b.t, b.Pending(), b.limit+len(b.tries))
	if b.Pending() > len(b.tries) {
		assert.LessOrEqual(b.t, b.UntilNext(b.now), 64*time.Second, "it is looked at again")
	}
}

// answer is what becomes of a try. What is known of the token does not change.
func (b *books) answer(lock string) ledger.Answer {
	var n int
	_, _ = fmt.Sscanf(lock, "lock-%d", &n)
	a := ledger.Answer{
		InDoubt: n%3 == 0, MayHaveKey: n%2 == 0, MayStand: n%5 != 0,
		Life: time.Duration(1+n) * time.Second,
	}
	switch b.rng.IntN(8) {
	case 0, 1, 2:
		a.Sent, a.Gone = true, true
	case 3, 4, 5:
		a.Sent = true
	case 6:
		a.Final = b.rng.IntN(3) == 0
	}
	return a
}

func (b *books) release(lock string) {
	debt, a := first(lock), b.answer(lock)
	if debt.Settled(a) {
		return
	}
	b.open[lock]++
	b.settle(debt, a)
}

func (b *books) tried(i int) {
	debt := b.tries[i]
	b.tries = slices.Delete(b.tries, i, i+1)
	a := b.answer(debt.Lock)
	require.False(b.t, debt.Settled(a))
	b.settle(debt, a)
	b.Tried()
}

func (b *books) settle(debt ledger.Debt[string], a ledger.Answer) {
	pending := b.Pending()
	ended, entered := b.Settle(debt, a, b.now)
	b.log = append(b.log, fmt.Sprint(b.now, debt.Lock, ended, entered))
	b.end(ended)
	if entered {
		assert.Equal(b.t, pending+1, b.Pending()+len(ended), "one comes, some go")
	}
}

// take takes what is due. Each lock is tried once at a time, while it can be of use.
func (b *books) take(silent bool) {
	due, ended := b.Take(b.now, silent)
	b.log = append(b.log, fmt.Sprint(b.now, due, ended))
	b.end(ended)
	for _, debt := range due {
		assert.Greater(b.t, debt.Expires(), b.now)
		for _, other := range b.tries {
			require.NotEqual(b.t, debt.Lock, other.Lock)
		}
		b.tries = append(b.tries, debt)
	}
}

func (b *books) end(ended []ledger.Ended[string]) {
	for _, e := range ended {
		b.open[e.Lock]--
		require.GreaterOrEqual(b.t, b.open[e.Lock], 0, "%s ends too often", e.Lock)
	}
}

// finish settles what is being tried and gives up the rest, as a caller does that closes.
func (b *books) finish() {
	b.Close(b.now)
	for len(b.tries) > 0 {
		b.tried(0)
	}
	left, ended := b.GiveUp()
	b.log = append(b.log, fmt.Sprint(left, ended, b.LeftToExpire()))
	b.end(ended)
	assert.Zero(b.t, b.Pending())
	assert.LessOrEqual(b.t, uint64(len(left)), b.LeftToExpire())
	for lock, n := range b.open {
		assert.Zero(b.t, n, "%s has not ended", lock)
	}
}
