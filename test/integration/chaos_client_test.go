package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

const (
	// chaosLongestTTL is the longest TTL or period that clients request. It determines how long a
	// forgetful master must be kept out.
	chaosLongestTTL     = time.Second
	chaosAttemptTimeout = 250 * time.Millisecond
	maxWait             = 1500 * time.Millisecond // the longest wait for a lock
)

// chaosSetup configures a client process. It is passed in the environment.
type chaosSetup struct {
	Holder         string
	URLs           []string
	Origin         clock.Instant
	Seed           uint64
	ProcessID      uint64 // unique among the processes of a run
	Workers        int
	Locks          []chaosLock
	Periods        []string // names of periods for Once
	Sample         time.Duration
	Fencing        bool
	Guard          bool // the restart guard is on, for the longest TTL
	IgnoreValidity bool // a broken client: it does not check Validity
	SingleMaster   bool // a broken client: it uses only one master
	NoGuard        bool // a broken client: it has no restart guard
	SkipReleases   bool // a broken client: it skips some releases
	LieAboutKind   bool // a broken client: it asks for locks that exclude less than it says
	VaryClients    bool // for a run: its clients have different options
	Client         chaosClientOptions
	Tidy           bool          // every lock is released, and TTLs are long
	Until          time.Duration // when the workers stop, in the time of the run; 0 means when the process stops
}

const chaosVariable = "REDLOCK_TEST_CHAOS"

// options returns options for many contenders on a small machine with failing masters.
func (s chaosSetup) options() *quorum.Options {
	opts := &quorum.Options{
		AttemptTimeout: chaosAttemptTimeout, MinBackoff: 5 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
		Fencing: s.Fencing,
	}
	if s.Guard && !s.NoGuard {
		opts.RestartGuard = s.longestTTL()
	}
	return opts
}

// TestChaosClient is the client process of TestChaos. It does nothing otherwise.
func TestChaosClient(t *testing.T) {
	text := os.Getenv(chaosVariable)
	if text == "" {
		return // this is not a client process
	}
	var setup chaosSetup
	require.NoError(t, json.Unmarshal([]byte(text), &setup))
	j := &journal{origin: setup.Origin, out: os.NewFile(3, "events")} // the first of the ExtraFiles of exec.Cmd
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // EOF means stop; it also comes when the test dies
		cancel()
	}()
	stop := make(chan struct{})
	var tasks errgroup.Group
	tasks.Go(func() error { j.stalls.watch(j.now, stop); return nil })
	before := runtime.NumGoroutine()

	o, err := setup.open(j)
	require.NoError(t, err)
	runChaosClient(ctx, j, setup, o.locks)
	if err := o.close(); err != nil {
		j.violation("close: %v", err)
	}
	j.write(chaosEvent{Kind: eventClosed, Count: goroutinesOver(before)})
	close(stop)
	require.NoError(t, tasks.Wait())
}

// runChaosClient runs the workers until ctx ends, or until setup.Until.
func runChaosClient(ctx context.Context, j *journal, setup chaosSetup, locks *quorum.Manager) {
	if setup.Until > 0 {
		whole := ctx
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, setup.Until-j.now())
		defer cancel()
		defer func() {
			j.outcome(idleOutcome)
			<-whole.Done() // a Manager that is closing repeats no releases
		}()
	}
	var workers errgroup.Group
	for i := range setup.Workers {
		w := &chaosWorker{
			journal: j, setup: setup, locks: locks,
			random: rand.New(rand.NewPCG(setup.Seed, setup.ProcessID<<16|uint64(i))),
		}
		workers.Go(func() error { w.run(ctx); return nil })
	}
	if setup.Sample > 0 {
		workers.Go(func() error { sampleProcess(ctx, j, setup.Sample); return nil })
	}
	_ = workers.Wait() // workers return no errors
}

// goroutinesOver returns how many goroutines remain above a number, after giving them time to end.
func goroutinesOver(before int) int {
	var n int
	for range 100 {
		if n = runtime.NumGoroutine() - before; n <= 0 {
			return 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	return n
}

// sampleProcess periodically reports the memory in use and the number of goroutines.
func sampleProcess(ctx context.Context, j *journal, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		j.write(chaosEvent{Kind: eventSample, From: j.now(), Heap: m.HeapAlloc, Count: runtime.NumGoroutine()})
	}
}

// chaosWorker uses locks, one after the other.
type chaosWorker struct {
	journal *journal
	setup   chaosSetup
	locks   *quorum.Manager
	random  *rand.Rand
}

func (w *chaosWorker) run(ctx context.Context) {
	actions := []struct {
		weight int
		do     func(context.Context)
	}{
		{24, w.tryAcquire}, {20, w.acquireAndUse}, {6, w.acquireSeveral}, {3, w.extendRepeatedly}, {2, w.renew}, {3, w.do},
		{4, w.once}, {1, w.releaseLate}, {1, w.letExpire}, {2, w.inspect}, {2, w.tryWrongKind},
	}
	if w.setup.Tidy {
		actions = slices.Delete(actions, 6, 9) // those that let a key expire
	}
	total := 0
	for _, d := range actions {
		total += d.weight
	}
	for ctx.Err() == nil {
		pick := w.random.IntN(total)
		for _, d := range actions {
			if pick -= d.weight; pick < 0 {
				d.do(ctx)
				break
			}
		}
		w.pause(ctx, w.upTo(20*time.Millisecond))
	}
}

func (w *chaosWorker) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(d)))
}

// ttl draws a TTL in whole milliseconds.
func (w *chaosWorker) ttl() time.Duration {
	longest := w.setup.longestTTL()
	return (longest/5 + w.upTo(longest*4/5)).Truncate(time.Millisecond)
}

// workTime returns how much of a TTL a worker may spend.
func workTime(ttl time.Duration) time.Duration { return min(ttl, chaosLongestTTL) }

// useTime draws how long a lock is used. It is mostly short.
func (w *chaosWorker) useTime(ttl time.Duration) time.Duration {
	ttl = workTime(ttl)
	switch w.random.IntN(30) {
	case 0:
		return w.upTo(2 * ttl)
	case 1, 2:
		return w.upTo(ttl / 4)
	}
	return w.upTo(8 * time.Millisecond)
}

func (w *chaosWorker) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *chaosWorker) hold(l *quorum.Lock, kind lockKind, ttl time.Duration, renewed bool, bound time.Duration) *heldLock {
	t := &heldLock{
		journal: w.journal, lock: l, kind: kind, renewed: renewed, bound: bound,
		ignoreValidity: w.setup.IgnoreValidity, lost: l.Lost(),
	}
	t.start(ttl)
	return t
}

// tryAcquire makes one attempt, with a context that may end at any time during it.
func (w *chaosWorker) tryAcquire(ctx context.Context) {
	call, cancel := w.shortContext(ctx)
	defer cancel()
	ttl := w.ttl()
	name, kind := w.draw()
	start := w.journal.now()
	l, err := w.locks.TryAcquire(call, name, ttl, w.options(kind)...)
	// A failed attempt also waits until its grants are rolled back, for about as long again.
	w.journal.checkTook("try", start, w.journal.now()-start, 2*chaosAttemptTimeout)
	if err != nil {
		w.journal.checkFailure(call, "try", err)
		return
	}
	w.journal.outcome("try: held")
	t := w.hold(l, kind, ttl, false, 0)
	t.use(ctx, w.useTime(ttl))
	w.release(ctx, t)
}

// shortContext returns a context that, one time in five, ends within the duration of an attempt.
func (w *chaosWorker) shortContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.random.IntN(5) > 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, w.upTo(5*time.Millisecond))
}

// release releases the lock. One time in four, the context has already ended.
func (w *chaosWorker) release(ctx context.Context, t *heldLock) {
	if w.setup.SkipReleases && w.random.IntN(20) == 0 {
		t.end()
		return
	}
	call, cancel := context.WithCancel(context.WithoutCancel(ctx)) // also while the process is stopping
	defer cancel()
	if w.random.IntN(4) == 0 {
		cancel()
	}
	t.release(call)
}

// acquire waits for a lock for a random time. It returns nil if it did not get the lock.
func (w *chaosWorker) acquire(ctx context.Context, ttl, bound time.Duration, opts ...quorum.AcquireOption) *heldLock {
	timeout := w.upTo(maxWait)
	call, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	name, kind := w.draw()
	start := w.journal.now()
	l, err := w.locks.Acquire(call, name, ttl, w.options(kind, opts...)...)
	w.journal.checkTook("acquire", start, w.journal.now()-start, timeout)
	if err != nil {
		w.journal.checkFailure(call, "acquire", err)
		return nil
	}
	w.journal.outcome("acquire: held")
	return w.hold(l, kind, ttl, len(opts) > 0, bound)
}

func (w *chaosWorker) acquireAndUse(ctx context.Context) {
	ttl := w.ttl()
	if t := w.acquire(ctx, ttl, 0); t != nil {
		t.use(ctx, w.useTime(ttl))
		w.release(ctx, t)
	}
}

// extendRepeatedly extends a lock by hand, not always in time.
func (w *chaosWorker) extendRepeatedly(ctx context.Context) {
	ttl := w.ttl()
	t := w.acquire(ctx, ttl, 0)
	if t == nil {
		return
	}
	for range 1 + w.random.IntN(4) {
		t.use(ctx, w.upTo(workTime(ttl)*2/3))
		call, cancel := w.shortContext(ctx)
		t.extend(call, w.ttl()) // may be less than is left, which must not shorten the window
		cancel()
	}
	w.release(ctx, t)
}

// renew uses AutoRenew, half of the time with a bound.
func (w *chaosWorker) renew(ctx context.Context) {
	ttl, bound := w.ttl(), time.Duration(0)
	if w.random.IntN(2) == 0 {
		bound = ttl + w.upTo(ttl)
	}
	if t := w.acquire(ctx, ttl, bound, quorum.AutoRenew(bound)); t != nil {
		t.use(ctx, w.upTo(3*workTime(ttl)))
		w.release(ctx, t)
	}
}

func (w *chaosWorker) do(ctx context.Context) {
	ttl, ran := w.ttl(), false
	name, kind := w.draw()
	call, cancel := context.WithTimeout(ctx, w.upTo(maxWait))
	defer cancel()
	err := w.locks.Do(call, name, ttl, func(held context.Context, l *quorum.Lock) error {
		ran = true
		t := w.hold(l, kind, ttl, true, 0)
		t.use(held, w.upTo(2*workTime(ttl)))
		if cause := context.Cause(held); errors.Is(cause, quorum.ErrLost) && l.Validity() > 0 {
			w.journal.violation("do: context ended with %v, but the lock is valid: %v", cause, l)
		} else if cause == nil && l.Validity() <= 0 && held.Err() == nil {
			w.journal.violation("do: context has not ended, but the lock is not valid: %v", l)
		}
		t.end() // Do releases the lock after this function returns
		return nil
	}, w.options(kind)...)
	switch {
	case !ran:
		w.journal.checkFailure(call, "do", err)
	case err == nil, errors.Is(err, quorum.ErrLost), errors.Is(err, quorum.ErrNoQuorum), isContextError(err) && call.Err() != nil:
		w.journal.outcome("do: %s", outcomeOf(err))
	default:
		w.journal.violation("do: unexpected error %v", err)
	}
}

// once takes a period with Once. Since no other may run in it, it is a hold as long as the period.
func (w *chaosWorker) once(ctx context.Context) {
	period := w.ttl()
	name := w.setup.Periods[w.random.IntN(len(w.setup.Periods))]
	start := w.journal.now()
	ran, err := w.locks.Once(ctx, name, period, func(context.Context) error {
		id, now := w.journal.ids.Add(1), w.journal.now()
		w.journal.write(chaosEvent{
			Kind: eventHeld, ID: id, Name: name, Begun: start, From: now, Until: start + clock.DefaultDrift.Window(period),
		})
		return nil
	})
	w.journal.checkTook("once", start, w.journal.now()-start, period/2+2*chaosAttemptTimeout)
	switch {
	case ran && err != nil:
		w.journal.violation("once: the function returned no error, but Once returned: %v", err)
	case err != nil:
		w.journal.checkFailure(ctx, "once", err)
	case ran:
		w.journal.outcome("once: ran")
	default:
		w.journal.outcome("once: period taken")
	}
}

// releaseLate releases a lock after its window has closed.
func (w *chaosWorker) releaseLate(ctx context.Context) {
	ttl := w.ttl() / 2
	if t := w.acquire(ctx, ttl, 0); t != nil {
		t.use(ctx, 2*ttl)
		w.release(ctx, t)
	}
}

// letExpire does not release the lock.
func (w *chaosWorker) letExpire(ctx context.Context) {
	ttl := w.ttl() / 2
	if t := w.acquire(ctx, ttl, 0); t != nil {
		t.use(ctx, 2*ttl)
		t.end()
	}
}

// inspect inspects a lock that it holds throughout.
func (w *chaosWorker) inspect(ctx context.Context) {
	t := w.acquire(ctx, w.setup.longestTTL(), 0)
	if t == nil {
		return
	}
	seen, err := w.locks.Inspect(ctx, t.lock.Name())
	switch {
	case err != nil && !errors.Is(err, quorum.ErrNoQuorum):
		w.journal.violation("inspect: unexpected error %v", err)
	case err != nil || !t.check():
	case t.kind.deniedByInspection(t.lock.Token(), seen):
		t.recordDenied(fmt.Sprintf("inspect: %v", seen))
	}
	w.journal.outcome("inspect: %s", outcomeOf(err))
	w.release(ctx, t)
}

// checkFailure checks the error of a failed acquisition.
func (j *journal) checkFailure(ctx context.Context, op string, err error) {
	taken, noQuorum := errors.Is(err, quorum.ErrTaken), errors.Is(err, quorum.ErrNoQuorum)
	var failure *quorum.AttemptError
	switch {
	case taken == noQuorum, errors.Is(err, quorum.ErrLost), errors.Is(err, quorum.ErrClosed), !errors.As(err, &failure):
		j.violation("%s: unexpected error %v", op, err)
	case taken != (failure.Count(quorum.Taken)+failure.Count(quorum.Blocked) > len(failure.Masters)-failure.Quorum):
		j.violation("%s: ErrTaken does not agree with the outcomes: %v", op, err)
	case ctx.Err() == nil && isContextError(err):
		j.violation("%s: context error although the context has not ended: %v", op, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()) && !strings.HasPrefix(op, "try") && op != "once":
		j.violation("%s: error does not report the end of the context: %v", op, err)
	}
	j.outcome("%s: %s", op, outcomeOf(err))
}
