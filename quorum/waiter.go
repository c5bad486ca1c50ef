package quorum

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// waiter is a caller of Acquire that contends for a lock on the masters.
//
// It has a place in each master's queue for the lock, by a ticket from the
// masters' own clocks. Whoever releases the lock hands it on, on each master in
// one step, to the waiter with the lowest ticket there, and the master tells that
// waiter. When it was granted the lock by a majority, it claims it: with one more
// round, by the rules of any attempt. So nothing that a master says to a waiter,
// and no order that they keep, has a part in the lock's safety.
//
// The rest is for what goes wrong. A waiter renews its place now and then, which
// tells it how things stand: it may have been granted the lock without hearing of
// it, or nobody may have it, because the holder died. Then the first in the queue
// claims it, and if that does nothing, the next a second later, and so on. What
// was granted by too few masters for a while, because they disagree who is first,
// is given back to those who are before it.
type waiter struct {
	acquisition
	manager *Manager
	ticket  int64
	wake    chan struct{} // something has changed

	failures int           // claims that failed
	attempts int           // plain attempts that failed
	rested   clock.Instant // no claim of what nobody has before this
	poll     clock.Instant // the next plain attempt, where there is no queue

	mu    sync.Mutex // guards all below, and the places of entries
	entry *entry     // nil once it has left the queue
}

// entry is a waiter's entry in the queues, under a token of its own. A token that
// was given up is never counted again, so the waiter's next entry has another; its
// ticket stays the same.
type entry struct {
	waiter   *waiter
	claim    *claim
	question question
	jitter   float64 // from 0 to 1
	places   []place

	granted clock.Instant // when the first of the grants there are came; 0 for none
	vacant  clock.Instant // when a majority was first seen to have no token; 0 if it has
}

// place is an entry's place on one master.
type place struct {
	underway bool
	again    bool          // ask once more when that is answered
	asked    clock.Instant // when it was asked last; 0 if never
	heard    clock.Instant // when it last told something; 0 if never
	due      clock.Instant // when to ask again
	outcome  Outcome       // Held: granted to this entry
	err      error         // why it is Refused
	left     time.Duration // what the key had left when it was heard of, or the guard that holds the master out; negative for ever
	rank     int64         // how many are before this waiter
	polls    int           // how often it was asked because no message can be expected
	hurried  int           // how often in a row it was asked sooner than usual
}

const (
	// lease is for how long a master keeps a place that is not renewed.
	lease = 15 * time.Second
	// leastGrant and mostGrant bound for how long a waiter is granted the lock. It is
	// what those behind a dead one wait.
	leastGrant = 500 * time.Millisecond
	mostGrant  = 2 * time.Second
	// shortestRenewal is how often the first in the queue asks how things stand.
	// The others do so less often the more are before them, up to longestRenewal.
	shortestRenewal = 500 * time.Millisecond
	longestRenewal  = 5 * time.Second
	// patience is how long each waiter is given to claim what nobody has, before
	// the next one does.
	patience = time.Second
)

// step is what a waiter does next.
type step uint8

const (
	stay    step = iota
	claimIt      // take the lock with the entry's token
	giveUp       // give back what too few masters have granted
	attempt      // as if there were no queue
)

func (m *Manager) newWaiter(a acquisition) *waiter {
	return &waiter{acquisition: a, manager: m, wake: make(chan struct{}, 1)}
}

// grant is for how long a waiter is granted the lock, to claim it.
func (m *Manager) grant() time.Duration {
	return min(max(m.opts.AttemptTimeout, leastGrant), mostGrant)
}

// acquire takes a lock, waiting for it: for its turn among those in this process,
// and then among those on the masters.
//
// Whoever wins too late for any validity to be left lets the others go first: it
// may be that its TTL is hopeless, and theirs are not.
func (m *Manager) acquire(ctx context.Context, a acquisition) (*Lock, error) {
	w := m.newWaiter(a)
	for {
		l, err := w.acquire(ctx)
		var failure *AttemptError
		if err == nil || !errors.As(err, &failure) || !failure.late {
			return l, err
		}
		if !m.sleep(ctx, w.pause(w.attempts+w.failures)) {
			return nil, m.waitedInVain(ctx, a, failure)
		}
	}
}

// acquire is Manager.acquire for one turn.
func (w *waiter) acquire(ctx context.Context) (*Lock, error) {
	m := w.manager
	key := m.opts.Prefix + w.name
	ln, ok := m.takeTurn(ctx, key)
	if !ok {
		return nil, m.waitedInVain(ctx, w.acquisition, m.lines.why(ln))
	}
	got := clock.Never
	defer func() { m.lines.pass(key, ln, got) }() // also when a client's code panics
	l, err := w.contend(ctx, key, ln)
	if err == nil {
		got = m.opts.Clock.Now()
	}
	return l, err
}

// waitedInVain makes the error of an acquisition that ctx or Close ended. It changes
// nothing about the last failure: those behind in the line may be looking at it.
func (m *Manager) waitedInVain(ctx context.Context, a acquisition, last *AttemptError) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if last == nil {
		last = m.unsentError("acquire", a.name, nil)
	}
	failure := *last
	failure.reasons = append(last.reasons[:1:1], ended(ctx)...)
	failure.Masters = slices.Clone(last.Masters) // they are the caller's now
	return &failure
}

// contend makes attempts, and waits in the masters' queues in between, until one
// attempt wins, be it too late, ctx ends, or the Manager is closed.
func (w *waiter) contend(ctx context.Context, key string, ln *line) (*Lock, error) {
	m := w.manager
	defer w.leave(anyone)
	next := attempt
	if m.lines.isHot(key, m.opts.Clock.Now()) && ctx.Err() == nil {
		next = stay
	}
	last := m.lines.contend(ln, w) // the last attempt that ctx did not interrupt, be it another's
	for {
		l, err := w.take(ctx, next)
		var failure *AttemptError
		switch {
		case l != nil:
			return l, nil
		case errors.As(err, &failure):
			if last == nil || ctx.Err() == nil {
				last = failure
				m.lines.note(ln, failure)
			}
			if failure.late && ctx.Err() == nil {
				return nil, failure
			}
		case err != nil:
			return nil, err
		}
		if next, err = w.await(ctx); err != nil {
			return nil, err
		}
		if next == stay {
			return nil, m.waitedInVain(ctx, w.acquisition, w.why(last))
		}
	}
}

// take makes the attempt that is due, if one is.
func (w *waiter) take(ctx context.Context, s step) (*Lock, error) {
	m := w.manager
	switch s {
	case attempt:
		l, _, err := m.attempt(ctx, w.acquisition)
		if err != nil {
			w.poll = m.opts.Clock.Now().Add(w.pause(w.attempts))
			w.attempts++
		}
		return l, err
	case claimIt:
		e := w.withdraw()
		c := e.claim
		l, err := m.attemptAs(ctx, w.acquisition, c, c.claimQuestion(w.ttl, m.proposal(m.opts.Clock.Now())))
		if err != nil {
			w.rested = m.opts.Clock.Now().Add(w.pause(w.failures))
			w.failures++
		}
		return l, err
	case giveUp:
		w.leave(heir(strconv.FormatInt(w.ticket, 10)))
	case stay:
	}
	return nil, nil
}

// pause is how long to wait after a failed try.
func (w *waiter) pause(n int) time.Duration {
	return backoff(w.manager.opts.MinBackoff, w.manager.opts.MaxBackoff, n, strconv.FormatInt(int64(n)^w.ticket, 36)+w.name)
}

// withdraw takes the waiter's entry away from it, for its token to be used up.
func (w *waiter) withdraw() *entry {
	w.mu.Lock()
	e := w.entry
	w.entry = nil
	w.mu.Unlock()
	if e != nil {
		w.manager.inbox.unregister(e)
	}
	return e
}

// leave leaves the queues, in the background, and hands on what was granted.
func (w *waiter) leave(to heir) {
	if e := w.withdraw(); e != nil {
		now := w.manager.opts.Clock.Now()
		e.claim.abandon(now)
		e.claim.leave(to, now, 0)
	}
}

// await waits until there is something to do. It returns stay if ctx ended or the
// Manager was closed before.
func (w *waiter) await(ctx context.Context) (step, error) {
	m := w.manager
	if ctx.Err() != nil || m.closed.Load() {
		return stay, nil
	}
	if err := w.enqueue(ctx); err != nil {
		return stay, err
	}
	timer := m.timer(0)
	defer m.keep(timer)
	for {
		now := m.opts.Clock.Now()
		s, due, next := w.assess(now)
		if s != stay {
			return s, nil
		}
		for _, i := range due {
			w.entry.send(i, now)
		}
		timer.Reset(max(next.Sub(now), shortestTimer))
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
			return stay, nil
		case <-m.done:
			return stay, nil
		}
	}
}

// enqueue makes a new entry, if there is none.
func (w *waiter) enqueue(ctx context.Context) error {
	m := w.manager
	if w.entry != nil {
		return nil
	}
	c, err := m.newClaim(w.name)
	if err != nil {
		return err
	}
	c.enqueued = true
	c.asked(max(w.ttl, lease))
	e := &entry{waiter: w, claim: c, places: make([]place, len(m.masters)), jitter: share(c.token)}
	channel, err := m.inbox.register(e)
	if err != nil {
		return err
	}
	if w.ticket == 0 {
		w.ticket = m.newTicket(ctx, c)
	}
	e.question = c.waitQuestion(strconv.FormatInt(w.ticket, 10), lease, m.grant(), channel)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entry = e
	return nil
}

// newTicket returns what time it is on the masters. They are asked first, if they
// have never told before: whoever goes by its own clock might wait behind
// everybody, or before.
func (m *Manager) newTicket(ctx context.Context, c *claim) int64 {
	if m.toldTime() < m.quorum {
		r := newRound(c.waitQuestion("", lease, m.grant(), ""))
		start := m.opts.Clock.Now()
		deadline := start.Add(m.opts.AttemptTimeout)
		r.submit(start, deadline)
		r.wait(ctx, start, deadline)
	}
	return max(m.mastersTime(m.opts.Clock.Now()), 1)
}

// view is how things stand for an entry.
type view struct {
	grants, vacant, answered int
	pending                  int   // masters that were asked for the first time just now
	rank                     int64 // at most so many are before it, on a majority
}

// assess decides what to do, which masters to ask how things stand, and when to
// look again at the latest.
func (w *waiter) assess(now clock.Instant) (s step, due []int, next clock.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, e := w.manager, w.entry
	v := e.view(now)
	e.track(v, now)
	next = clock.Never
	look := func(at clock.Instant) bool { // tells whether that is now
		if at > now {
			next = min(next, at)
		}
		return at <= now
	}
	grace := m.grant() / 8
	switch {
	case v.grants >= m.quorum:
		return claimIt, nil, 0
	case v.grants+v.vacant >= m.quorum:
		turn := max(w.rested, e.vacant.Add(time.Duration(v.rank)*patience))
		if v.grants > 0 {
			turn = w.rested
		}
		if look(turn) && e.refresh(v.grants, turn, now) {
			return claimIt, nil, 0
		}
	case v.answered < m.quorum && v.answered+v.pending < m.quorum:
		if look(w.poll) {
			return attempt, nil, 0
		}
	}
	if v.grants > 0 && look(e.granted.Add(grace+time.Duration(e.jitter*float64(grace)))) {
		return giveUp, nil, 0
	}
	for i := range e.places {
		p := &e.places[i]
		at := e.dueAt(i)
		if !p.underway && look(at) {
			p.underway, p.asked = true, now
			due = append(due, i)
		}
	}
	return stay, due, next
}

// view counts what the masters have told.
func (e *entry) view(now clock.Instant) (v view) {
	m := e.waiter.manager
	ranks := make([]int64, 0, len(e.places))
	for i := range e.places {
		p := &e.places[i]
		switch {
		case p.outcome == Held && now.Sub(p.heard) < m.grant():
			v.grants++
			v.answered++
			ranks = append(ranks, 0)
		case p.outcome == Absent, p.outcome == Taken:
			v.answered++
			ranks = append(ranks, p.rank)
			if p.outcome == Absent {
				v.vacant++
			}
		case p.heldOut():
			v.answered++
			ranks = append(ranks, p.rank)
		case p.heard == 0 && p.underway && now.Sub(p.asked) < m.opts.AttemptTimeout/2, p.asked == 0:
			v.pending++
		}
	}
	slices.Sort(ranks)
	if len(ranks) >= m.quorum {
		v.rank = ranks[m.quorum-1]
	}
	return v
}

// heldOut tells whether nobody has the lock there, and the restart guard would not
// let anybody have it.
func (p *place) heldOut() bool { return p.outcome == Refused && errors.Is(p.err, ErrHeldOut) }

// track notes since when things are as they are.
func (e *entry) track(v view, now clock.Instant) {
	since := func(t *clock.Instant, so bool) {
		switch {
		case !so:
			*t = 0
		case *t == 0:
			*t = now
		}
	}
	since(&e.granted, v.grants > 0)
	since(&e.vacant, v.grants+v.vacant >= e.waiter.manager.quorum)
}

// refresh has masters asked again that told some time ago that nobody has the
// lock: those before this waiter have had time to take it. It returns whether
// enough of them have told since, with the grants there are. One that hangs now is
// not waited for.
func (e *entry) refresh(grants int, turn, now clock.Instant) bool {
	fresh := grants
	for i := range e.places {
		p := &e.places[i]
		switch {
		case p.outcome != Absent:
		case p.asked < turn && now.Sub(p.heard) > patience/4:
			p.due = 0
		default:
			fresh++
		}
	}
	return fresh >= e.waiter.manager.quorum
}

// dueAt returns when to ask a master how things stand: when that is due anyway, and
// soon if others have granted the lock and it has not told anything since.
func (e *entry) dueAt(master int) clock.Instant {
	p := &e.places[master]
	if e.vacant > 0 && p.outcome == Absent && p.rank > 0 { // the one before is about to take it
		return min(p.due, p.heard.Add(min(firstHurry<<p.hurried, longestHurry)))
	}
	if e.granted > 0 && p.outcome != Held && p.asked <= e.granted {
		return min(p.due, e.granted.Add(e.waiter.manager.grant()/32))
	}
	return p.due
}

// send asks one master how things stand. It has been marked as under way. Each time
// it is an operation of its own: the lane is not done with the last one when that
// one's answer is settled, and the next may be due by then.
func (e *entry) send(master int, now clock.Instant) {
	m := e.waiter.manager
	m.lanes.SubmitTo(master, e.claim.sequence, &operation{
		Payload: request{question: &e.question, master: uint8(master)},
		Owner:   e, Deadline: time.Duration(now.Add(m.opts.AttemptTimeout)),
	})
}

// Settle notes what a master has told.
func (e *entry) Settle(op *operation, dropped error) {
	q := &op.Payload
	outcome, err := q.read(dropped)
	e.claim.note(q, outcome, dropped)
	m := e.waiter.manager
	now := m.opts.Clock.Now()
	e.waiter.mu.Lock()
	asked := e.places[q.master].asked
	e.places[q.master].settle(e, q, outcome, err, now)
	e.waiter.mu.Unlock()
	if q.vote.unheard && m.masters[q.master].cluster == nil { // a Cluster tells on every node
		m.inbox.subscribed[q.master].unheard(asked)
	}
	e.waiter.nudge()
}

// settle takes in an answer. A grant that a message told of while the question was
// under way is later than the answer.
func (p *place) settle(e *entry, q *request, o Outcome, err error, now clock.Instant) {
	p.underway = false
	switch {
	case o == Held && p.outcome == Held:
	case p.outcome == Held && p.heard >= p.asked && o != Refused:
	default:
		p.outcome, p.err, p.heard = o, err, now
		p.left, p.rank = q.vote.left, q.vote.rank
	}
	p.due = now.Add(e.interval(int(q.master)))
	if p.again { // it may have been asked before what it is to be asked for
		p.due, p.again = now, false
	}
}

// interval is how long to wait before a master is asked again.
func (e *entry) interval(master int) time.Duration {
	w := e.waiter
	p := &e.places[master]
	pause := min(shortestRenewal+time.Duration(p.rank)*shortestRenewal/4, longestRenewal)
	pause -= time.Duration(e.jitter * float64(pause) / 4)
	pause = p.hurry(pause)
	if w.manager.inbox.subscribed[master].active() {
		p.polls = 0
		return pause
	}
	p.polls++
	return min(pause, backoff(w.manager.opts.MinBackoff, max(w.manager.grant()/8, w.manager.opts.MinBackoff), p.polls, e.claim.token))
}

// hurry shortens a pause where the master is about to have something new to say: when
// the holder's key should expire, or the guard is over. Each further time in a row
// takes twice as long, in case it says the same again.
func (p *place) hurry(pause time.Duration) time.Duration {
	if p.outcome == Absent {
		p.hurried = min(p.hurried+1, mostHurried)
		return pause // see dueAt
	}
	soon := pause
	if (p.outcome == Taken || p.heldOut()) && p.rank == 0 && p.left >= 0 {
		soon = min(p.left, pause) + time.Millisecond
	}
	if soon > longestHurry {
		p.hurried = 0
		return min(soon, pause)
	}
	again := max(soon, min(soon<<p.hurried, longestHurry))
	p.hurried = min(p.hurried+1, mostHurried)
	return min(again, pause)
}

const (
	firstHurry   = 8 * time.Millisecond
	longestHurry = 100 * time.Millisecond
	mostHurried  = 10
)

// told is called when a message says that a master has granted the lock.
func (e *entry) told(master int) {
	now := e.waiter.manager.opts.Clock.Now()
	e.waiter.mu.Lock()
	p := &e.places[master]
	p.outcome, p.err, p.heard = Held, nil, now
	e.waiter.mu.Unlock()
	e.waiter.nudge()
}

// ask has a master asked soon.
func (e *entry) ask(master int) {
	e.waiter.mu.Lock()
	e.places[master].due, e.places[master].again = 0, e.places[master].underway
	e.waiter.mu.Unlock()
	e.waiter.nudge()
}

func (w *waiter) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// why returns why the waiter has not got the lock: by what the masters told last,
// if that says that it is taken, and otherwise by the last attempt.
func (w *waiter) why(last *AttemptError) *AttemptError {
	m := w.manager
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entry == nil {
		return last
	}
	failure := m.unsentError("acquire", w.name, nil)
	for i := range w.entry.places {
		if p := &w.entry.places[i]; p.heard != 0 {
			failure.Masters[i].Outcome = p.outcome
			failure.Masters[i].Err = redact(p.err, w.entry.claim.token, m.masters[i].password)
		}
	}
	if failure.Count(Taken) <= len(m.masters)-m.quorum && last != nil {
		return last
	}
	if failure.Count(Taken) > len(m.masters)-m.quorum {
		failure.reasons[0] = ErrTaken
	}
	return failure
}
