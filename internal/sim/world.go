// Package sim runs the real quorum and fanout code against modelled masters, a
// modelled network and modelled clients, on virtual time and driven by one seed.
// It is for tests: they call Run inside a testing/synctest bubble, where a
// minute of history takes a few milliseconds.
//
// The checker sees true time, which no client and no master does: two holders of
// a name at once, a lock whose token does not stand on a quorum while its window
// is open, an error or a loss that says what was not so on the masters, a waiter
// that is never served, and a key that outlives its TTL are all violations.
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

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// Config says what a history is like. See Random.
type Config struct {
	Masters, Clients, Workers int           // workers per client
	Names                     int           // locks that they contend for
	TTL                       time.Duration // about
	Length                    time.Duration // of the time with faults
	Drift                     float64       // how far clock rates may be apart
	Latency                   time.Duration // of a message, at most
	Loss, Late, Repeat        float64       // probabilities per message
	MasterFaults              float64       // per master and second
	ClientFaults              float64       // per client and second
	Forget                    bool          // masters come back empty, or as they once were: not guaranteed against without Guard
	Abandon                   float64       // probability per call that a hook of the client returns while it goes on
	Tidy                      bool          // whoever takes a lock releases it, so nobody ever waits for a TTL to be over
	Patient                   bool          // clients without deadlines of their own
	Fencing                   bool
	Guard                     time.Duration // quorum.Options.RestartGuard; 0 for none
	Skew                      time.Duration // how far the masters' times of day are apart, at most
	ClientSkew                time.Duration // how far the clients' are from them
}

// Random draws a configuration that the library guarantees to be safe in.
func Random(seed uint64) Config {
	r := newRandom(seed, "config")
	pick := func(of ...int) int { return of[r.IntN(len(of))] }
	cfg := Config{
		Masters: pick(1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7, 9),
		Clients: pick(1, 2, 3, 4), Workers: pick(1, 2, 3), Names: pick(1, 1, 2, 3),
		TTL:     r.between(100*time.Millisecond, 2*time.Second),
		Length:  r.between(2*time.Second, 5*time.Second),
		Drift:   0.0099 * r.Float64(),
		Latency: r.between(100*time.Microsecond, 20*time.Millisecond),
		Loss:    float64(pick(0, 1, 5, 20)) / 100, Late: float64(pick(0, 1, 5)) / 100, Repeat: float64(pick(0, 0, 5)) / 100,
		MasterFaults: float64(pick(0, 1, 5)) / 10, ClientFaults: float64(pick(0, 0, 1, 3)) / 10,
		Patient: r.chance(0.2),
	}
	cfg.Fencing = r.chance(0.5)
	if cfg.Fencing {
		cfg.Skew = time.Duration(pick(0, 0, 1, 600)) * time.Minute
		cfg.ClientSkew = time.Duration(pick(0, 0, 1, 600, 1e6)) * time.Minute
	}
	cfg.Abandon = float64(pick(0, 0, 0, 5)) / 100
	if r.chance(0.15) {
		// TTLs are so long that a key which nobody releases is in everybody's way.
		cfg.Tidy, cfg.TTL, cfg.ClientFaults = true, 20*time.Minute, 0
		cfg.Late, cfg.Repeat = float64(pick(1, 5))/100, float64(pick(0, 5, 20))/100
		return cfg
	}
	if r.chance(0.3) {
		cfg.Guard = cfg.LongestTTL()
		// A fence that was forgotten is outdone by clocks that agree better than the guard.
		cfg.Forget, cfg.Skew = r.chance(0.7), min(cfg.Skew, cfg.Guard/4)
	}
	return cfg
}

// LongestTTL returns the longest TTL that the clients ask for, which is what a
// restart guard must be at least.
func (c Config) LongestTTL() time.Duration {
	return (3*c.TTL + time.Millisecond).Truncate(time.Millisecond)
}

func (c Config) delay(r random) time.Duration { return r.between(10*time.Microsecond, c.Latency) }

// Report is what a history came to.
type Report struct {
	Seed         uint64
	Config       Config
	Holds        int
	Operations   int
	Faults       int
	Trace        string // what happened, in order: the same for the same seed
	Violations   error
	ViolationEnd int // how much of Trace leads to the first of them, or all of it
}

// world is one history while it lasts.
type world struct {
	seed    uint64
	cfg     Config
	origin  time.Time
	masters []*master
	clients []*client

	calm      atomic.Bool    // faults have stopped
	inFlight  sync.WaitGroup // messages
	quiescing chan struct{}  // has room for the one that waits in quiesce
	history   quorumtest.History

	mu         sync.Mutex // guards all below
	trace      []event
	errs       []error
	violatedAt []time.Duration // when each of errs was seen
	ops        int
	faults     int
}

// event is a line of the trace.
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

// quiesce waits until nothing more happens at this instant, and comes after all that
// did.
func (w *world) quiesce() {
	w.quiescing <- struct{}{}
	synctest.Wait()
	<-w.quiescing
}

// Run makes one history, from first to last. It must be called inside a
// testing/synctest bubble, and leaves nothing running there.
func Run(seed uint64, cfg Config) Report {
	w := &world{seed: seed, cfg: cfg, origin: time.Now(), quiescing: make(chan struct{}, 1)}
	for i := range cfg.Masters {
		r := newRandom(seed, w.actor("master", i))
		w.masters = append(w.masters, &master{
			index: i, world: w, subscribers: map[string][]*subscriber{}, history: map[string][]interval{},
			rate: 1 + cfg.Drift/2*r.Float64(),
		})
		skew := newRandom(seed, w.actor("skew", i)).between(-cfg.Skew/2, cfg.Skew/2)
		w.masters[i].model = newModel(w.masters[i].runID(), epoch+skew.Microseconds())
		w.masters[i].model.listeners = w.masters[i].listeners
	}
	for i := range cfg.Clients {
		w.clients = append(w.clients, w.newClient(i))
	}
	w.bootstrap()
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

// epoch is the masters' time of day at the beginning, in microseconds: about 2026.
const epoch = 1_790_000_000_000_000

// begin declares the masters new, where there is a restart guard.
func (w *world) bootstrap() {
	if w.cfg.Guard == 0 {
		return
	}
	w.calm.Store(true)
	if err := w.clients[0].manager.Bootstrap(context.Background()); err != nil {
		w.violation("bootstrap of new masters failed: %v", err)
	}
	w.calm.Store(false)
}

// play lets clients and faults go on for the history's length.
func (w *world) run() {
	var all sync.WaitGroup
	for _, c := range w.clients {
		for i := range w.cfg.Workers {
			all.Go(func() { c.work(i) })
		}
		all.Go(c.injectClientFaults)
	}
	for _, m := range w.masters {
		all.Go(func() { w.injectMasterFaults(m) })
	}
	all.Wait()
}

// settle ends the faults and has a client that was none of them take each lock:
// whatever happened, it must get it in bounded time.
func (w *world) endFaults() {
	w.calm.Store(true)
	w.log("the faults are over")
	for _, m := range w.masters {
		m.resume()
		if _, down := m.state(); down {
			m.start(rememberAll)
		}
	}
	probe := w.newClient(len(w.clients))
	w.clients = append(w.clients, probe)
	for i := range w.cfg.Names {
		probe.mustAcquire(w.lockName(i))
	}
}

// tidied checks that no lock's key is left once what was late has arrived, and those
// who are owed a release have been told: no TTL is over by then.
func (w *world) checkReleased() {
	time.Sleep(releaseRetries)
	for _, m := range w.masters {
		for i := range w.cfg.Names {
			if token, ok := m.storedToken(w.lockName(i)); ok {
				w.violation("master %d: nobody has released %s of %s, which was given up long ago", m.index, token, w.lockName(i))
			}
		}
	}
}

// doubts is for how long at most a Manager repeats releases that may have come too
// early, with nothing that is later than that in a history: 1, 2, 4 and 8 s.
const releaseRetries = 16 * time.Second

func (w *world) lockName(i int) string { return fmt.Sprintf("lock-%d", i) }

// afterwards checks that nothing is left once every TTL has passed.
func (w *world) checkExpired() {
	time.Sleep(3*w.cfg.TTL + time.Second) // a second for what was handed on to the dead
	for _, m := range w.masters {
		for i := range w.cfg.Names {
			if m.hasKey(w.lockName(i)) {
				w.violation("master %d: %s left for longer than its TTL", m.index, w.lockName(i))
			}
		}
		if n := m.keys(fenceRetention); n > 0 {
			w.violation("master %d: %d keys pile up", m.index, n)
		}
	}
}

// longestKept is for how long fences are kept, where TTLs are short, and a little.
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
	broken := 0
	for _, e := range w.trace {
		fmt.Fprintf(&trace, "%12v %s\n", e.at, e.text)
		if e.at <= until {
			broken = trace.Len()
		}
	}
	return Report{
		Seed: w.seed, Config: w.cfg, Holds: len(w.history.Holds()),
		Operations: w.ops, Faults: w.faults, Trace: trace.String(),
		Violations: errs, ViolationEnd: broken,
	}
}

// brokenBy returns until when to read the trace: to the end of the first holds that
// break the order, or else to the first violation that was seen at once.
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

// rateClock is a client's clock: as many of its seconds per true second as its
// rate says.
type rateClock struct {
	world *world
	rate  float64
	start time.Duration
	skew  time.Duration // of its time of day
}

// Now returns the client's instant.
func (c rateClock) Now() clock.Instant {
	return clock.Instant(float64(c.world.now())*c.rate) + clock.Instant(c.start)
}

// Wall returns the client's time of day.
func (c rateClock) Wall() time.Time { return time.UnixMicro(epoch).Add(c.world.now() + c.skew) }

// Settled lets everything that happens at this instant happen; see
// fanout.Config. Virtual time goes on only when nothing else can.
func (c rateClock) Settled() { time.Sleep(time.Nanosecond) }

// toTrue converts a stretch of the client's time to true time.
func (c rateClock) toTrueTime(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.rate)
}

func (w *world) newClient(index int) *client {
	r := newRandom(w.seed, w.actor("client", index))
	c := &client{
		world: w, index: index, creators: map[string][]*apiCall{}, refusals: make([][]time.Duration, len(w.masters)),
		clock: rateClock{world: w, rate: 1 - w.cfg.Drift/2*r.Float64(), start: r.between(0, time.Hour), skew: r.between(-w.cfg.ClientSkew, w.cfg.ClientSkew)},
	}
	retries := -1
	if w.cfg.Repeat > 0 {
		retries = 1 // the links', but the library is to know of it
	}
	var clients []redis.UniversalClient
	for _, m := range w.masters {
		rc := redis.NewClient(&redis.Options{
			Addr: fmt.Sprintf("127.0.%d.%d:6379", index, m.index), MaxRetries: retries, Protocol: 2, PipelinePoolSize: -1,
			DialerRetries: 1, DisableIdentity: true,
		})
		rc.AddHook(&link{client: c, master: m, patient: w.cfg.Patient,
			draw: newRandom(w.seed, w.actor("link", index, m.index)),
			push: newRandom(w.seed, w.actor("push", index, m.index))})
		clients = append(clients, rc)
		c.redis = append(c.redis, rc)
	}
	manager, err := quorum.New(clients, &quorum.Options{
		Clock: c.clock, Random: tokenSource{newRandom(w.seed, w.actor("token", index)), c},
		AttemptTimeout: callTimeout, CloseTimeout: 3 * patience,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		Fencing: w.cfg.Fencing, RestartGuard: w.cfg.Guard,
	})
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	c.manager = manager
	return c
}
