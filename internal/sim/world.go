// Package sim runs the real quorum and fanout code against simulated masters, networks and clients.
// Time is virtual, and one seed determines everything. Tests call Run inside a testing/synctest
// bubble, where a minute of history takes a few milliseconds.
//
// The checker sees true time, which no client or master does. It reports these violations:
//
//   - two holders of a name at once
//   - a lock inside its window whose token is not stored on a quorum
//   - an error or a loss that the state of the masters does not justify
//   - a waiter that never gets the lock
//   - a key that outlives its TTL
package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// Report is the result of one history.
type Report struct {
	Seed         uint64
	Config       Config
	Holds        int
	Operations   int
	Faults       int
	Trace        string // the events in order; the same seed gives the same trace
	Violations   error
	ViolationEnd int // length of the part of Trace up to the first violation, or of all of Trace
}

// world is the state of one running history.
type world struct {
	seed    uint64
	cfg     Config
	origin  time.Time
	masters []*master
	clients []*client
	change  change

	calm      atomic.Bool    // the faults are over
	inFlight  sync.WaitGroup // messages
	quiescing chan struct{}  // a semaphore for quiesce
	history   quorumtest.History

	mu         sync.Mutex // guards the fields below
	trace      []event
	errs       []error
	violatedAt []time.Duration // when each of errs was recorded
	ops        int
	faults     int
}

// event is one line of the trace.
type event struct {
	at   time.Duration
	text string
}

func (w *world) now() time.Duration { return time.Since(w.origin) }

func (w *world) actor(kind string, numbers ...int) string {
	return fmt.Sprint(kind, numbers)
}

func (w *world) log(format string, args ...any) {
	e := event{at: w.now(), text: fmt.Sprintf(format, args...)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, e)
}

func (w *world) violation(format string, args ...any) {
	err := fmt.Errorf("at %v: "+format, append([]any{w.now()}, args...)...)
	w.log("VIOLATION %v", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs, w.violatedAt = append(w.errs, err), append(w.violatedAt, w.now())
}

// quiesce waits until everything that happens at this instant has happened.
func (w *world) quiesce() {
	w.quiescing <- struct{}{}
	synctest.Wait()
	<-w.quiescing
}

// Run runs one history. It must be called inside a testing/synctest bubble. All goroutines that it
// starts have ended when it returns.
func Run(seed uint64, cfg Config) Report {
	w := &world{seed: seed, cfg: cfg, origin: time.Now(), quiescing: make(chan struct{}, 1), change: change{Change: cfg.Change, declared: make(chan struct{})}}
	for i := range cfg.Masters {
		r := newRandom(seed, w.actor("master", i))
		w.masters = append(w.masters, &master{
			index: i, world: w, subscribers: map[string][]*subscriber{}, history: map[string][]interval{},
			entryTokens: map[string]map[string]bool{}, everEntered: map[string][]string{},
			rate: 1 + cfg.Drift/2*r.Float64(),
		})
		skew := newRandom(seed, w.actor("skew", i)).between(-cfg.Skew/2, cfg.Skew/2)
		w.masters[i].model = newModel(w.masters[i].runID(), epoch+skew.Microseconds())
		w.masters[i].model.listeners, w.masters[i].model.executed = w.masters[i].listeners, w.masters[i].record
	}
	for _, p := range w.phases() {
		for range cfg.Clients {
			w.clients = append(w.clients, w.newClient(len(w.clients), p))
		}
		if p == old {
			w.change.olds.Add(cfg.Clients)
		}
	}
	w.bootstrap()
	w.record()
	w.run()
	w.endFaults()
	if w.cfg.Tidy {
		w.checkReleased()
	}
	for _, c := range w.clients {
		c.close()
	}
	w.inFlight.Wait()
	w.checkExpired()
	return w.report()
}

// epoch is the masters' time of day at the start of a history, in microseconds since 1970. It lies
// in 2026.
const epoch = 1_790_000_000_000_000

// bootstrap declares the masters empty if the restart guard is on.
func (w *world) bootstrap() {
	if w.cfg.Guard == 0 {
		return
	}
	w.calm.Store(true)
	setUp := []*client{w.clients[0]}
	if set, _ := w.members(added); w.change.Exists() && set != 0 {
		setUp = append(setUp, w.newClient(len(w.clients), added))
		defer setUp[1].close()
	}
	for _, c := range setUp {
		if err := c.manager.Bootstrap(context.Background()); err != nil {
			w.violation("cannot bootstrap new masters: %v", err)
		}
	}
	w.calm.Store(false)
}

// record lets the first client make the records of its set, before there are faults, if the clients
// know the masters by different names. Others could not complete a set of which only some masters
// have told their names.
func (w *world) record() {
	if w.cfg.SameNames || w.change.Unchecked {
		return
	}
	w.calm.Store(true)
	defer w.calm.Store(false)
	l, err := w.clients[0].manager.Acquire(context.Background(), "first", w.cfg.TTL)
	if err != nil {
		w.violation("cannot acquire the first lock: %v", err)
		return
	}
	_ = l.Release(context.Background())
	time.Sleep(100 * time.Millisecond)
}

// run runs the workers and injects faults until the configured length is over.
func (w *world) run() {
	var all sync.WaitGroup
	for _, c := range w.clients {
		all.Go(c.run)
		all.Go(c.injectClientFaults)
	}
	for _, m := range w.masters {
		all.Go(func() { w.injectMasterFaults(m) })
	}
	all.Go(w.declare)
	all.Wait()
}

// endFaults ends the faults, then acquires each lock with a new client. Whatever happened before,
// that must succeed in bounded time.
func (w *world) endFaults() {
	w.calm.Store(true)
	w.log("faults end")
	for _, m := range w.masters {
		m.resume()
		if _, down := m.state(); down {
			m.start(rememberAll)
		}
	}
	c := w.newClient(len(w.clients), w.clients[len(w.clients)-1].phase)
	w.clients = append(w.clients, c)
	for i := range w.cfg.Names {
		c.mustAcquire(w.lockName(i))
	}
	c.mustAcquireAll()
}

// checkReleased checks that all lock keys are gone once late requests have arrived and repeated
// releases have been delivered. No TTL has run out by then.
func (w *world) checkReleased() {
	time.Sleep(releaseRetries)
	for _, m := range w.masters {
		for i := range w.cfg.Names {
			if token, ok := m.storedToken(w.lockName(i)); ok {
				w.violation("master %d: still stores token %s of %s long after its release", m.index, token, w.lockName(i))
			}
		}
	}
}

// releaseRetries is how long a Manager repeats a release that may have overtaken its acquire. No
// request in a history is late enough to need more than the pauses of 1, 2, 4 and 8 s.
const releaseRetries = 16 * time.Second

func (w *world) lockName(i int) string { return fmt.Sprintf("lock-%d", i) }

// checkExpired checks that all keys are gone once every TTL has passed.
func (w *world) checkExpired() {
	time.Sleep(3*w.cfg.TTL + w.cfg.Delay + time.Second) // one more second for locks handed off to dead waiters
	for _, m := range w.masters {
		for i := range w.cfg.Names {
			if m.hasKey(w.lockName(i)) {
				w.violation("master %d: %s has outlived its TTL", m.index, w.lockName(i))
			}
		}
		if n := m.keys(fenceRetention); n > 0 {
			w.violation("master %d: leaks %d keys", m.index, n)
		}
	}
}

// fenceRetention is a little longer than masters keep a fence when TTLs are short.
const fenceRetention = 25 * time.Hour

func (w *world) report() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.trace, func(a, b event) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return strings.Compare(a.text, b.text)
	})
	errs := errors.Join(append(w.errs, w.history.Check())...)
	until := w.traceUntil()
	var trace strings.Builder
	end := 0
	for _, e := range w.trace {
		fmt.Fprintf(&trace, "%12v %s\n", e.at, e.text)
		if e.at <= until {
			end = trace.Len()
		}
	}
	return Report{
		Seed: w.seed, Config: w.cfg, Holds: len(w.history.Holds()),
		Operations: w.ops, Faults: w.faults, Trace: trace.String(),
		Violations: errs, ViolationEnd: end,
	}
}

// traceUntil returns the instant at which to stop reading the trace. That is the end of the first
// hold that breaks the order of holders, or else the first recorded violation.
func (w *world) traceUntil() time.Duration {
	var last quorumtest.Hold
	for _, hold := range w.history.Holds() {
		if hold.Name == last.Name && (hold.From < last.To || hold.Fence != 0 && hold.Fence <= last.Fence) {
			return hold.To
		}
		last = hold
	}
	if len(w.violatedAt) > 0 {
		return w.violatedAt[0]
	}
	return forever
}
