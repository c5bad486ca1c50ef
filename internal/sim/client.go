package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// client is one process with a Manager, and workers that use it.
type client struct {
	world   *world
	index   int
	phase   phase
	system  vote.System   // of its masters, by their index in the world
	members []int         // the masters in the order in which the Manager has them
	until   time.Duration // when it stops
	closing sync.Once
	clock   rateClock
	manager *quorum.Manager
	redis   []*redis.Client
	gone    atomic.Bool    // it crashed: it sends and receives nothing
	told    []atomic.Int64 // by master of the Manager: how many results its lane has told

	mu        sync.Mutex    // guards the fields below
	frozen    chan struct{} // closed when the client resumes; nil while it runs
	openCalls []*apiCall
	creators  map[string][]*apiCall // by token: the calls that may have created it
	refusals  [][]time.Duration     // by master: when it refused a request
}

func (w *world) newClient(index int, p phase) *client {
	r := newRandom(w.seed, w.actor("client", index))
	c := &client{
		world: w, index: index, phase: p, system: w.systemOf(p), until: w.cfg.Length, creators: map[string][]*apiCall{}, told: make([]atomic.Int64, len(w.masters)), refusals: make([][]time.Duration, len(w.masters)),
		clock: rateClock{world: w, rate: 1 - w.cfg.Drift/2*r.Float64(), start: r.between(0, time.Hour), skew: r.between(-w.cfg.ClientSkew, w.cfg.ClientSkew)},
	}
	clients := c.connect()
	opts := quorum.Options{
		Clock: c.clock, Owner: fmt.Sprintf("client-%d", index),
		AttemptTimeout: callTimeout, CloseTimeout: 3 * patience,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		Fencing: w.cfg.Fencing, RestartGuard: w.cfg.Guard, LockDelay: w.cfg.Delay, AnyMasters: w.cfg.Change.Unchecked,
	}
	testhook.Set(&opts, testhook.Hooks{
		Token: tokenSource{newRandom(w.seed, w.actor("token", index)), c}.next,
		Wall:  c.clock.wall, Quiesce: c.quiesce, Settle: c.world.quiesce,
	})
	set, other := w.members(p)
	masters := c.pick(clients, set)
	opts.JointMasters = c.pick(clients, other)
	manager, err := quorum.New(masters, &opts)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	c.manager = manager
	return c
}

// connect makes a client of each master.
func (c *client) connect() []redis.UniversalClient {
	w, retries, host := c.world, -1, c.index
	if w.cfg.Repeat > 0 {
		retries = 1 // the links repeat requests; this tells the library
	}
	if w.cfg.SameNames {
		host = 0
	}
	clients := make([]redis.UniversalClient, len(w.masters))
	for _, m := range w.masters {
		rc := redis.NewClient(&redis.Options{
			Addr: fmt.Sprintf("127.0.%d.%d:6379", host, m.index), MaxRetries: retries, Protocol: 2, PipelinePoolSize: -1,
			DialerRetries: 1, DisableIdentity: true,
		})
		rc.AddHook(&link{client: c, master: m, patient: w.cfg.Patient,
			draw: newRandom(w.seed, w.actor("link", c.index, m.index)),
			push: newRandom(w.seed, w.actor("push", c.index, m.index))})
		clients[m.index] = rc
		c.redis = append(c.redis, rc)
	}
	return clients
}

// pick returns the clients of some masters, and records the order in which the Manager has them.
func (c *client) pick(clients []redis.UniversalClient, s vote.Set) (picked []redis.UniversalClient) {
	for i := range s.Each() {
		picked = append(picked, clients[i])
		if !slices.Contains(c.members, i) {
			c.members = append(c.members, i)
		}
	}
	return picked
}

// quiesce lets everything that happens at this instant finish before the client looks at the queue
// of a master's lane, or goes on telling results. Virtual time advances only when all goroutines
// are blocked. Each lane of the history goes on at nanoseconds of its own, so no two of them go on
// at the same time. Nor do the goroutines of a lane, except those that look at the queue: it does
// not matter which of these comes first.
func (c *client) quiesce(master int, telling bool) {
	masters := len(c.world.masters)
	lanes := (3*c.world.cfg.Clients + 1) * masters // three phases, and one more client at a time
	turn := c.index*masters + c.members[master]
	if telling {
		turn += lanes * (1 + int(c.told[master].Add(1)-1)%tellers)
	}
	turns := lanes * (1 + tellers)
	now := int(c.world.now())
	time.Sleep(time.Duration(1 + ((turn-now-1)%turns+turns)%turns))
	c.world.quiesce() // something else may happen at that nanosecond
}

// tellers is at least how many goroutines of a lane tell results at once.
const tellers = 8

func (c *client) close() {
	c.closing.Do(func() {
		_ = c.manager.Close() // the keys of a crashed client stay until they expire
		for _, rc := range c.redis {
			_ = rc.Close()
		}
	})
}

// run runs the client's workers during its life.
func (c *client) run() {
	c.live()
	var all sync.WaitGroup
	for i := range c.world.cfg.Workers {
		all.Go(func() { c.work(i) })
	}
	all.Wait()
	c.runLastJob()
	c.stop()
}

// peer draws a client of the same phase. One that another client may outlive is its own peer.
func (c *client) peer(r random) *client {
	n := c.world.cfg.Clients
	if c.phase == old || c.phase == joint {
		return c
	}
	return c.world.clients[c.index/n*n+r.IntN(n)]
}

// work acquires, uses and releases locks until the history is over.
func (c *client) work(worker int) {
	w := c.world
	r := newRandom(w.seed, w.actor("worker", c.index, worker))
	tokens := newRandom(w.seed, w.actor("tokens", c.index, worker))
	r.tokens = &tokens
	who := fmt.Sprintf("%vclient %d worker %d", c.phase, c.index, worker)
	for w.now() < c.until && !c.gone.Load() {
		c.sleep(r, r.between(time.Microsecond, 50*time.Millisecond))
		name := w.lockName(r.IntN(w.cfg.Names))
		ttl := r.between(w.cfg.TTL/2, w.cfg.TTL*3/2).Truncate(time.Millisecond)
		w.mu.Lock()
		w.ops++
		w.mu.Unlock()
		if r.chance(w.cfg.Several) {
			c.useSeveral(r, who, ttl)
			continue
		}
		switch r.IntN(10) {
		case 0:
			if r.chance(0.5) {
				c.useLead(r, who, name, ttl)
			} else {
				c.useDo(r, who, name, ttl)
			}
		case 1:
			if !w.cfg.Tidy && !w.usualKind(name).ordered() { // nobody releases a period
				c.useOnce(r, who, name, ttl)
			}
		default:
			c.useLock(r, who, name, ttl)
		}
	}
}

// sleep is time.Sleep for a worker. It also waits while the client is frozen.
func (c *client) sleep(r random, d time.Duration) {
	time.Sleep(d)
	c.waitIfFrozen(r)
}

func (c *client) waitIfFrozen(r random) { c.waitThawed(r.between(1, time.Millisecond)) }

// longestUse bounds how long workers wait for a lock and hold it when TTLs are long.
const longestUse = 6 * time.Second

// useLock acquires a lock, then extends, releases, overuses or forgets it at random.
func (c *client) useLock(r random, who, name string, ttl time.Duration) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, min(3*ttl, longestUse)))
	defer cancel()
	acquire := c.manager.TryAcquire
	if r.chance(0.6) {
		acquire = c.manager.Acquire
	}
	kind := c.world.drawKind(r, name)
	opts := kind.options()
	renewed := r.chance(0.3)
	if renewed {
		opts = append(opts, quorum.AutoRenew(time.Duration(r.IntN(2))*4*ttl))
	}
	minHold := time.Duration(0)
	if r.chance(c.world.cfg.MinHold) && !kind.ordered() {
		minHold = r.between(time.Millisecond, ttl)
		opts = append(opts, quorum.MinHold(minHold))
	}
	k := c.startCall(name)
	l, err := acquire(ctx, name, ttl, opts...)
	k.end()
	k.checkError(ctx, who, err)
	if err != nil {
		return
	}
	h := c.hold(r, who, l, kind, renewed)
	h.rests = k.from + minHold
	for range r.IntN(4) {
		h.use(r.between(time.Microsecond, min(ttl, longestUse)/2))
		if r.chance(0.5) {
			c.extend(r, h, ttl)
		}
	}
	c.end(r, h, ttl)
}

// end ends the use of a lock in one of many ways.
func (c *client) end(r random, h *hold, ttl time.Duration) {
	switch {
	case r.chance(c.world.cfg.Resume) && !h.kind.ordered():
		c.giveAway(r, h, ttl)
		return
	case r.chance(c.world.cfg.Break):
		c.hang(r, h, ttl)
		return
	case c.world.cfg.Tidy:
		c.release(r, h)
		return
	}
	if r.chance(0.1) {
		c.sleep(r, r.between(ttl, 2*ttl)) // pause until the lock has expired
	}
	if r.chance(0.1) && !h.renewed {
		h.letExpire()
		return
	}
	c.release(r, h)
}

// giveAway detaches a lock. Another client resumes it, uses it, and releases it.
func (c *client) giveAway(r random, h *hold, ttl time.Duration) {
	w := c.world
	before := h.lock.Fence()
	h.handedOver = true
	h.finish()
	c.sleep(r, r.between(1, time.Millisecond)) // a new lock may be extended at the very instant
	giving, cancelGiving := r.timeout(r.between(time.Millisecond, ttl))
	defer cancelGiving()
	token, err := h.lock.Detach(giving, ttl)
	w.log("%s detaches %s: %v", h.who, h.lock.Name(), sentinels(err))
	h.checkLoss(err)
	if err != nil {
		c.release(r, h)
		return
	}
	to := c.peer(r)
	c.sleep(r, r.between(time.Microsecond, ttl/4))
	ctx, cancel := r.timeout(r.between(time.Millisecond, ttl))
	defer cancel()
	l, err := to.manager.Resume(ctx, h.lock.Name(), token)
	w.log("%s resumes %s in client %d: %v", h.who, h.lock.Name(), to.index, sentinels(err))
	if err != nil {
		if !errors.Is(err, quorum.ErrNotAcquired) {
			w.violation("%s: Resume failed with %v", h.who, err)
		}
		return
	}
	if l.Fence() < before {
		w.violation("%s: resumed with fence %d, lower than %d before", h.who, l.Fence(), before)
	}
	resumed := to.hold(r, h.who+" resumed", l, h.kind, false)
	resumed.use(r.between(time.Microsecond, min(ttl, longestUse)/2))
	if r.chance(0.5) {
		to.extend(r, resumed, ttl)
	}
	to.release(r, resumed)
}

// hang stops using a lock without releasing it, even if it is renewed. Another client breaks it.
func (c *client) hang(r random, h *hold, ttl time.Duration) {
	w := c.world
	h.finish()
	operator := c.peer(r)
	ctx, cancel := r.timeout(r.between(time.Millisecond, 2*ttl))
	defer cancel()
	err := operator.manager.Break(ctx, h.lock.Name(), h.lock.Token())
	w.log("client %d breaks %s of %s: %v", operator.index, h.lock.Name(), h.who, sentinels(err))
	if err == nil {
		// What was confirmed before counts for one more window at most. After that, the holder
		// knows.
		c.sleep(r, c.clock.toTrueTime(2*ttl))
		if h.lock.Err() == nil {
			w.violation("%s: still holds %s, long after it was broken", h.who, h.lock.Name())
		}
	}
	c.release(r, h)
}

func (c *client) extend(r random, h *hold, ttl time.Duration) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, 2*ttl))
	defer cancel()
	longer := r.between(ttl/2, 2*ttl).Truncate(time.Millisecond)
	before, start := h.lock.Validity(), c.world.now()
	err := h.lock.Extend(ctx, longer)
	c.world.log("%s extends %s by %v: %v", h.who, h.lock.Name(), longer, sentinels(err))
	h.checkLoss(err)
	switch {
	case err == nil:
		h.confirmed = start
		h.checkWindow()
	case errors.Is(err, quorum.ErrLost):
		if h.lock.Validity() > 0 {
			c.world.violation("%s: lost, but still valid", h.who)
		}
	case errors.Is(err, quorum.ErrNoQuorum):
		if before <= 0 {
			c.world.violation("%s: extending an expired lock failed with %v", h.who, err)
		}
	default:
		c.world.violation("%s: Extend failed with %v", h.who, err)
	}
}

func (c *client) release(r random, h *hold) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, 2*callTimeout))
	defer cancel()
	if r.chance(0.2) {
		cancel()
	}
	held := h.lock.Validity() > 0
	h.finish()
	err := h.lock.Release(ctx)
	c.world.log("%s releases %s: %v", h.who, h.lock.Name(), sentinels(err))
	if err == nil {
		h.recordRest()
	}
	h.checkLoss(err)
	switch {
	case err == nil && !held:
		c.world.violation("%s: Release of an expired lock succeeded", h.who)
	case errors.Is(err, quorum.ErrLost) && held && !errors.Is(err, quorum.ErrDenied): // checkLoss has checked ErrDenied
		c.world.violation("%s: lost at the instant of its release: %v", h.who, err)
	}
}

// useDo holds the lock through Do.
func (c *client) useDo(r random, who, name string, ttl time.Duration) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, min(5*ttl, longestUse)))
	defer cancel()
	working := r.between(time.Microsecond, min(3*ttl, longestUse))
	ran, k, kind := false, c.startCall(name), c.world.drawKind(r, name)
	err := c.manager.Do(ctx, name, ttl, func(ctx context.Context, l *quorum.Lock) error {
		ran = true
		k.end()
		c.world.log("%s runs Do for %s", who, name)
		c.useRenewed(ctx, r, who, l, kind, ttl, working)
		return nil
	}, kind.options()...)
	c.world.log("%s ends Do for %s: %v", who, name, sentinels(err))
	if !ran {
		k.end()
		k.checkError(ctx, who, err)
	}
}

// useRenewed uses a lock that the library renews, for as long as the work takes, or until ctx ends.
func (c *client) useRenewed(ctx context.Context, r random, who string, l *quorum.Lock, kind kind, ttl, working time.Duration) {
	h := c.hold(r, who, l, kind, true)
	end := time.Now().Add(working)
	for ctx.Err() == nil && time.Now().Before(end) {
		h.use(min(ttl/7+1, longestUse/7, time.Until(end)))
	}
	if l.Validity() > 0 && errors.Is(context.Cause(ctx), quorum.ErrLost) {
		c.world.violation("%s: the context says that the lock is lost, Validity says that it is held", who)
	}
	h.checkLoss(context.Cause(ctx))
	h.finish()
}

var errTermFailed = errors.New("the term failed")

// useLead holds the lock through Lead, for several terms if they fail or if the lock is lost.
func (c *client) useLead(r random, who, name string, ttl time.Duration) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, min(8*ttl, 2*longestUse)))
	defer cancel()
	terms, done, k, kind := 0, false, c.startCall(name), c.world.drawKind(r, name)
	if kind.shared { // which Lead refuses
		kind.shared, kind.exclusive = false, true
	}
	err := c.manager.Lead(ctx, name, ttl, func(held context.Context, l *quorum.Lock) error {
		k.end()
		terms++
		c.world.log("%s leads %s for the %d. time", who, name, terms)
		c.useRenewed(held, r, who, l, kind, ttl, r.between(time.Microsecond, min(2*ttl, longestUse)))
		k = c.startCall(name) // of the next campaign
		if done = r.chance(0.3); done {
			return nil
		}
		return errTermFailed
	}, kind.options()...)
	k.end()
	c.world.log("%s ends Lead for %s: %v", who, name, sentinels(err))
	if errors.Is(err, quorum.ErrTaken) || errors.Is(err, quorum.ErrNoQuorum) { // a campaign has ended
		k.checkError(ctx, who, err)
	}
	if errors.Is(err, quorum.ErrNotAcquired) != (terms == 0) {
		c.world.violation("%s: after %d terms, Lead failed with %v", who, terms, err)
	}
	over := err == nil && done || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil
	if !over && !errors.Is(err, quorum.ErrConflict) && !errors.Is(err, quorum.ErrOtherMasters) {
		c.world.violation("%s: Lead returned too early: %v", who, err)
	}
}

// useOnce takes a period through Once.
func (c *client) useOnce(r random, who, name string, period time.Duration) {
	ctx, cancel := r.timeout(r.between(time.Millisecond, 5*period))
	defer cancel()
	k := c.startCall(name)
	ran, err := c.manager.Once(ctx, name, period, func(context.Context) error {
		k.end()
		c.waitIfFrozen(r)
		k.recordPeriod(who, period)
		return nil
	})
	c.world.log("%s ends Once for %s: ran %v, %v", who, name, ran, sentinels(err))
	if ran {
		return
	}
	k.end()
	if err != nil {
		k.checkError(ctx, who, err)
	} else {
		k.checkSkipped(who)
	}
}

// recordPeriod records a period taken by Once as a hold of its own. Nobody releases it, so it lasts
// as long as a lock's window would. The window counts from the attempt that won. The hold counts
// from the start of the call, which is never later.
func (k *apiCall) recordPeriod(who string, period time.Duration) {
	w, now := k.client.world, k.client.world.now()
	end := k.from + k.client.clock.toTrueTime(clock.DefaultDrift.Window(period))
	if now >= end {
		return
	}
	var stored vote.Set
	for i, m := range w.masters {
		if m.hadToken(k.name, end, end, k.mayOwn) {
			stored |= vote.Only(i)
		}
	}
	if !k.client.system.HasQuorum(stored) && !w.cfg.Forget {
		w.violation("%s has the period of %s until %v, but only masters %v store its token until then; a quorum is %v",
			who, k.name, end, stored, k.client.system)
	}
	w.history.Add(quorumtest.Hold{Name: k.name, Holder: who + " by Once", From: now, To: end})
}

// patienceAfterFaults is how long a call must get its lock within, once all faults are over. It
// allows for a few attempts, and for the time during which leftovers can block the lock.
func (w *world) patienceAfterFaults() time.Duration {
	if w.cfg.Tidy {
		return releaseRetries
	}
	return 4*w.cfg.TTL + w.cfg.Delay + w.cfg.Guard + 10*time.Second
}

// mustAcquire acquires a lock after all faults are over.
func (c *client) mustAcquire(name string) {
	bound := c.world.patienceAfterFaults()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	kind := c.world.usualKind(name)
	l, err := c.manager.Acquire(ctx, name, c.world.cfg.TTL, kind.options()...)
	for errors.Is(err, quorum.ErrConflict) && ctx.Err() == nil { // with another kind that a client left behind
		time.Sleep(100 * time.Millisecond)
		l, err = c.manager.Acquire(ctx, name, c.world.cfg.TTL, kind.options()...)
	}
	if err != nil {
		c.world.violation("a waiter for %s did not get the lock within %v: %v", name, bound, err)
		return
	}
	h := c.hold(newRandom(c.world.seed, "probe"), "probe", l, kind, false)
	h.use(time.Millisecond)
	h.finish()
	if err := l.Release(context.Background()); err != nil {
		c.world.violation("Release failed without faults: %v", err)
	}
}

// sentinels returns the sentinel errors that err matches, for the trace.
func sentinels(err error) string {
	if err == nil {
		return "ok"
	}
	var names string
	for _, sentinel := range []error{quorum.ErrTaken, quorum.ErrNoQuorum, quorum.ErrExpired, quorum.ErrDenied,
		quorum.ErrHoldLimit, quorum.ErrLost, quorum.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, sentinel) {
			names += fmt.Sprintf("[%v]", sentinel)
		}
	}
	return names
}
