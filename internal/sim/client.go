package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// client is one process with a Manager, and workers that use it.
type client struct {
	world   *world
	index   int
	clock   rateClock
	manager *quorum.Manager
	redis   []*redis.Client
	gone    atomic.Bool // it crashed: nothing leaves it, and nothing reaches it

	mu        sync.Mutex            // guards all below
	frozen    chan struct{}         // closed when it goes on; nil while it does
	openCalls []*apiCall            // under way
	creators  map[string][]*apiCall // by token: the calls one of which made it
	refusals  [][]time.Duration     // by master: when it refused something
}

func (c *client) close() {
	_ = c.manager.Close() // keys of clients that crashed are left to expire
	for _, rc := range c.redis {
		_ = rc.Close()
	}
}

// work takes, uses and releases locks until the history is over.
func (c *client) work(worker int) {
	w := c.world
	r := newRandom(w.seed, w.actor("worker", c.index, worker))
	who := fmt.Sprintf("client %d worker %d", c.index, worker)
	for w.now() < w.cfg.Length && !c.gone.Load() {
		c.sleep(r, r.between(time.Microsecond, 50*time.Millisecond))
		name := w.lockName(r.IntN(w.cfg.Names))
		ttl := r.between(w.cfg.TTL/2, w.cfg.TTL*3/2).Truncate(time.Millisecond)
		w.mu.Lock()
		w.ops++
		w.mu.Unlock()
		switch r.IntN(10) {
		case 0:
			c.useDo(r, who, name, ttl)
		case 1:
			if !w.cfg.Tidy { // a period is left to expire
				c.useOnce(r, who, name, ttl)
			}
		default:
			c.useLock(r, who, name, ttl)
		}
	}
}

// sleep is time.Sleep for a worker, which does not go on while its client is
// frozen.
func (c *client) sleep(r random, d time.Duration) {
	time.Sleep(d)
	c.waitIfFrozen(r)
}

func (c *client) waitIfFrozen(r random) { c.waitThawed(r.between(1, time.Millisecond)) }

// longestUse bounds how long locks are waited for and held, where TTLs are long.
const longestUse = 6 * time.Second

// use takes a lock by hand, and does with it what people do.
func (c *client) useLock(r random, who, name string, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, min(3*ttl, longestUse)))
	defer cancel()
	acquire := c.manager.TryAcquire
	if r.chance(0.6) {
		acquire = c.manager.Acquire
	}
	var opts []quorum.AcquireOption
	renewed := r.chance(0.3)
	if renewed {
		opts = append(opts, quorum.AutoRenew(time.Duration(r.IntN(2))*4*ttl))
	}
	k := c.startCall(name)
	l, err := acquire(ctx, name, ttl, opts...)
	k.end()
	k.checkError(ctx, who, err)
	if err != nil {
		return
	}
	h := c.hold(r, who, l, renewed)
	for range r.IntN(4) {
		h.use(r.between(time.Microsecond, min(ttl, longestUse)/2))
		if r.chance(0.5) {
			c.extend(r, h, ttl)
		}
	}
	if c.world.cfg.Tidy {
		c.release(r, h)
		return
	}
	if r.chance(0.1) {
		c.sleep(r, r.between(ttl, 2*ttl)) // pauses for longer than the lock lasts
	}
	if r.chance(0.1) && !renewed {
		h.letExpire()
		return
	}
	c.release(r, h)
}

func (c *client) extend(r random, h *hold, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, 2*ttl))
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
			c.world.violation("%s: lost, but valid", h.who)
		}
	case errors.Is(err, quorum.ErrNoQuorum):
		if before <= 0 {
			c.world.violation("%s: an extension of a lock that was over failed with %v", h.who, err)
		}
	default:
		c.world.violation("%s: extend failed with %v", h.who, err)
	}
}

func (c *client) release(r random, h *hold) {
	ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, 2*callTimeout))
	defer cancel()
	if r.chance(0.2) {
		cancel()
	}
	held := h.lock.Validity() > 0
	h.finish()
	err := h.lock.Release(ctx)
	c.world.log("%s releases %s: %v", h.who, h.lock.Name(), sentinels(err))
	h.checkLoss(err)
	switch {
	case err == nil && !held:
		c.world.violation("%s: released a lock that was over", h.who)
	case errors.Is(err, quorum.ErrLost) && held && !errors.Is(err, quorum.ErrDenied): // which has been judged
		c.world.violation("%s: lost in the instant of its release: %v", h.who, err)
	}
}

// do has Do hold the lock.
func (c *client) useDo(r random, who, name string, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, min(5*ttl, longestUse)))
	defer cancel()
	working := r.between(time.Microsecond, min(3*ttl, longestUse))
	ran, k := false, c.startCall(name)
	err := c.manager.Do(ctx, name, ttl, func(ctx context.Context, l *quorum.Lock) error {
		ran = true
		k.end()
		c.world.log("%s does %s", who, name)
		h := c.hold(r, who, l, true)
		end := time.Now().Add(working)
		for ctx.Err() == nil && time.Now().Before(end) {
			h.use(min(ttl/7+1, longestUse/7, time.Until(end)))
		}
		if l.Validity() > 0 && errors.Is(context.Cause(ctx), quorum.ErrLost) {
			c.world.violation("%s: its context says lost, its validity does not", who)
		}
		h.checkLoss(context.Cause(ctx))
		h.finish()
		return nil
	})
	c.world.log("%s is done with %s: %v", who, name, sentinels(err))
	if !ran {
		k.end()
		k.checkError(ctx, who, err)
	}
}

// once has Once take a period.
func (c *client) useOnce(r random, who, name string, period time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, 5*period))
	defer cancel()
	k := c.startCall(name)
	ran, err := c.manager.Once(ctx, name, period, func(context.Context) error {
		k.end()
		c.waitIfFrozen(r)
		k.recordPeriod(who, period)
		return nil
	})
	c.world.log("%s once %s: %v %v", who, name, ran, sentinels(err))
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

// period records a period that Once has taken, as a hold of its own. Nobody gives
// it up, so it lasts for what would be the window of a lock. That counts from the
// attempt that won; here it counts from before the first, which is never later.
func (k *apiCall) recordPeriod(who string, period time.Duration) {
	w, now := k.client.world, k.client.world.now()
	end := k.from + k.client.clock.toTrueTime(clock.DefaultDrift.Window(period))
	if now >= end {
		return
	}
	stored := 0
	for _, m := range w.masters {
		if m.hadToken(k.name, end, end, k.mayOwn) {
			stored++
		}
	}
	if stored <= w.cfg.Masters/2 && !w.cfg.Forget {
		w.violation("%s has the period of %s until %v, but its token is to stand on %d of %d masters until then",
			who, k.name, end, stored, w.cfg.Masters)
	}
	w.history.Add(quorumtest.Hold{Name: k.name, Holder: who + " by Once", From: now, To: end})
}

// probe takes a lock when all faults are over. It must get it within the time
// that what is left behind can stand in its way, and a few attempts.
func (c *client) mustAcquire(name string) {
	bound := 4*c.world.cfg.TTL + c.world.cfg.Guard + 10*time.Second
	if c.world.cfg.Tidy {
		bound = releaseRetries
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	l, err := c.manager.Acquire(ctx, name, c.world.cfg.TTL)
	if err != nil {
		c.world.violation("a waiter for %s is not served within %v: %v", name, bound, err)
		return
	}
	h := c.hold(newRandom(c.world.seed, "probe"), "probe", l, false)
	h.use(time.Millisecond)
	h.finish()
	if err := l.Release(context.Background()); err != nil {
		c.world.violation("a release without faults failed: %v", err)
	}
}

// hold is a lock while somebody relies on it.
type hold struct {
	client    *client
	draw      random // the worker's
	who       string
	lock      *quorum.Lock
	from      time.Duration
	until     time.Duration // the end of its window, in true time
	confirmed time.Duration // when the last extension that succeeded was asked for
	renewed   bool
	ended     bool
	reported  bool // its token was seen not to stand on a quorum
}

func (c *client) hold(r random, who string, l *quorum.Lock, renewed bool) *hold {
	c.waitIfFrozen(r)
	h := &hold{client: c, draw: r, who: who, lock: l, from: c.world.now(), renewed: renewed}
	h.checkWindow()
	return h
}

// look reads the window, and checks that the token stands on a quorum, and will
// until it closes.
func (h *hold) checkWindow() {
	left := h.lock.Validity()
	if left <= 0 {
		return
	}
	w := h.client.world
	end := w.now() + h.client.clock.toTrueTime(left)
	h.until = max(h.until, end)
	stored := 0
	for _, m := range w.masters {
		if m.storedUntil(h.lock.Name(), h.lock.Token()) > end && m.fence(h.lock.Name()) >= h.lock.Fence() {
			stored++
		}
	}
	if (h.lock.Fence() > 0) != w.cfg.Fencing {
		w.violation("%s has fence %d", h.who, h.lock.Fence())
	}
	if stored <= w.cfg.Masters/2 && !w.cfg.Forget && !h.reported {
		h.reported = true
		w.violation("%s holds %s for %v yet, but for so long its token and fence stand on %d of %d masters",
			h.who, h.lock.Name(), left, stored, w.cfg.Masters)
	}
}

// rely goes on for a while, and looks at the end of it: just before the window
// closes if that comes first.
func (h *hold) use(d time.Duration) {
	w := h.client.world
	if left := h.until - w.now() - time.Nanosecond; !h.renewed && left > 0 && left < d {
		h.client.sleep(h.draw, left)
		h.checkWindow()
		d -= left
	}
	h.client.sleep(h.draw, d)
	h.checkWindow()
}

// over ends the hold: now, or when its window closed.
func (h *hold) finish() {
	if h.ended {
		return
	}
	h.ended = true
	w := h.client.world
	if left := h.lock.Validity(); left > 0 {
		h.until = max(h.until, w.now()+h.client.clock.toTrueTime(left))
	}
	to := min(w.now(), h.until)
	if to <= h.from {
		return // it was over when its client could first use it
	}
	w.history.Add(quorumtest.Hold{
		Name: h.lock.Name(), Holder: h.who, Token: h.lock.Token(), From: h.from, To: to, Fence: h.lock.Fence(),
	})
}

// abandon leaves the lock to expire, and relies on it to the last.
func (h *hold) letExpire() {
	for h.lock.Validity() > 0 {
		h.use(h.client.clock.toTrueTime(h.lock.Validity()) + time.Nanosecond)
	}
	h.finish()
}

// reason is an error's sentinel, for the trace.
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
