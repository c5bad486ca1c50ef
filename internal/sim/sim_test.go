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
	"github.com/quorumlock/redlock/internal/seedshare"
	"github.com/quorumlock/redlock/internal/sim"
)

var (
	histories = flag.Int("sim.histories", 0, "number of histories that TestHistories runs (default 1000, or 166 with -race)")
	firstSeed = flag.Uint64("sim.first", 0, "seed of the first history")
	soak      = flag.Duration("sim.soak", 0, "run histories for this long instead")
	oneSeed   = flag.Int64("sim.seed", -1, "run only the history of this seed, and print it")
	violate   = flag.String("sim.violate", "", "with -sim.seed: name of the variant to run, see variants")
)

func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // histories are short and allocate much: this runs a quarter more of them per second
	}
	leaktest.Main(m)
}

// run runs one history on virtual time.
func run(t *testing.T, seed uint64, cfg sim.Config) (report sim.Report) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { report = sim.Run(seed, cfg) })
	return report
}

// TestHistories runs histories within everything that the library guarantees safety against, and
// checks each. If one fails, it prints the command that replays it.
func TestHistories(t *testing.T) {
	if *oneSeed >= 0 {
		r := run(t, uint64(*oneSeed), config(t, uint64(*oneSeed), *violate))
		t.Logf("%+v\n%s", r.Config, r.Trace)
		require.NoError(t, r.Violations)
		return
	}
	n := uint64(*histories)
	if n == 0 {
		n = 1000 / seedshare.Share
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
	t.Logf("%d histories, %.0f per second: %d operations, %d holds, %d faults of masters and clients",
		done.Load(), float64(done.Load())/time.Since(start).Seconds(), operations.Load(), holds.Load(), faults.Load())
	assert.Positive(t, holds.Load())
}

// variants change the configuration that a seed draws.
var variants = map[string]func(*sim.Config){
	"": func(*sim.Config) {},
	// These break an assumption of the guarantee.
	"forget": forgetMuch,
	"drift":  func(c *sim.Config) { c.Drift = 0.5 },
	"forget-entries": func(c *sim.Config) {
		forgetMuch(c)
		c.Ordered = 1
	},
	"drift-entries": func(c *sim.Config) { c.Drift, c.Ordered, c.Several = 0.5, 1, 0 },
	"change-abruptly": func(c *sim.Config) {
		changeMasters(c)
		c.Change.Abrupt, c.Change.Unchecked = true, true
	},
	"change-without-wait": func(c *sim.Config) {
		changeMasters(c)
		c.Change.Wait, c.Change.Unchecked = 0, true
	},
	// These restore the guarantee.
	"change-jointly": func(c *sim.Config) {
		changeMasters(c)
		c.Change.Unchecked = true
	},
	"change-abruptly-checked": func(c *sim.Config) {
		changeMasters(c)
		c.Change.Abrupt = true
	},
	"change-declared": changeMasters,
	"forget-guarded": func(c *sim.Config) {
		forgetMuch(c)
		c.Guard = c.LongestTTL()
		c.Skew = min(c.Skew, c.Guard/4)
	},
	"forget-entries-guarded": func(c *sim.Config) {
		forgetMuch(c)
		c.Guard = c.LongestTTL()
		c.Skew = min(c.Skew, c.Guard/4)
		c.Ordered = 1
	},
	"skew": func(c *sim.Config) {
		c.Fencing, c.Forget, c.Guard = true, false, 0
		c.Skew, c.ClientSkew = 10*time.Hour, 10*time.Hour
	},
}

// forgetMuch lets few masters forget what a few clients want, and nothing else goes wrong as often.
func forgetMuch(c *sim.Config) {
	c.Forget, c.Guard, c.MasterFaults, c.Loss = true, 0, 1, 0
	c.Masters, c.Clients, c.Workers, c.Names, c.Change = 3, 2, 1, 1, sim.Change{}
	c.Several, c.Ordered = 0, 0
}

// changeMasters makes the history go through a change of masters.
func changeMasters(c *sim.Config) {
	if !c.Change.Exists() {
		c.Masters, c.Change.Old, c.Change.From = 5, 3, 0
	}
	c.Clients, c.Names, c.Several, c.Ordered, c.TTL = 2, 1, 0, 0, 3*time.Second
	if c.Guard > 0 {
		c.Guard = c.LongestTTL()
	}
	c.Length = max(c.Length, 5*time.Second)
	c.Change.Wait = c.LongestTTL() + c.Skew + 2*c.ClientSkew
}

func config(t *testing.T, seed uint64, variant string) sim.Config {
	t.Helper()
	change, ok := variants[variant]
	require.True(t, ok, "no variant %q", variant)
	cfg := sim.Random(seed)
	if variant != "" && cfg.Tidy { // Tidy needs an intact guarantee
		cfg.Tidy, cfg.TTL = false, time.Second
	}
	change(&cfg)
	return cfg
}

// replay returns the command that replays a history, and the events before its violation.
func replay(r sim.Report, variant string) string {
	if variant != "" {
		variant = " -sim.violate=" + variant
	}
	lines := strings.Split(r.Trace[:r.ViolationEnd], "\n")
	return fmt.Sprintf("seed %d\nto replay: go test ./internal/sim -run TestHistories -sim.seed=%d%s -v\n%+v\nlast events:\n%s",
		r.Seed, r.Seed, variant, r.Config, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

func TestSameSeedGivesSameHistory(t *testing.T) {
	for seed := range uint64(30 / seedshare.Share) {
		first, second := run(t, seed, sim.Random(seed)), run(t, seed, sim.Random(seed))
		require.NotEmpty(t, first.Trace)
		require.Equal(t, first.Trace, second.Trace, "seed %d", seed)
	}
	assert.NotEqual(t, run(t, 1, sim.Random(1)).Trace, run(t, 2, sim.Random(1)).Trace)
}

// secondHolders runs up to 400 histories and returns the first ones with a second holder, as many
// as wanted.
func secondHolders(t *testing.T, variant string, wanted int) (found []sim.Report) {
	t.Helper()
	for seed := uint64(0); seed < 400 && len(found) < wanted; seed++ {
		r := run(t, seed, config(t, seed, variant))
		if r.Violations != nil && strings.Contains(r.Violations.Error(), "two holders at once") {
			found = append(found, r)
		}
	}
	require.Equal(t, wanted, len(found), "histories with a second holder among 400")
	return found
}

// TestBrokenAssumptionAllowsSecondHolder shows what the library does not promise, and that the
// checker detects it. Each case breaks an assumption of Redlock, which leads to a second holder.
func TestBrokenAssumptionAllowsSecondHolder(t *testing.T) {
	for assumption, variant := range map[string]string{
		"masters remember their grants":                      "forget",
		"clock rates differ by at most the drift":            "drift",
		"masters remember their entries":                     "forget-entries",
		"all clients use one set of masters":                 "change-abruptly",
		"what the old set alone granted is over":             "change-without-wait",
		"clock rates of entries differ by at most the drift": "drift-entries",
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

// TestRestartGuardPreventsSecondHolder replays histories in which forgetful masters let a second
// holder in. With the restart guard there is none.
func TestRestartGuardPreventsSecondHolder(t *testing.T) {
	for _, variant := range []string{"forget", "forget-entries"} {
		holds := 0
		for _, without := range secondHolders(t, variant, max(1, 4/seedshare.Share)) {
			r := run(t, without.Seed, config(t, without.Seed, variant+"-guarded"))
			require.NoError(t, r.Violations, "%s", replay(r, variant+"-guarded"))
			holds += r.Holds
		}
		assert.Positive(t, holds)
	}
}

// TestJointQuorumsPreventSecondHolder replays histories in which clients that use two sets of
// masters let a second holder in. With clients in between that use both, and a wait, there is none.
func TestJointQuorumsPreventSecondHolder(t *testing.T) {
	for _, variant := range []string{"change-abruptly", "change-without-wait"} {
		holds := 0
		for _, without := range secondHolders(t, variant, max(1, 4/seedshare.Share)) {
			r := run(t, without.Seed, config(t, without.Seed, "change-jointly"))
			require.NoError(t, r.Violations, "%s", replay(r, "change-jointly"))
			holds += r.Holds
		}
		assert.Positive(t, holds)
	}
}

// TestFencesIncreaseDespiteClockSkew is why acquiring with a fence takes a second round; see
// test/mutants.
func TestFencesIncreaseDespiteClockSkew(t *testing.T) {
	holds := 0
	for seed := range uint64(100 / seedshare.Share) {
		r := run(t, seed, config(t, seed, "skew"))
		require.NoError(t, r.Violations, "%s", replay(r, "skew"))
		holds += r.Holds
	}
	assert.Positive(t, holds)
}
