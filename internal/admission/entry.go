package admission

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/vote"
)

// Entry is a waiter's entry on the masters, under one token. A token that was released never counts
// again, so the waiter's next entry needs a new one.
//
// All instants must be later than 0, because 0 means "not yet".
type Entry struct {
	cfg     Config
	token   string
	jitter  float64
	masters []masterView
	room    *vote.Room
	place   int64         // the fence that the entry is to have everywhere
	guess   bool          // place goes by the waiter's clock alone
	until   clock.Instant // see Window
	lacking clock.Instant // since when it stands on too few masters; 0 if it stands on a quorum
}

// NewEntry returns an entry that no master has been asked about. place is the fence to ask for.
// guess says that it goes by the waiter's own clock, which may be wrong. Then the masters may admit
// the entry with a lower one.
func NewEntry(cfg Config, token string, place int64, guess bool) *Entry {
	e := &Entry{
		cfg: cfg, token: token, jitter: backoff.Jitter(token), room: &vote.Room{}, place: place, guess: guess,
		masters: make([]masterView, cfg.System.Masters()),
	}
	if cfg.Permits > 0 {
		e.room = vote.NewRoom(cfg.Permits, cfg.System)
	}
	return e
}

// Jitter returns a number in [0, 1) derived from the token.
func (e *Entry) Jitter() float64 { return e.jitter }

// Place returns the fence that the entry is to have on all masters.
func (e *Entry) Place() int64 { return e.place }

// Guess reports whether Place goes by the waiter's clock alone.
func (e *Entry) Guess() bool { return e.guess }

// AskedAt returns when a master was last asked, or 0 if it never was.
func (e *Entry) AskedAt(master int) clock.Instant { return e.masters[master].asked }

// Heard returns a master's last answer. ok is false if there is none.
func (e *Entry) Heard(master int) (a Answer, ok bool) {
	m := &e.masters[master]
	return m.answer, m.heard != 0
}

// Stands reports whether a master has admitted the entry, as far as is known. Then the next request
// must not make it admit the entry once more.
func (e *Entry) Stands(master int) bool { return e.masters[master].stands }

// Lease returns the lease to ask a master for. It outlasts two polls.
func (e *Entry) Lease(master int) time.Duration {
	period := periodOf(e.masters[master].answer.Rank)
	return e.cfg.bound(min(max(7*period/2, shortestLease), longestLease))
}

// AskedAll records that all masters are about to be asked at once.
func (e *Entry) AskedAll(now clock.Instant) {
	for i := range e.masters {
		e.ask(i, now)
	}
}

func (e *Entry) ask(master int, now clock.Instant) {
	m := &e.masters[master]
	m.inFlight, m.asked, m.lease, m.moving = true, now, e.Lease(master), e.place
}

// Answered records a master's answer. notified says whether messages from the master can reach this
// waiter.
func (e *Entry) Answered(master int, a Answer, now clock.Instant, notified bool) {
	e.record(master, a, now)
	m := &e.masters[master]
	m.answer, m.heard, m.inFlight = a, now, false
	m.due = e.plan(master, notified, now)
	if m.askAgain && !m.final {
		m.due, m.askAgain = now, false
	}
}

// Advanced records a message: there is room before the entry now. One that is older than the
// entry's admission does not count.
func (e *Entry) Advanced(master int, t Turn, now clock.Instant) {
	m := &e.masters[master]
	if t.Gone != "" {
		e.room.Gone(t.Gone)
	}
	if m.final || m.asked == 0 || t.Asked > now || t.Asked.Add(time.Microsecond) <= m.since { //mutant:stale-turn
		return
	}
	if !m.stands { // the answer is still on its way, and so is the term
		asked, lease := t.Asked, e.cfg.bound(shortestLease)
		if m.asked.Sub(t.Asked) < time.Microsecond {
			asked, lease = m.asked, m.lease
		}
		m.enter(asked, asked.Add(e.cfg.Window(lease))) //mutant:lasts-for-its-lease
	}
	e.see(master, t.Fence, true, t.Before)
	m.rechecks = 0
	m.due = min(m.due, now.Add(firstRecheck)) // if others still leave no room, they soon will //mutant:crowded-recheck
}

// AskSoon makes the next Step ask a master. If a call is in flight, a Step after that call asks
// once more, because the master may have answered before it had the news.
func (e *Entry) AskSoon(master int) {
	if m := &e.masters[master]; !m.final {
		m.due, m.askAgain = 0, m.inFlight
	}
}

// Window returns until when the lock can be relied on after Hold.
func (e *Entry) Window() clock.Instant { return e.until }

// Step decides what the waiter does now. If the action is Stay, the caller must ask the masters in
// ask. It must call Step again when anything changes, and no later than next.
func (e *Entry) Step(now clock.Instant) (act Action, ask []int, next clock.Instant) {
	until, fits := e.window(now)
	if !fits {
		e.moveUp()
	}
	v := e.view(now)
	leave := e.patience(v.standing, now)
	switch {
	case fits && until.Sub(now) >= min(minWindow, e.cfg.Window(e.cfg.TTL)/2): //mutant:admission-window-short
		e.until = until
		return Hold, nil, 0
	case e.cfg.System.Blocks(v.conflicts):
		return GiveUp, nil, 0
	case e.cfg.System.Blocks(v.final), leave <= now: //mutant:lacking-leaves
		return Reenter, nil, 0
	}
	ask, next = e.poll(fits, now)
	return Stay, ask, min(next, leave)
}

// view is what an entry knows, as sets of masters.
type view struct {
	standing  vote.Set // it stands there, as far as is known
	final     vote.Set // they will never have it
	conflicts vote.Set // use the name for another kind of lock
}

func (e *Entry) view(now clock.Instant) (v view) {
	for i := range e.masters {
		m := &e.masters[i]
		if m.stands && m.lasts > now { //mutant:standing-lasts
			v.standing |= vote.Only(i)
		}
		if m.final {
			v.final |= vote.Only(i)
		}
		if m.answer.Conflict {
			v.conflicts |= vote.Only(i)
		}
	}
	return v
}

// patience returns when the entry leaves because it stands on too few masters. There it is in the
// way of others, who may reach a quorum.
func (e *Entry) patience(standing vote.Set, now clock.Instant) clock.Instant {
	switch {
	case e.cfg.System.HasQuorum(standing):
		e.lacking = 0
		return clock.Never
	case e.lacking == 0:
		e.lacking = now
	}
	return e.lacking.Add(e.cfg.Patience)
}

// poll returns which masters to ask now, and when to look again.
func (e *Entry) poll(fits bool, now clock.Instant) (ask []int, next clock.Instant) {
	next = clock.Never
	for i := range e.masters {
		m := &e.masters[i]
		if fits && m.hasRoom && m.asked < now || m.stands && m.fence < e.place && m.moving < e.place && !e.guess {
			m.due = 0 // there is room, but too little time left; or the entry has to move up
		}
		switch {
		case m.inFlight || m.final:
		case m.due <= now:
			e.ask(i, now)
			ask = append(ask, i)
		default:
			next = min(next, m.due)
		}
	}
	return ask, next
}

// moveUp raises the place if masters have admitted the entry with a higher fence. To hold the lock,
// it needs the lowest place that a quorum can have. It takes the lowest that all can have, so that
// the masters agree on the order, but none that is much higher: a master may have a wrong idea of
// it.
func (e *Entry) moveUp() {
	var standing vote.Set
	lowest := make([]int64, len(e.masters)) // negative, because Agreed looks for the highest
	for i := range e.masters {
		if m := &e.masters[i]; m.stands && m.fence > 0 {
			standing |= vote.Only(i)
			lowest[i] = -m.fence
		}
	}
	least, ok := vote.Agreed(e.cfg.System, standing, lowest)
	if !ok {
		return
	}
	place := -least
	for i := range standing.Each() {
		if fence := e.masters[i].fence; fence+least <= tolerance.Microseconds() { //mutant:place-within-tolerance
			place = max(place, fence)
		}
	}
	if place > e.place || e.guess { //mutant:place-moves-up
		e.place, e.guess = place, false
	}
}

// tolerance is how much higher than the lowest place that a quorum can have a place may be.
const tolerance = time.Second

// window returns until when a quorum of masters that have room keep the entry at least. fits is
// false if there is no such quorum.
//
// What counts is room for the entry with the same fence everywhere: its place. The window takes the
// masters with the latest terms: as few as contain such a quorum. The window ends with
// the earliest of their terms.
func (e *Entry) window(now clock.Instant) (until clock.Instant, fits bool) {
	var chosen vote.Set
	for {
		next := -1
		for i := range e.masters {
			m := &e.masters[i]
			if m.stands && m.hasRoom && m.fence == e.place && m.term > now && !chosen.Has(i) && (next < 0 || m.term > e.masters[next].term) { //mutant:room-counts
				next = i
			}
		}
		if next < 0 {
			return 0, false
		}
		chosen |= vote.Only(next)
		if e.room.Suffices(e.cfg.System, chosen) { //mutant:admission-quorum
			return e.masters[next].term, true //mutant:earliest-term
		}
	}
}
