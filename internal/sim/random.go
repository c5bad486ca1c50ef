package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/quorumlock/redlock/token"
)

// random is one actor's source of random values. It is seeded by the history's seed and the actor's
// name, and the actor draws from it in its own order. So the values do not depend on how goroutines
// are scheduled, and a seed always replays the same history.
type random struct{ *rand.Rand }

func newRandom(seed uint64, actor string) random {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor)) // a hash.Hash never fails
	return random{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// chance returns true with probability p.
func (r random) chance(p float64) bool { return r.Float64() < p }

// between draws a duration to the nanosecond, so that no two events share an instant.
func (r random) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// token draws an ownership token.
func (r random) token(made time.Time, owner string) string {
	var bits [token.Bits / 8]byte
	for i := range bits {
		bits[i] = byte(r.Uint32())
	}
	return token.Encode(bits, made, owner)
}
