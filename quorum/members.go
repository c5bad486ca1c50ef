package quorum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// ErrOtherMasters means that other clients use some of this Manager's masters as another set. A
// quorum of theirs need not meet one of this Manager's, so it must not lock beside them. The
// error's text names both sets, and says what to do.
var ErrOtherMasters = errors.New("quorum: others use another set of masters")

// members makes sure that the Manager's masters are the set that their other clients use. Each
// request that grants or keeps something says which record the Manager accepts, and a master with
// another record refuses it; see package membership. So it usually costs no round trip. Only when a
// master's record is not the expected one, all masters are asked for theirs. Its goroutine does
// that.
type members struct {
	engine *engine
	key    string // of the masters' records
	off    bool
	wake   chan struct{} // gets a value when a census begins while none is under way

	mu      sync.Mutex // guards the fields below
	book    *membership.Book
	current *census       // under way; nil for none
	next    *census       // begins as soon as the current one ends; nil for none
	last    clock.Instant // when the last one ended
	errs    []error       // by master: why it could not write its record the last time; nil if it could
}

// census is one time that all masters are asked for their records.
type census struct {
	began   clock.Instant
	done    chan struct{} // closed when it is over
	learned bool          // some master has answered; set before done is closed
}

// leaseMargin is how much longer a master's lease lasts than what a request asks for. A waiter's
// place in a queue lasts for up to 15 s without a request, and what it is granted for 2 s more.
const leaseMargin = 20 * time.Second

// fencesAhead is how far a fence may be ahead of the masters' time: see propose in fence.lua. New
// masters know no fences, so a lease lasts for that long at least.
const fencesAhead = time.Minute

// longestNeed keeps a lease within what servers accept: they add a margin of their own.
const longestNeed = math.MaxInt64 - time.Minute

// censusPause is how often the masters are asked for their records at most, if nobody waits for it.
const censusPause = 100 * time.Millisecond

func newMembers(e *engine) *members {
	m := &members{engine: e, key: wire.SetKey(e.opts.Prefix), off: e.opts.AnyMasters, wake: make(chan struct{}, 1)}
	names := make([]string, len(e.masters))
	m.errs = make([]error, len(e.masters))
	for i, master := range e.masters {
		names[i] = master.Address()
		m.off = m.off || !master.HasRecord()
	}
	if e.opts.Fencing {
		raise(&e.longest, int64(fencesAhead)) //mutant:lease-of-fences
	}
	m.book = membership.NewBook(e.system, names)
	for _, master := range e.masters {
		if !m.off {
			master.Join(m)
		}
	}
	return m
}

// Member returns which record the Manager accepts of a master.
func (m *members) Member(master int) wire.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	need := min(time.Duration(m.engine.longest.Load()), longestNeed) + leaseMargin //mutant:lease-margin
	return wire.Member{Key: m.key, Tag: m.book.Tag(master), Need: need}
}

// Foreign tells of a master's record that was not the expected one.
func (m *members) Foreign(master int, record string) (accepted bool) {
	r, err := membership.Parse(record)
	m.mu.Lock()
	defer m.mu.Unlock()
	return err == nil && r != nil && m.book.Saw(master, r)
}

// refused tells that a master refused a request because of its record. It returns what to say.
func (m *members) refused(master int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.engine.clock.Now(); m.current == nil && (m.last == 0 || now.Sub(m.last) >= censusPause) {
		m.begin()
	}
	switch {
	case m.book.Err() != nil:
		return errNotUsed
	case m.book.ErrOf(master) != nil:
		return fmt.Errorf("%w: %w", errOfOthers, m.book.ErrOf(master))
	case m.errs[master] != nil: // it has no record because of that
		return m.errs[master]
	}
	return errNoRecord
}

var (
	errNotUsed  = errors.New("not used, because of the set of masters")
	errOfOthers = errors.New("has a record of another set of masters")
	errNoRecord = errors.New("has no record of its set of masters yet")
)

// isUnsettled reports whether a master refused a request because it has no record, or one that is
// not known yet.
func isUnsettled(a *wire.Answer) bool { return a.Foreign && !errors.Is(a.Err, errNotUsed) }

// begin makes the goroutine ask all masters from now on, or from when it is done with what it does.
// The caller holds mu.
func (m *members) begin() *census {
	now := m.engine.clock.Now()
	switch {
	case m.current == nil:
		m.current = &census{began: now, done: make(chan struct{})}
		m.wake <- struct{}{} // it has room: none was under way
		return m.current
	case m.current.began == now:
		return m.current
	case m.next == nil:
		m.next = &census{done: make(chan struct{})}
	}
	return m.next
}

// end ends the current census, and begins the next one if there is one.
func (m *members) end(learned bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = m.engine.clock.Now()
	m.current.learned = learned
	close(m.current.done)
	if m.current, m.next = m.next, nil; m.current != nil {
		m.current.began = m.last
		m.wake <- struct{}{}
	}
}

// settle asks all masters for their records. It reports whether any has answered, so that a request
// that was refused may be repeated, or will be refused for a better reason. It waits no longer than
// until, and returns at once when ctx ends or the Manager is closed.
func (m *members) settle(ctx context.Context, until clock.Instant) bool {
	m.mu.Lock()
	c := m.begin()
	m.mu.Unlock()
	timer := m.engine.timers.take(until.Sub(m.engine.clock.Now())) //mutant:settle-until
	defer m.engine.timers.giveBack(timer)
	select {
	case <-c.done:
		return c.learned
	case <-timer.C:
	case <-ctx.Done():
	case <-m.engine.done:
	}
	return false
}

// err returns why the Manager may not use the masters, or nil.
func (m *members) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.book.Err()
	var twins *membership.TwinError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &twins):
		return fmt.Errorf("quorum: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrOtherMasters, err)
}

// run asks the masters whenever somebody wants that, until stop is closed.
func (m *members) run(stop <-chan struct{}) {
	for {
		select {
		case <-m.wake:
		case <-stop:
			return
		}
		m.end(m.learn())
	}
}

// learn asks all masters, and writes the records that are missing. If others used the masters as
// another set, and everything is over that was granted to them, this Manager's set takes over.
// It reports whether any master has answered.
func (m *members) learn() (answered bool) {
	ctx := context.Background()
	views, writes := m.ask(ctx, nil)
	answered = slices.ContainsFunc(views, func(v membership.View) bool { return v.Answered })
	for n := 0; n < maxTakeover && writes != nil; n++ {
		views, writes = m.ask(ctx, writes)
	}
	change := membership.Change{Idle: true}
	for n := 0; n < maxTakeover && m.err() != nil && !m.engine.system.IsJoint(); n++ { //mutant:idle-takeover
		step := m.step(&change, views)
		if step.Done || step.Wait > 0 || step.Lack != "" {
			break
		}
		views, _ = m.ask(ctx, step.Writes)
	}
	return answered
}

// maxTakeover is how many rounds it takes at most to take over masters: to seal and to open them,
// and as many again if some do not answer.
const maxTakeover = 4

func (m *members) step(c *membership.Change, views []membership.View) membership.Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	return c.Step(m.book, views)
}

// ask asks all masters for their records, and writes new ones before. It returns what they say, and
// what to write to them then; nil for nothing. It does not wait for stragglers for much longer than
// for a quorum.
func (m *members) ask(ctx context.Context, writes []*membership.Write) ([]membership.View, []*membership.Write) {
	e := m.engine
	c := &claim{sequence: e.lanes.NewSequence(), subject: wire.NewSubject(m.key, "", e.opts.Fencing, e.opts.RestartGuard)}
	r := newRound(e, c, c.subject.Members(m.key, m.writes(ctx, writes)))
	poll := &poll{answers: make(chan int, len(e.masters))}
	r.observer = poll
	now := e.clock.Now()
	r.submit(now, now.Add(e.opts.AttemptTimeout))
	poll.await(ctx, r)
	views, results := r.views(), r.results()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, result := range results {
		switch {
		case result.Outcome == Refused:
			m.errs[i] = result.Err
		case views[i].Record != nil:
			m.errs[i] = nil
		}
	}
	next := m.book.Learn(views)
	if !slices.ContainsFunc(next, func(w *membership.Write) bool { return w != nil }) {
		next = nil
	}
	return views, next
}

// writes makes the requests of ask.
func (m *members) writes(ctx context.Context, writes []*membership.Write) []wire.Write {
	all := make([]wire.Write, len(m.engine.masters))
	for i := range all {
		if m.engine.masters[i].Address() == "" {
			all[i].ID = m.engine.newToken(ctx, time.Time{}, "")
		}
		if writes != nil && writes[i] != nil {
			w := writes[i]
			all[i].Expect, all[i].Record, all[i].Idle = w.Expect, w.Record.Text(), w.Idle
		}
	}
	return all
}

// views returns what the masters have said in a round.
func (r *round) views() []membership.View {
	views := make([]membership.View, len(r.ops))
	r.each(func(master int, a *wire.Answer) {
		if a.Member == nil {
			return
		}
		v := &views[master]
		v.Answered, v.ID, v.Lease, v.Quarantine, v.Forgot = true, a.Member.ID, a.Member.Lease, a.Member.Quarantine, a.Member.Forgot
		v.Now = r.ops[master].Payload.Time / 1000
		var err error
		if v.Record, err = membership.Parse(a.Member.Record); err != nil {
			v.Unreadable = true
		}
	})
	return views
}

// poll waits for the answers to a round that wants those of all masters.
type poll struct{ answers chan int }

// answered counts an answer.
func (p *poll) answered(master int, _ *wire.Answer, _ bool, _ vote.Verdict) { p.answers <- master } // it has room for all

// await waits until all masters have answered. Once a quorum has, or no longer can, it waits for as
// long again, plus classifyGrace.
func (p *poll) await(ctx context.Context, r *round) {
	e := r.engine
	timer := e.timers.take(r.deadline.Sub(r.sent) + classifyGrace)
	defer e.timers.giveBack(timer)
	hurries := false
	for left := len(r.ops); left > 0; left-- {
		select {
		case <-p.answers:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
		answered := r.with(vote.Held)
		if !hurries && (e.system.HasQuorum(answered) || !e.system.HasQuorum(answered|r.pending())) {
			hurries = true
			timer.Reset(e.clock.Now().Sub(r.sent) + classifyGrace)
		}
	}
}

// pending returns the masters that have yet to answer.
func (r *round) pending() vote.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.system.All() &^ r.tally.Settled()
}

var _ redisconn.Membership = (*members)(nil)
