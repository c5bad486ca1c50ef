package sim

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/quorumlock/redlock/token"
)

// random is one actor's source of random values. It is seeded by the history's seed and the actor's
// name, and the actor draws from it in its own order. So the values do not depend on how goroutines
// are scheduled, and a seed always replays the same history.
type random struct {
	*rand.Rand
	tokens *random // for tokens of the actor's calls, which the library draws; nil for those of its client
}

// tokensOf is the key of an actor's random.tokens in the contexts of its calls. Two workers of a
// client may go on at the same instant, and each of them must draw the same tokens every time.
type tokensOf struct{}

// timeout returns a context for a call of the actor.
func (r random) timeout(d time.Duration) (context.Context, context.CancelFunc) {
	ctx := context.Background()
	if r.tokens != nil {
		ctx = context.WithValue(ctx, tokensOf{}, *r.tokens)
	}
	return context.WithTimeout(ctx, d)
}

func newRandom(seed uint64, actor string) random {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor)) // a hash.Hash never fails
	return random{Rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
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
