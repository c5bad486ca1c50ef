package sim_test

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
	"github.com/quorumlock/redlock/internal/sim"
)

var (
	histories = flag.Int("sim.histories", 0, "how many histories TestHistories makes (default 1000, 300 with -race)")
	firstSeed = flag.Uint64("sim.first", 0, "the seed of the first of them")
	soak      = flag.Duration("sim.soak", 0, "make histories for this long instead")
	oneSeed   = flag.Int64("sim.seed", -1, "make this one history only, and print it")
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// run makes one history on virtual time.
func run(t *testing.T, seed uint64, cfg sim.Config) (report sim.Report) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { report = sim.Run(seed, cfg) })
	return report
}

// TestHistories makes histories of everything that the library is safe against,
// and checks each. A seed that fails is printed with the command that replays
// it.
func TestHistories(t *testing.T) {
	if *oneSeed >= 0 {
		r := run(t, uint64(*oneSeed), sim.Random(uint64(*oneSeed)))
		t.Logf("%+v\n%s", r.Config, r.Trace)
		require.NoError(t, r.Violations)
		return
	}
	n := uint64(*histories)
	if n == 0 {
		n = standardHistories
	}
	var next, done, holds, operations, faults atomic.Uint64
	start := time.Now()
	t.Run("histories", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for !t.Failed() {
					i := next.Add(1) - 1
					if *soak > 0 && time.Since(start) > *soak || *soak == 0 && i >= n {
						return
					}
					r := run(t, *firstSeed+i, sim.Random(*firstSeed+i))
					require.NoError(t, r.Violations, "%s", replay(r))
					done.Add(1)
					holds.Add(uint64(r.Holds))
					operations.Add(uint64(r.Operations))
					faults.Add(uint64(r.Faults))
				}
			})
		}
	})
	t.Logf("%d histories, %.0f a second: %d operations, %d holds, %d faults of masters and clients",
		done.Load(), float64(done.Load())/time.Since(start).Seconds(), operations.Load(), holds.Load(), faults.Load())
	assert.Positive(t, holds.Load())
}

func replay(r sim.Report) string {
	lines := strings.Split(r.Trace, "\n")
	return fmt.Sprintf("seed %d\nreplay it: go test ./internal/sim -run TestHistories -sim.seed=%d -v\n%+v\nthe end of it:\n%s",
		r.Seed, r.Seed, r.Config, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// TestSameSeedSameHistory: a failure that cannot be replayed is of little use.
func TestSameSeedSameHistory(t *testing.T) {
	for seed := range uint64(30) {
		first, second := run(t, seed, sim.Random(seed)), run(t, seed, sim.Random(seed))
		require.NotEmpty(t, first.Trace)
		require.Equal(t, first.Trace, second.Trace, "seed %d", seed)
	}
	assert.NotEqual(t, run(t, 1, sim.Random(1)).Trace, run(t, 2, sim.Random(1)).Trace)
}

// TestNotGuaranteed shows what the library does not promise, and that the
// checker sees it: each of these breaks what Redlock assumes, and leads to a
// second holder.
func TestNotGuaranteed(t *testing.T) {
	for _, tt := range []struct {
		assumption string
		violate    func(*sim.Config)
	}{
		{"masters remember what they granted", func(c *sim.Config) { c.Forget, c.MasterFaults = true, 1 }},
		{"clock rates differ by no more than the drift", func(c *sim.Config) { c.Drift = 0.5 }},
	} {
		t.Run(tt.assumption, func(t *testing.T) {
			for seed := range uint64(400) {
				cfg := sim.Random(seed)
				tt.violate(&cfg)
				r := run(t, seed, cfg)
				if r.Violations != nil && strings.Contains(r.Violations.Error(), "two holders at once") {
					t.Logf("seed %d: %v", seed, r.Violations)
					return
				}
			}
			assert.Fail(t, "no second holder in 400 histories")
		})
	}
}
