package quorum

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/ledger"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
)

// engine is the state that all parts of a Manager share: the masters, the lanes to them, the clock,
// the options, and what the Manager remembers about tokens and locks. It makes claims and applies
// the effects of answers. Lock, the waiters and the Manager refer to it; it refers to none of them.
//
// There is no lock order to know: no goroutine holds two of this package's mutexes at once. Nor
// does any goroutine call a lane, a client or a context while it holds one.
type engine struct {
	opts    Options
	clock   clock.Clock
	system  vote.System
	masters []*redisconn.Master
	lanes   *fanout.Group[wire.Call]

	newToken func(ctx context.Context, made time.Time, owner string) string

	statuses   []*masterStatus // one per master
	set        setKeeper
	longest    atomic.Int64 // how long anything may last that the Manager asks masters for
	offsets    clockOffsets
	contention contention
	retired    retiredTokens
	releasers  []*releaser // one per master
	expiry     *expiryLoop
	held       heldLocks
	events     *dispatcher
	timers     timerPool

	calls  inFlight      // running calls of the Manager's methods
	closed atomic.Bool   // Close has begun
	done   chan struct{} // closed when Close begins
}

// setKeeper knows whether the masters may be used together; see members.
type setKeeper interface {
	// refused tells that a master refused a request because of its record. It returns what to say.
	refused(master int) error
	// err returns why no master may be used, or nil.
	err() error
	// settle asks the masters for their records; see members.settle.
	settle(ctx context.Context, until clock.Instant) bool
}

const (
	// maxPipelines is how many calls to one master may be in flight at once. With a round trip of 2
	// ms, 4 performed nearly as well as 8.
	maxPipelines = 4
	// maxBatch and maxQueue bound how many operations one call carries, and how many wait for a
	// call.
	maxBatch = 1024
	maxQueue = 1 << 16
)

func newEngine(masters []*redisconn.Master, system vote.System, opts Options) *engine {
	e := &engine{
		opts: opts, clock: opts.Clock, masters: masters, system: system,
		expiry:   newExpiryLoop(opts.Clock, opts.hooks.Settle),
		newToken: func(_ context.Context, made time.Time, owner string) string { return token.New(made, owner) },
		done:     make(chan struct{}),
	}
	if opts.hooks.Token != nil {
		e.newToken = opts.hooks.Token
	}
	e.offsets = newClockOffsets(len(masters), opts.hooks.Wall)
	e.events = newDispatcher(opts.Events, e.offsets.wall)
	for i := range masters {
		e.statuses = append(e.statuses, e.newStatus(i))
	}
	e.lanes = fanout.New(e.laneConfig(), func(ctx context.Context, lane int, batch []*redisconn.Op) error {
		sent := e.clock.Now()
		err := masters[lane].Send(ctx, batch)
		e.statuses[lane].called(sent, err)
		return err
	})
	for i := range masters {
		e.releasers = append(e.releasers, newReleaser(e, i))
	}
	return e
}

func (e *engine) laneConfig() fanout.Config[wire.Call] {
	return fanout.Config[wire.Call]{
		Lanes: len(e.masters), Pipelines: maxPipelines, Batch: maxBatch, Queue: maxQueue,
		Stall:   e.opts.AttemptTimeout,
		Now:     func() time.Duration { return time.Duration(e.clock.Now()) },
		Changed: func(lane int) { e.statuses[lane].tell() },
		Quiesce: e.opts.hooks.Quiesce,
		Order: func(a, b *wire.Call) int {
			x, y := a.Request, b.Request
			return cmp.Or(cmp.Compare(x.Subject.Token, y.Subject.Token), cmp.Compare(x.Subject.Key, y.Subject.Key), cmp.Compare(x.Op, y.Op))
		},
	}
}

func (e *engine) newStatus(master int) *masterStatus {
	return &masterStatus{
		master: master, conn: e.masters[master], clock: e.clock, wall: e.offsets.wall,
		silent: func() bool { return e.lanes.NotAnswering(master) }, stall: e.opts.AttemptTimeout,
		events: masterTeller{e.events, e.masters},
	}
}

// enter counts a call of one of the Manager's methods, unless the Manager is closed. exit ends the
// call.
func (e *engine) enter() error {
	e.calls.add(1)
	if e.closed.Load() {
		e.calls.done()
		return ErrClosed
	}
	return nil
}

func (e *engine) exit() { e.calls.done() }

// sleep waits for d. It returns false at once when ctx ends or the Manager is closed.
func (e *engine) sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := e.timers.take(d)
	defer e.timers.giveBack(timer)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-e.done:
	}
	return false
}

// over returns why a call cannot go on: ErrClosed, ctx's error, or nil if it can.
func (e *engine) over(ctx context.Context) error {
	if e.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// newClaim makes a claim on the lock called name, for a call whose context is ctx. Its fresh token
// tells the current time by the masters' clocks.
func (e *engine) newClaim(ctx context.Context, name string) *claim {
	return e.claimWith(name, e.newToken(ctx, e.mastersTime(), e.opts.Owner)) //mutant:fresh-token
}

// newWaitersClaim is newClaim for a waiter, who may get the lock much later. So its token tells no
// time.
func (e *engine) newWaitersClaim(ctx context.Context, name string) *claim {
	return e.claimWith(name, e.newID(ctx))
}

// newID returns a fresh random text that names the owner.
func (e *engine) newID(ctx context.Context) string {
	return e.newToken(ctx, time.Time{}, e.opts.Owner)
}

// proposal returns the fence that a request proposes, or 0 without fencing.
func (e *engine) proposal() int64 {
	if !e.opts.Fencing {
		return 0
	}
	return vote.Propose(e.offsets.mastersTime(e.clock.Now()))
}

// mastersTime returns the current time by the masters' clocks.
func (e *engine) mastersTime() time.Time {
	return time.UnixMicro(e.offsets.mastersTime(e.clock.Now()))
}

// claimWith makes a claim with the given token, or with "" for a claim that only inspects.
func (e *engine) claimWith(name, token string) *claim {
	return &claim{
		name:     name,
		subject:  wire.NewSubject(e.opts.Prefix+name, token, e.opts.Fencing, e.opts.RestartGuard),
		sequence: e.lanes.NewSequence(),
		noted:    &e.longest,
	}
}

// apply applies the effects that one master's answer has regardless of the verdict on its request.
// Every answer to a round or a repair passes through it once.
func (e *engine) apply(c *claim, call *wire.Call, a *wire.Answer, dropped error) {
	master := int(call.Master)
	if a.Foreign {
		a.Err = e.set.refused(master)
	}
	if call.Time != 0 {
		e.offsets.note(master, call.Time, clock.Instant(call.Sent)) // to read the clock again would cost more than the rest
	}
	op := call.Request.Op
	if !e.deniesProbe(c, a) {
		if !errors.Is(a.Err, errNoRecord) { // which says nothing about the master
			e.statuses[master].answered(call, a, dropped)
		}
		c.record(master, vote.EffectOf(op, a.Outcome, a.Late), clock.Instant(call.Closed()))
	}
	if op == vote.Release {
		if a.HandedOn {
			e.contention.mark(c.subject.Key, e.clock.Now())
			e.tellHandedOn(c)
		}
		debt := ledger.Debt[*claim]{Lock: c, Heir: string(call.Request.Heir)}
		e.releasers[master].settle(debt, a.Outcome, clock.Instant(call.Sent), dropped) //mutant:release-settled
	}
}

// deniesProbe reports whether a master refused Check's own name. The names in use may be allowed,
// so that says nothing about the master, and nothing of the probe is there.
func (e *engine) deniesProbe(c *claim, a *wire.Answer) bool {
	return c.probe && e.opts.Prefix == "" && wire.ForbidsKey(a.Err) //mutant:probed-name
}

// retire makes the Manager remember the token of a failed claim as its own, for as long as masters
// may store it. It must be called before the token is released.
func (e *engine) retire(c *claim, now clock.Instant) {
	if c.retire(e.system.Masters()) {
		e.retired.add(c.subject.Token, now.Add(c.life(e.opts.Drift)), now)
	}
}

// timerPool reuses timers. Every wait needs one, and hardly any fires.
type timerPool struct{ pool sync.Pool }

// take returns a timer that fires after d. giveBack takes it back.
func (p *timerPool) take(d time.Duration) *time.Timer {
	if t, ok := p.pool.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (p *timerPool) giveBack(t *time.Timer) {
	t.Stop() // nothing is left in its channel after this
	p.pool.Put(t)
}
