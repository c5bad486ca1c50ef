package integration

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
)

var (
	chaosSeed     = flag.Uint64("chaos.seed", 0, "replay TestChaos's plans of faults with this seed; 0 draws one")
	chaosDuration = flag.Duration("chaos.duration", 0, "how long each part of TestChaos has faults happen (default 15s, with -short 5s)")
)

// How many of each there are. The machines that run this are small.
const (
	chaosMasters = 5
	chaosClients = 4
	chaosWorkers = 8 // in each client
)

func chaosNames() chaosSetup {
	setup := chaosSetup{Workers: chaosWorkers, Periods: []string{"period-1", "period-2", "period-3"}}
	for i := range 24 {
		setup.Names = append(setup.Names, fmt.Sprintf("lock-%d", i))
	}
	return setup
}

// chaosParts are the options that TestChaos runs with. Each part has a plan of its own.
var chaosParts = []struct {
	name           string
	fencing, guard bool
}{
	{name: "plain"},
	{name: "fencing", fencing: true},
	{name: "guard", guard: true},
	{name: "fencing and guard", fencing: true, guard: true},
}

// TestChaos has several client processes use the same few locks in every way there is, while masters, network and
// clients fail as a seeded plan has it, and then checks everything that they saw. The seed settles what fails, when and
// for how long, and what each worker sets out to do; it does not settle how the machine interleaves them. It does so
// with neither fencing nor the restart guard, with each, and with both, for as long as -chaos.duration says each time.
//
// What must hold throughout:
//
//   - No two holders of a name rely on it at the same time, between the return of the acquisition and the beginning of
//     the release or the end of the window, whichever comes first. This includes holders that are frozen meanwhile, who
//     rely on their lock until the window ends that they last read of, and holders that are killed: their lock is
//     theirs until that time. A period that Once ran in is such a hold too. A call whose outcome is unknown is no hold.
//   - No lock is lost inside its window.
//   - With fencing, the fences of a name rise from one holder to the next, whichever processes they are in.
//   - What the library says is true: an extension lengthens the window, no window shrinks, ErrTaken is told if and only
//     if enough masters have another's token, Lost is closed within 150 ms of the window's end, a context error is the
//     caller's, calls end when they should, and no error is one that the documentation does not name.
//   - After the faults, everybody who waits for a lock is served; after the clients have quit, no goroutine of the
//     library's is left in them, and no key on any master once the longest TTL is over, but for fences, which have a
//     time at which they go too, and the guard's marker.
//
// Some of the clients repeat what was not answered long before an attempt gives up, while the network may hold the first
// try back until after the release, and some have a hook that does not wait for the end of each call; see chaosHabit.
// Which do is the seed's choice.
//
// After that comes a tidy part, with TTLs of minutes, in which everybody releases what they took and masters forget
// nothing. Once it is over, and before the clients quit, no key of a lock may stand on any master: what arrived after its
// release is released again.
//
// The masters have an append-only file that is written before each answer, so killing any number of them loses
// nothing that was promised, only time. The first two rules rest on that: a majority that grants a lock shares a master
// with every majority that granted another, and that one has to remember. One master that forgets is enough to break
// them, even if four do not: it may have been the third of three that granted a lock, and be the third of the next
// three. So there are two kinds of forgetting here:
//
//   - A master that forgot is kept out, by cutting it off before it forgets, until the longest TTL is over; by then all
//     windows are over that it had a part in, but for those that a majority without it has confirmed since. The rules
//     hold as they stand, whatever the number of such masters.
//   - One or two masters forget and are there again at once. The rules then hold among locks that were granted before,
//     and among those whose window began afterwards, but not between the former and the latter: a lock is checked up to the
//     first time that a master forgot while it was held. Chaos without such masters would not try repairs, so they come
//     now and then; what is given up in the check is at most a window's length each time.
//
// Fences are in order among those between whose acquisitions no master forgot: it may have been the one that a later
// majority shared with an earlier.
//
// With the restart guard, set to the longest TTL, none of that is given up. Masters, and majorities of them too, forget
// and are there again at once, or fail over to a replica that lacks what they granted last and take their place back with
// what it had, and nobody keeps them out but the guard; no two hold a lock, and all fences rise. A
// lock may still be lost inside its window when a master forgets it, as far as its holder is concerned.
func TestChaos(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: only on Linux do processes share a clock that clock.System reads")
	}
	engine(t)
	seed, span := *chaosSeed, *chaosDuration
	if seed == 0 {
		seed = rand.Uint64N(1e9)
	}
	if span == 0 {
		span = 15 * time.Second
		if testing.Short() {
			span = 5 * time.Second
		}
	}
	for i, part := range chaosParts {
		t.Run(part.name, func(t *testing.T) {
			t.Logf("replay the faults: go test ./test/integration -run '^%s$' -chaos.seed=%d -chaos.duration=%v",
				strings.ReplaceAll(t.Name(), "/", "$/^"), seed, span)
			setup := chaosNames()
			setup.Fencing, setup.Guard, setup.VaryClients = part.fencing, part.guard, true
			chaos(t, seed+uint64(i), span, setup)
		})
	}
}

// chaos is one part of TestChaos.
func chaos(t *testing.T, seed uint64, span time.Duration, setup chaosSetup) {
	t.Helper()
	planner := chaosPlanner{processes: chaosClients, kinds: chaosKinds}
	if setup.Guard {
		planner.kinds, planner.guard = guardedKinds, true
	}
	plan := planChaos(seed, span, planner)
	r := startChaos(t, seed, chaosClients, setup)
	require.NoError(t, r.execute(t.Context(), plan))
	faultsEnded := r.clock.now()
	report := r.finish(t)
	late, retried := r.overtaken(0)
	report += fmt.Sprintf("\n%d requests reached a master after their lock was over, %d of them by clients that retry", late, retried)
	t.Log(r.summary(seed, faultsEnded), report)
	never := r.missingKinds(planner.kinds)
	t.Log(r.tidy(t, max(span/3, 5*time.Second), tidyPatience))

	err := r.record.check()
	if len(never) > 0 {
		t.Logf("these faults never happened in this run: %q", never)
	}
	if setup.Guard && slices.Contains(never, chaosFailover) && r.dropped == 0 {
		t.Error("no master failed over, though no fault was dropped")
	}
	if err != nil {
		t.Log("faults:\n" + strings.Join(r.trace, "\n"))
		t.Error(firstViolations(err))
	}
	// With the restart guard too: no plan has a majority down or held out for more than a quarter of the time.
	assert.Greater(t, len(r.record.holds), int(span/time.Second)*10, "so few holds prove little")
}

// violations shows the first of many: one that is fundamental comes a thousand times.
func firstViolations(err error) string {
	lines := strings.Split(err.Error(), "\n")
	const most = 40
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// settle checks what has to be so once the faults have ended, and ends the run.
func (r *chaosRun) finish(t *testing.T) (report string) {
	t.Helper()
	each(t, r.masters, func(m *Master) error { return m.heal(t.Context()) })
	locks, err := quorum.Open(urlsOf(r.masters), r.setup.options())
	require.NoError(t, err)
	contended := r.acquireAll(t.Context(), locks, "against the clients")
	r.stopClients()
	quit := r.clock.now()
	alone := r.acquireAll(t.Context(), locks, "alone")
	require.NoError(t, locks.Close())
	r.awaitVacant(t, quit)
	return fmt.Sprintf("every lock acquired within %v after the faults, %v after the clients; every key gone after %v",
		contended.Round(time.Millisecond), alone.Round(time.Millisecond), (r.clock.now() - quit).Round(time.Millisecond))
}

// chaosServed is how long a waiter may wait once all is well, against 32 workers who poll as it does.
const waiterTimeout = 30 * time.Second

// probe acquires every lock once, and returns how long it waited for the one that took longest.
func (r *chaosRun) acquireAll(ctx context.Context, locks *quorum.Manager, what string) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, waiterTimeout)
	defer cancel()
	j := &journal{origin: r.clock.origin, out: reporter{r.record, "who waits " + what}}
	began := r.clock.now()
	var g errgroup.Group
	for _, name := range append(slices.Clone(r.setup.Names), r.setup.Periods...) {
		g.Go(func() error {
			l, err := locks.Acquire(ctx, name, chaosLongestTTL)
			if err != nil {
				return err
			}
			tenure := &heldLock{journal: j, lock: l, lost: l.Lost()}
			tenure.start(chaosLongestTTL)
			tenure.release(ctx)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		r.record.violation("no waiter %s was served: %v", what, err)
	}
	return r.clock.now() - began
}

// awaitVacant waits until no master has a lock's key, for the longest TTL and a moment after the clients have quit. Of
// the others, all but the restart guard's marker have to go by themselves one day.
func (r *chaosRun) awaitVacant(t *testing.T, quit time.Duration) {
	t.Helper()
	const moment = 3 * time.Second
	for i, admin := range dialAll(t, r.masters) {
		for {
			keys, err := admin.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			if keys = slices.DeleteFunc(keys, auxiliary); len(keys) == 0 {
				break
			}
			if late := r.clock.now() - quit; late > chaosLongestTTL+moment {
				r.record.violation("master %d has keys %v after the clients have quit: %q", i, late, keys)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		for _, key := range admin.Keys(t.Context(), "*").Val() {
			left, err := admin.PTTL(t.Context(), key).Result()
			require.NoError(t, err)
			marker := key == "redlock:aux:marker" && r.setup.Guard
			if left == -1 && !marker {
				r.record.violation("master %d keeps %q for ever", i, key)
			}
		}
	}
}

// auxiliary tells whether a key is none of a lock itself.
func auxiliary(key string) bool { return strings.HasPrefix(key, "redlock:aux:") }

// neverHappened returns which of the kinds did not.
func (r *chaosRun) missingKinds(kinds []chaosKind) []chaosKind {
	var never []chaosKind
	for _, kind := range kinds {
		if r.injected[kind] == 0 && !slices.Contains(never, kind) {
			never = append(never, kind)
		}
	}
	return never
}

func (r *chaosRun) summary(seed uint64, faultsEnded time.Duration) string {
	var b strings.Builder
	total := 0
	for _, n := range r.injected {
		total += n
	}
	fmt.Fprintf(&b, "seed %d\n%d faults in %v (masters or clients struck; %d more dropped because Docker was late):",
		seed, total, faultsEnded.Round(time.Second), r.dropped)
	for _, kind := range slices.Sorted(maps.Keys(r.injected)) {
		fmt.Fprintf(&b, "\n  %6d %s", r.injected[kind], kind)
	}
	fmt.Fprintf(&b, "\noutcomes of calls, by %d processes (%d holds were their killed holders'):%s",
		r.started, r.killedHolds, r.record.outcomeTable())
	var longest gap
	for _, name := range append(slices.Clone(r.setup.Names), r.setup.Periods...) {
		if vacancy := r.record.longestVacancy(name, faultsEnded); vacancy.length() > longest.length() {
			longest = vacancy
		}
	}
	fmt.Fprintf(&b, "\n%d holds checked, %d extensions; longest time without a holder of any lock %v, of some lock %v; violations: %d\n",
		len(r.record.holds), r.record.extensions(), r.record.longestVacancy("", faultsEnded), longest, countLines(r.record.check()))
	cut, lost, overlaps := r.record.excused()
	fmt.Fprintf(&b, "because masters forgot at once: %d holds checked in part or not at all, %d locks lost inside their window, %d overlaps\n",
		cut, lost, overlaps)
	return b.String()
}

func countLines(err error) int {
	if err == nil {
		return 0
	}
	return strings.Count(err.Error(), "\n") + 1
}

// TestChaosFindsLeftovers shows that the tidy part of TestChaos finds what nobody released.
func TestChaosDetectsUnreleasedKeys(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: only on Linux do processes share a clock that clock.System reads")
	}
	engine(t)
	setup := chaosNames()
	setup.SkipReleases = true
	r := startChaos(t, 1, 2, setup)
	r.stopClients()
	r.tidy(t, 2*time.Second, 2*time.Second)
	err := r.record.check()
	require.ErrorContains(t, err, "after the last release")
	require.NotContains(t, err.Error(), "two holders at once")
}

// TestChaosFindsBrokenClients shows that the run of TestChaos finds out those who break the rules, with as little chaos
// as that takes.
func TestChaosDetectsBrokenClients(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: only on Linux do processes share a clock that clock.System reads")
	}
	engine(t)
	freeze := chaosFault{At: chaosLongestTTL / 2, For: chaosLongestTTL * 3 / 2, Kind: chaosFreeze}
	flush := chaosFault{At: chaosLongestTTL / 2, Kind: chaosFlushAtOnce, Masters: []int{0, 1, 2, 3, 4}, Process: -1}
	for what, tt := range map[string]struct {
		spoil func(*chaosSetup)
		fault chaosFault
	}{
		"looks away when its window is over": {func(s *chaosSetup) { s.IgnoreValidity = true }, freeze},
		"asks one master of five":            {func(s *chaosSetup) { s.SingleMaster = true }, freeze},
		"knows of no restart guard":          {func(s *chaosSetup) { s.Guard, s.NoGuard = true, true }, flush},
	} {
		t.Run(what, func(t *testing.T) {
			setup := chaosNames()
			setup.Names = setup.Names[:2]
			tt.spoil(&setup)
			r := startChaos(t, 1, 2, setup)
			const broken = "two holders at once"
			var err error
			for round := 0; round < 20 && !strings.Contains(fmt.Sprint(err), broken); round++ { // a frozen client need not hold anything
				fault := tt.fault
				if fault.isClientFault() {
					fault.Process = round % 2
				}
				require.NoError(t, r.execute(t.Context(), []chaosFault{fault}))
				err = r.record.check()
			}
			r.stopClients()
			require.ErrorContains(t, err, broken)
			t.Logf("%d violations, such as: %s", countLines(err), strings.SplitN(err.Error(), "\n", 2)[0])
		})
	}
}
