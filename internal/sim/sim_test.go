package sim_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
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
	violate   = flag.String("sim.violate", "", "with -sim.seed: what to do to it, one of the names in variants")
)

func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // histories are short and leave much behind: a quarter more of them a second
	}
	leaktest.Main(m)
}

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
		r := run(t, uint64(*oneSeed), config(t, uint64(*oneSeed), *violate))
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
					require.NoError(t, r.Violations, "%s", replay(r, ""))
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

// variants are what some tests here do to the configuration of a seed.
var variants = map[string]func(*sim.Config){
	"": func(*sim.Config) {},
	// What is not guaranteed.
	"forget": func(c *sim.Config) { c.Forget, c.Guard, c.MasterFaults = true, 0, 1 },
	"drift":  func(c *sim.Config) { c.Drift = 0.5 },
	// What is guaranteed against the same.
	"forget-guarded": func(c *sim.Config) {
		c.Forget, c.Guard, c.MasterFaults = true, c.LongestTTL(), 1
		c.Skew = min(c.Skew, c.Guard/4)
	},
	"skew": func(c *sim.Config) {
		c.Fencing, c.Forget, c.Guard = true, false, 0
		c.Skew, c.ClientSkew = 10*time.Hour, 10*time.Hour
	},
}

func config(t *testing.T, seed uint64, variant string) sim.Config {
	t.Helper()
	change, ok := variants[variant]
	require.True(t, ok, "no variant %q", variant)
	cfg := sim.Random(seed)
	if variant != "" && cfg.Tidy { // it is for what this library is safe against
		cfg.Tidy, cfg.TTL = false, time.Second
	}
	change(&cfg)
	return cfg
}

// replay tells how to make a history again, and what led to its violation.
func replay(r sim.Report, variant string) string {
	if variant != "" {
		variant = " -sim.violate=" + variant
	}
	lines := strings.Split(r.Trace[:r.ViolationEnd], "\n")
	return fmt.Sprintf("seed %d\nreplay it: go test ./internal/sim -run TestHistories -sim.seed=%d%s -v\n%+v\nthe end of it:\n%s",
		r.Seed, r.Seed, variant, r.Config, strings.Join(lines[max(0, len(lines)-40):], "\n"))
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

// secondHolders makes histories until some have a second holder, or there are many.
func secondHolders(t *testing.T, variant string, wanted int) (found []sim.Report) {
	t.Helper()
	for seed := uint64(0); seed < 400 && len(found) < wanted; seed++ {
		r := run(t, seed, config(t, seed, variant))
		if r.Violations != nil && strings.Contains(r.Violations.Error(), "two holders at once") {
			found = append(found, r)
		}
	}
	require.Equal(t, wanted, len(found), "second holders in 400 histories")
	return found
}

// TestNotGuaranteed shows what the library does not promise, and that the
// checker sees it: each of these breaks what Redlock assumes, and leads to a
// second holder.
func TestNotGuaranteed(t *testing.T) {
	for assumption, variant := range map[string]string{
		"masters remember what they granted":           "forget",
		"clock rates differ by no more than the drift": "drift",
	} {
		t.Run(assumption, func(t *testing.T) {
			r := secondHolders(t, variant, 1)[0]
			for line := range strings.Lines(r.Violations.Error()) {
				if strings.HasPrefix(line, "two holders at once") {
					t.Log(line)
				}
			}
			t.Log(replay(r, variant))
		})
	}
}

// TestGuardKeepsTheSecondHolderOut where masters forget: the same seeds and
// configurations have one without it.
func TestGuardKeepsTheSecondHolderOut(t *testing.T) {
	holds := 0
	for _, without := range secondHolders(t, "forget", 4) {
		r := run(t, without.Seed, config(t, without.Seed, "forget-guarded"))
		require.NoError(t, r.Violations, "%s", replay(r, "forget-guarded"))
		holds += r.Holds
	}
	assert.Positive(t, holds)
}

// TestFencesKeepTheOrder whatever the clocks of masters and clients say. It is why
// there is a second round: see test/mutants.
func TestFencesKeepTheOrder(t *testing.T) {
	holds := 0
	for seed := range uint64(100) {
		r := run(t, seed, config(t, seed, "skew"))
		require.NoError(t, r.Violations, "%s", replay(r, "skew"))
		holds += r.Holds
	}
	assert.Positive(t, holds)
}
