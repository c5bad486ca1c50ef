package integration

import (
	"context"
	"errors"
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
	chaosSeed     = flag.Uint64("chaos.seed", 0, "seed of the fault plans of TestChaos; 0 draws one")
	chaosDuration = flag.Duration("chaos.duration", 0, "duration of the faults in each part of TestChaos (default 15s, or 5s with -short)")
)

// Sizes of a run. The machines that run these tests are small.
const (
	chaosMasters = 5
	chaosClients = 4
	chaosWorkers = 8 // per client
)

func chaosNames() chaosSetup {
	return chaosSetup{Workers: chaosWorkers, Locks: chaosLocks(24), Periods: []string{"period-1", "period-2", "period-3"}}
}

// allLocks returns all locks of the setup. A period of Once is a plain lock.
func (s chaosSetup) allLocks() []chaosLock {
	locks := slices.Clone(s.Locks)
	for _, period := range s.Periods {
		locks = append(locks, chaosLock{Name: period})
	}
	return locks
}

// chaosParts are the options that TestChaos runs with. Each part has its own plan.
var chaosParts = []struct {
	name           string
	fencing, guard bool
}{
	{name: "plain"},
	{name: "fencing", fencing: true},
	{name: "guard", guard: true},
	{name: "fencing and guard", fencing: true, guard: true},
}

// TestChaos runs several client processes that use the same few locks in every way. Meanwhile
// masters, network and clients fail by a plan. Afterward it checks everything that the clients saw.
// The seed determines which faults occur, when and how long, and what each worker tries to do. It
// does not determine how the machine interleaves them. There are four parts: with fencing, the
// restart guard, both, and neither. Each lasts as long as -chaos.duration says.
//
// These rules must hold throughout:
//
//   - No two holders of a name rely on it at the same time. A hold lasts from the return of the
//     acquisition to the start of the release or the end of the window, whichever comes first. A
//     frozen holder relies on its lock until the end of the window that it last read. The lock of a
//     killed holder is held until then too. A period of Once is also a hold. A call with an unknown
//     outcome is not.
//   - A third of the names have readers and writers, and a third have permits. Readers may hold a
//     name together, and so may as many holders as there are permits, but nobody else.
//   - While somebody holds a name, nobody gets it as a lock of another kind. Some calls ask for it.
//     Masters that have the lock say ErrConflict, or if one of the kinds is plain, that the lock is
//     taken.
//   - No lock is lost inside its window.
//   - With fencing, the fences of a name increase from holder to holder, across all processes. Two
//     readers may have any. So may all holders of permits.
//   - The library tells the truth. An extension lengthens the window, and no window shrinks.
//     ErrTaken is returned if and only if enough masters hold another token, or have others before
//     the client's entry. Inspect shows a lock that is held. Lost is closed within 150 ms of the
//     end of the window. A context error is that of the caller. Calls end when they should. No
//     error is undocumented.
//   - After the faults, every waiter gets its lock. After the clients have stopped, they have no
//     goroutines of the library. Once the longest TTL has passed, masters store no keys except
//     fences, which expire, and the marker of the guard.
//
// Some clients repeat requests long before an attempt times out, while the network may delay the
// first request until after the release. Some have a hook that abandons calls; see
// chaosClientOptions. The seed determines which clients do.
//
// Then follows a tidy part with TTLs of minutes, in which every holder releases its lock and no
// master forgets. At its end, before the clients stop, no master may store the key of a lock: a
// request that arrived after its release must have been released again.
//
// The masters write an append-only file before each reply. So killing any number of them loses
// time, but no grant. The first two rules depend on that: any two majorities share a master, which
// must remember the first grant. A single forgetful master can break the rules, even if four others
// remember: it may have been the third of three that granted a lock, and be the third of the next
// three. So masters forget in two ways:
//
//   - A forgetful master is kept out: it is cut off before it forgets, until the longest TTL has
//     passed. By then all windows that it granted are over, except those that a majority without it
//     has confirmed since. The rules hold for any number of such masters.
//   - One or two masters forget and are reachable again at once. Then the rules hold among locks
//     granted before, and among windows that began later, but not between the two groups. A lock is
//     checked only until the first time that a master forgot while it was held. This exempts at
//     most the length of a window each time. Such faults are needed to exercise repairs.
//
// Fences must increase among acquisitions between which no master forgot: that master may be the
// only one that two majorities share.
//
// With the restart guard, set to the longest TTL, nothing is exempt. Masters, even majorities,
// forget and are reachable again at once. Or they fail over to a replica that lacks the last
// grants, and take over again with its data. Only the guard keeps them out. There must be no two
// holders, and all fences must increase. But a lock may still be lost inside its window if a master
// forgets it.
func TestChaos(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: processes share the clock of clock.System only on Linux")
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
			t.Logf("to replay the faults: go test ./test/integration -run '^%s$' -chaos.seed=%d -chaos.duration=%v",
				strings.ReplaceAll(t.Name(), "/", "$/^"), seed, span)
			setup := chaosNames()
			setup.Fencing, setup.Guard, setup.VaryClients = part.fencing, part.guard, true
			chaos(t, seed+uint64(i), span, setup)
		})
	}
}

// chaos runs one part of TestChaos.
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
	if r.record.outcome(wrongKindOp+": "+quorum.ErrConflict.Error()) == 0 {
		t.Error("no call for a wrong kind of lock was refused, so its check proves nothing")
	}
	late, retried := r.overtaken(0)
	report += fmt.Sprintf("\n%d requests reached a master after the end of their hold, %d of them from clients that retry", late, retried)
	t.Log(r.summary(seed, faultsEnded), report)
	never := r.missingKinds(planner.kinds)
	t.Log(r.tidy(t, max(span/3, 5*time.Second), tidyPatience))

	err := r.record.check()
	if len(never) > 0 {
		t.Logf("faults that did not occur in this run: %q", never)
	}
	if setup.Guard && slices.Contains(never, chaosFailover) && r.dropped == 0 {
		t.Error("no master failed over, although no fault was dropped")
	}
	if err != nil {
		t.Log("faults:\n" + strings.Join(r.trace, "\n"))
		t.Error(firstViolations(err))
	}
	// This holds for the restart guard too: in no plan is a majority down or quarantined for more
	// than a quarter of the time.
	assert.Greater(t, len(r.record.holds), int(span/time.Second)*10, "too few holds to prove anything")
}

// firstViolations returns the first violations. A fundamental one occurs a thousand times.
func firstViolations(err error) string {
	lines := strings.Split(err.Error(), "\n")
	const most = 40
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// finish checks what must hold after the faults, and ends the run.
func (r *chaosRun) finish(t *testing.T) (report string) {
	t.Helper()
	each(t, r.masters, func(m *Master) error { return m.heal(t.Context()) })
	opts := r.setup.options()
	opts.AnyMasters = true // it knows the masters by other addresses
	locks, err := quorum.Open(urlsOf(r.masters), opts)
	require.NoError(t, err)
	contended := r.acquireAll(t.Context(), locks, "among the clients")
	r.stopClients()
	stopped := r.clock.now()
	alone := r.acquireAll(t.Context(), locks, "without clients")
	require.NoError(t, locks.Close())
	r.awaitVacant(t, stopped)
	return fmt.Sprintf("acquired every lock within %v after the faults, and within %v after the clients stopped; every key gone after %v",
		contended.Round(time.Millisecond), alone.Round(time.Millisecond), (r.clock.now() - stopped).Round(time.Millisecond))
}

// waiterTimeout bounds how long a waiter waits without faults, against 32 polling workers.
const waiterTimeout = 30 * time.Second

// acquire waits for a lock. It asks again after an ErrConflict: others ask for wrong kinds, and
// their entries may be in the way for a moment.
func (l chaosLock) acquire(ctx context.Context, locks *quorum.Manager) (*quorum.Lock, error) {
	for {
		held, err := locks.Acquire(ctx, l.Name, chaosLongestTTL, l.Kind.options()...)
		if !errors.Is(err, quorum.ErrConflict) || sleep(ctx, 10*time.Millisecond) != nil {
			return held, err
		}
	}
}

// acquireAll acquires every lock once, and returns the longest wait. It also asks for a wrong kind
// of each.
func (r *chaosRun) acquireAll(ctx context.Context, locks *quorum.Manager, what string) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, waiterTimeout)
	defer cancel()
	j := &journal{origin: r.clock.origin, out: reporter{r.record, "waiter " + what}}
	start := r.clock.now()
	var g errgroup.Group
	for i, lock := range r.setup.allLocks() {
		g.Go(func() error {
			l, err := lock.acquire(ctx, locks)
			if err != nil {
				return err
			}
			held := &heldLock{journal: j, lock: l, kind: lock.Kind, lost: l.Lost()}
			held.start(chaosLongestTTL)
			held.tryWrongKind(ctx, locks, rand.New(rand.NewPCG(r.seed, uint64(i))), chaosLongestTTL)
			held.release(ctx)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		r.record.violation("waiter %s did not get its lock: %v", what, err)
	}
	return r.clock.now() - start
}

// awaitVacant waits until no master stores the key of a lock. It allows the longest TTL and a
// moment after the clients have stopped. All other keys except the marker of the restart guard must
// expire some day.
func (r *chaosRun) awaitVacant(t *testing.T, stopped time.Duration) {
	t.Helper()
	const moment = 3 * time.Second
	for i, admin := range dialAll(t, r.masters) {
		for {
			keys, err := admin.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			if keys = slices.DeleteFunc(keys, auxiliary); len(keys) == 0 {
				break
			}
			if late := r.clock.now() - stopped; late > chaosLongestTTL+moment {
				r.record.violation("master %d still stores keys %v after the clients stopped: %q", i, late, keys)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		for _, key := range admin.Keys(t.Context(), "*").Val() {
			left, err := admin.PTTL(t.Context(), key).Result()
			require.NoError(t, err)
			marker := key == "redlock:aux:marker" && r.setup.Guard || key == "redlock:aux:set{}"
			if left == -1 && !marker {
				r.record.violation("master %d never expires %q", i, key)
			}
		}
	}
}

// auxiliary reports whether a key is not the key of a lock.
func auxiliary(key string) bool { return strings.HasPrefix(key, "redlock:aux:") }

// missingKinds returns the kinds that did not occur.
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
	fmt.Fprintf(&b, "seed %d\n%d faults of masters or clients in %v (%d more dropped because Docker was late):",
		seed, total, faultsEnded.Round(time.Second), r.dropped)
	for _, kind := range slices.Sorted(maps.Keys(r.injected)) {
		fmt.Fprintf(&b, "\n  %6d %s", r.injected[kind], kind)
	}
	fmt.Fprintf(&b, "\noutcomes of calls of %d processes (%d holds of killed processes):%s",
		r.started, r.killedHolds, r.record.outcomeTable())
	var longest gap
	for _, lock := range r.setup.allLocks() {
		if vacancy := r.record.longestVacancy(lock.Name, faultsEnded); vacancy.length() > longest.length() {
			longest = vacancy
		}
	}
	fmt.Fprintf(&b, "\nholds by kind:%s", r.record.kindTable())
	fmt.Fprintf(&b, "\n%d holds checked, %d extensions; longest time without any holder %v, without a holder of one lock %v; violations: %d\n",
		len(r.record.holds), r.record.extensions(), r.record.longestVacancy("", faultsEnded), longest, countLines(r.record.check()))
	cut, lost, overlaps := r.record.excused()
	fmt.Fprintf(&b, "exempt because masters forgot: %d holds checked in part or not at all, %d locks lost inside their window, %d overlaps\n",
		cut, lost, overlaps)
	return b.String()
}

func countLines(err error) int {
	if err == nil {
		return 0
	}
	return strings.Count(err.Error(), "\n") + 1
}

// TestChaosDetectsUnreleasedKeys checks that the tidy part of TestChaos finds keys that were not
// released.
func TestChaosDetectsUnreleasedKeys(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: processes share the clock of clock.System only on Linux")
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

// TestChaosDetectsBrokenClients checks that TestChaos finds clients that break the rules, with as
// few faults as possible.
func TestChaosDetectsBrokenClients(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: processes share the clock of clock.System only on Linux")
	}
	engine(t)
	freeze := chaosFault{At: chaosLongestTTL / 2, For: chaosLongestTTL * 3 / 2, Kind: chaosFreeze}
	flush := chaosFault{At: chaosLongestTTL / 2, Kind: chaosFlushAtOnce, Masters: []int{0, 1, 2, 3, 4}, Process: -1}
	none := chaosFault{For: chaosLongestTTL / 2, Kind: chaosSlow, Masters: []int{0}, Process: -1} // a slow minority does nothing
	plain, ordered := only(chaosLocks(24), plainLock)[:2], []chaosLock{{"document", exclusiveLock}, {"pool", 2}}
	const two, tooMany = "two holders at once", "more holders than permits"
	for what, tt := range map[string]struct {
		breakClient func(*chaosSetup)
		locks       []chaosLock
		fault       chaosFault
		broken      []string
	}{
		"ignores the end of its window": {func(s *chaosSetup) { s.IgnoreValidity = true }, plain, freeze, []string{two}},
		"uses one master of five":       {func(s *chaosSetup) { s.SingleMaster = true }, plain, freeze, []string{two}},
		"has no restart guard":          {func(s *chaosSetup) { s.Guard, s.NoGuard = true, true }, plain, flush, []string{two}},
		"writes with shared locks, and has a permit too many": {
			func(s *chaosSetup) { s.LieAboutKind = true }, ordered, none, []string{two, tooMany},
		},
	} {
		t.Run(what, func(t *testing.T) {
			setup := chaosNames()
			setup.Locks = tt.locks
			tt.breakClient(&setup)
			r := startChaos(t, 1, 2, setup)
			isFound := func(err error) bool {
				return !slices.ContainsFunc(tt.broken, func(rule string) bool { return !strings.Contains(fmt.Sprint(err), rule) })
			}
			var err error
			for round := 0; round < 20 && !isFound(err); round++ { // the frozen client may hold no lock
				fault := tt.fault
				if fault.isClientFault() {
					fault.Process = round % 2
				}
				require.NoError(t, r.execute(t.Context(), []chaosFault{fault}))
				err = r.record.check()
			}
			r.stopClients()
			require.True(t, isFound(err), "%q are not among the violations: %v", tt.broken, err)
			t.Logf("%d violations, such as: %s", countLines(err), strings.SplitN(err.Error(), "\n", 2)[0])
		})
	}
}
