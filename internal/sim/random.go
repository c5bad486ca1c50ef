package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// random is one actor's source of random values. Each actor has its own, seeded
// by the history's seed and the actor's name, and draws from it in an order of
// its own. So what it draws does not depend on how goroutines happen to be
// scheduled, and a seed replays to the same history.
type random struct{ *rand.Rand }

func newRandom(seed uint64, actor string) random {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor)) // never fails, see hash.Hash
	return random{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// chance is true with probability p.
func (r random) chance(p float64) bool { return r.Float64() < p }

// between draws a duration, to the nanosecond: no two events share an instant.
func (r random) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// Read makes it a source of tokens.
func (r random) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}
