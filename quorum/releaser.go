package quorum

import (
	"errors"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/ledger"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// releaser repeats the releases that one master is owed, from its own goroutine. Its ledger decides
// which releases those are and when each is due.
type releaser struct {
	master  int
	name    string // the master's
	events  *dispatcher
	clock   clock.Clock
	drift   clock.Drift
	lanes   *fanout.Group[wire.Call]
	retired *retiredTokens
	status  *masterStatus
	owing   inFlight // releases that are neither delivered nor given up
	wake    signal   // the ledger has changed

	mu     sync.Mutex // guards ledger
	ledger *ledger.Ledger[*claim]
}

func newReleaser(e *engine, master int) *releaser {
	return &releaser{
		master: master, name: e.masters[master].Name(), events: e.events, status: e.statuses[master],
		clock: e.clock, drift: e.opts.Drift, lanes: e.lanes, retired: &e.retired,
		wake: newSignal(), ledger: ledger.New(e.opts.MaxPendingReleases, (*claim).compare),
	}
}

// settle handles the result of one try to release a claim, which was sent at the given instant.
// Either the release is done, or it becomes a debt.
func (r *releaser) settle(d ledger.Debt[*claim], o vote.Outcome, sent clock.Instant, dropped error) {
	c := d.Lock
	inDoubt, until := c.inDoubt(r.master, sent)
	a := ledger.Answer{
		Gone:       o == vote.Taken || o == vote.Absent,
		Sent:       dropped == nil,
		Final:      errors.Is(dropped, fanout.ErrSuperseded),
		Closed:     errors.Is(dropped, fanout.ErrClosed),
		InDoubt:    inDoubt,
		DoubtEnds:  until,
		MayStand:   c.mayStore(r.master),
		MayHaveKey: c.mayHaveKey(r.master),
	}
	if d.Settled(a) { // as nearly always
		r.end(ledger.Ended[*claim]{Lock: c, Gone: true})
		return
	}
	a.Life = c.life(r.drift)
	now := r.clock.Now()
	r.mu.Lock()
	ended, entered := r.ledger.Settle(d, a, now)
	r.mu.Unlock()
	r.end(ended...)
	if entered {
		r.wake.raise()
	}
	if entered && !a.Gone && c.owe(r.master) {
		r.events.owed(c, r.name)
	}
}

// end stops tracking claims on this master.
func (r *releaser) end(all ...ledger.Ended[*claim]) {
	for _, ended := range all {
		if ended.Gone && ended.Lock.noteGone() {
			r.retired.remove(ended.Lock.subject.Token, r.clock.Now())
		}
		if ended.LeftToExpire {
			r.events.givenUp(ended.Lock, r.name)
		}
		r.owing.done()
	}
}

// close makes every debt due now.
func (r *releaser) close() {
	now := r.clock.Now()
	r.mu.Lock()
	r.ledger.Close(now)
	r.mu.Unlock()
	r.wake.raise()
}

// leftByClose gives up the releases that are still owed, and returns the claims whose keys Close
// has left to expire.
func (r *releaser) leftByClose() []*claim {
	r.mu.Lock()
	left, ended := r.ledger.GiveUp()
	r.mu.Unlock()
	r.end(ended...)
	return left
}

// pending returns how many releases have yet to be delivered to the master, and how many keys were
// left to expire instead.
func (r *releaser) pending() (releases int, leftToExpire uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.Pending(), r.ledger.LeftToExpire()
}

// run pays debts when they are due, until stop is closed.
func (r *releaser) run(stop <-chan struct{}) {
	loop(stop, r.wake, func() time.Duration {
		for _, debt := range r.take() {
			r.pay(debt)
		}
		return r.untilNext()
	})
}

// take returns the debts that are due now.
func (r *releaser) take() []ledger.Debt[*claim] {
	now, silent := r.clock.Now(), r.lanes.NotAnswering(r.master)
	r.mu.Lock()
	due, ended := r.ledger.Take(now, silent)
	r.mu.Unlock()
	r.end(ended...)
	return due
}

func (r *releaser) untilNext() time.Duration {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.UntilNext(now)
}

// payment is one more try to release a claim.
type payment struct {
	request  wire.Request
	op       redisconn.Op
	releaser *releaser
	debt     ledger.Debt[*claim]
}

func (r *releaser) pay(d ledger.Debt[*claim]) {
	c := d.Lock
	p := &payment{request: c.releaseRequest(wire.Heir(d.Heir), 0, r.clock.Now()), releaser: r, debt: d}
	p.op = redisconn.Op{ //mutant:payment
		Payload: wire.Call{Request: &p.request, Master: uint8(r.master)},
		Owner:   p, Deadline: time.Duration(d.Expires()), Undo: true,
	}
	r.lanes.SubmitTo(r.master, c.sequence, &p.op)
}

// Done re-enters the debt if it was not paid.
func (p *payment) Done(op *redisconn.Op, dropped error) {
	a := op.Payload.Read(dropped)
	r := p.releaser
	r.status.answered(&op.Payload, &a, dropped)
	r.settle(p.debt, a.Outcome, clock.Instant(op.Payload.Sent), dropped)
	r.mu.Lock()
	r.ledger.Tried()
	r.mu.Unlock()
	r.wake.raise()
}
