package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// hold is a lock while its holder uses it.
type hold struct {
	client    *client
	draw      random // the worker's source
	who       string
	lock      *quorum.Lock
	kind      kind
	from      time.Duration
	granted   time.Duration // not after from: a call for several locks may have had this one before
	until     time.Duration // the end of the window, in true time
	confirmed time.Duration // start of the last extension that succeeded
	rests     time.Duration // until when a minimum hold keeps the lock taken
	renewed   bool
	ended     bool
	// handedOver says that another hold follows with the same token and fence.
	handedOver bool
	reported   bool // a missing quorum has been reported
}

func (c *client) hold(r random, who string, l *quorum.Lock, k kind, renewed bool) *hold {
	c.waitIfFrozen(r)
	now := c.world.now()
	h := &hold{client: c, draw: r, who: who, lock: l, kind: k, from: now, granted: now, renewed: renewed}
	h.checkWindow()
	return h
}

// checkWindow reads the window, and checks that a quorum stores the token until the window closes.
func (h *hold) checkWindow() {
	left := h.lock.Validity()
	if left <= 0 {
		return
	}
	w := h.client.world
	end := w.now() + h.client.clock.toTrueTime(left)
	h.until = max(h.until, end)
	delayed := end + h.client.clock.toTrueTime(clock.DefaultDrift.Window(w.cfg.Delay))
	var stored vote.Set
	for i, m := range w.masters {
		if m.storedUntil(h.storedAt(), h.lock.Token()) > max(end, delayed) && m.fence(h.lock.Name(), h.kind) >= h.lock.Fence() {
			stored |= vote.Only(i)
		}
	}
	if (h.lock.Fence() > 0) != w.cfg.Fencing {
		w.violation("%s: Fence returned %d", h.who, h.lock.Fence())
	}
	if !h.client.system.HasQuorum(stored) && !w.cfg.Forget && !h.reported {
		h.reported = true
		w.violation("%s holds %s for another %v, but only masters %v store its token and fence that long; a quorum is %v",
			h.who, h.lock.Name(), left, stored, h.client.system)
	}
}

// use spends time d holding the lock, and checks the window at the end. If the window closes
// earlier, it also checks just before that.
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

// finish ends the hold: now, or when its window closed.
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
		return // the window closed before the client could use the lock
	}
	done := quorumtest.Hold{
		Name: h.lock.Name(), Holder: h.who, Token: h.lock.Token(), From: h.from, To: to, Fence: h.lock.Fence(),
	}
	if h.handedOver {
		done.Token, done.Fence = "", 0
	}
	w.history.Add(h.kind.tag(done, w.cfg.Mixed > 0))
}

// storedAt returns where the history of the token is.
func (h *hold) storedAt() string {
	if h.kind.ordered() {
		return entryKey(h.lock.Name(), h.lock.Token())
	}
	return h.lock.Name()
}

// recordRest records the rest of a minimum hold as a hold of its own, after a release, if a quorum
// stores that the lock is taken. Masters that stored the lock may not have answered the release.
func (h *hold) recordRest() {
	w, now := h.client.world, h.client.world.now()
	left := clock.DefaultDrift.Window(h.rests - now)
	var stored vote.Set
	for i, m := range w.masters {
		if m.storedUntil(h.lock.Name(), wire.Released+h.lock.Token()) > now {
			stored |= vote.Only(i)
		}
	}
	if left > 0 && h.client.system.HasQuorum(stored) {
		w.history.Add(quorumtest.Hold{Name: h.lock.Name(), Holder: h.who + " rests", From: now, To: now + left})
	}
}

// letExpire uses the lock to the last instant and lets it expire.
func (h *hold) letExpire() {
	for h.lock.Validity() > 0 {
		h.use(h.client.clock.toTrueTime(h.lock.Validity()) + time.Nanosecond)
	}
	h.finish()
}

// wasGranted returns when a quorum of the masters had stored the token.
func (h *hold) wasGranted() time.Duration {
	var firsts []time.Duration
	first := map[int]time.Duration{}
	for i, m := range h.client.world.masters {
		if at, stored := m.storedFrom(h.storedAt(), h.lock.Token()); stored {
			first[i], firsts = at, append(firsts, at)
		}
	}
	slices.Sort(firsts)
	for _, at := range firsts {
		var stored vote.Set
		for i, from := range first {
			if from <= at {
				stored |= vote.Only(i)
			}
		}
		if h.client.system.HasQuorum(stored) {
			return at
		}
	}
	return h.from
}

// checkLoss checks that a lock reported as lost is lost.
func (h *hold) checkLoss(err error) {
	w, now := h.client.world, h.client.world.now()
	expired := errors.Is(err, quorum.ErrExpired) || errors.Is(err, quorum.ErrHoldLimit)
	if expired && now < h.until-clockRounding {
		w.violation("%s: %s ended with %v, %v before its window closes", h.who, h.lock.Name(), err, h.until-now)
	}
	if !errors.Is(err, quorum.ErrDenied) {
		return
	}
	// The request that was denied may be older than the last confirmed extension.
	since, lacking := max(h.granted, h.confirmed-callTimeout-patience-w.cfg.longestFreeze()), vote.Set(0)
	for i, m := range w.masters {
		if m.lackedToken(h.storedAt(), since, now, func(token string) bool { return token == h.lock.Token() }) || h.preceded(m, since, now) {
			lacking |= vote.Only(i)
		}
	}
	if !h.client.system.MayHold(lacking) {
		w.violation("%s: denied, but since %v only masters %v lacked its token; a quorum is %v: %v",
			h.who, since, lacking, h.client.system, err)
	}
}

// preceded reports whether a master had an entry in the way of the lock's.
func (h *hold) preceded(m *master, from, to time.Duration) bool {
	own := int64(0)
	isOwn := func(token string, fence int64) bool {
		if token == h.lock.Token() {
			own = fence
		}
		return false
	}
	m.stood(h.lock.Name(), from, to, isOwn)
	return h.kind.ordered() && m.stood(h.lock.Name(), from, to, func(_ string, fence int64) bool { return fence < own })
}

// clockRounding is how much clocks of different rates may disagree about one instant.
const clockRounding = 10 * time.Nanosecond
