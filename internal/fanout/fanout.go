// Package fanout sends operations to all masters at once. Each master has its own lane, and one
// errgroup runs all lanes.
//
// A lane takes all queued operations and sends them as one pipeline. With one caller that is a
// single command. Under load, operations batch by themselves. Each lane guarantees:
//
//   - Order within a Sequence. A lane sends the next operation of a sequence only after the call
//     that carried the previous one has returned, including the client's own retries and timeouts.
//     By then the owner of the previous operation knows its result. This matters because a request
//     that timed out may still be in flight, and the master could execute a later request first.
//     Operations of different sequences may overtake each other.
//   - Nothing late. A lane drops an operation whose deadline has passed instead of sending it.
//   - No waiting for a master that does not answer. After a call has failed or stalled, the lane
//     sends one operation at a time to find out whether the master is back. It rejects the others
//     at once with ErrNotAnswering.
//   - Bounded memory and goroutines. Whatever its master does, a lane holds at most Config.Queue
//     waiting operations and has at most Config.Pipelines calls in flight.
//
// The package knows nothing about locks or Redis commands. The type parameter is what an operation
// carries, and a Send function executes it.
package fanout

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// Errors that say why an operation was never sent. The master never saw such an operation.
var (
	ErrExpired      = errors.New("fanout: deadline passed before sending")
	ErrNotAnswering = errors.New("fanout: master is not answering")
	ErrSuperseded   = errors.New("fanout: superseded before sending")
	ErrNothingSent  = errors.New("fanout: nothing was sent that needs undoing")
	ErrFull         = errors.New("fanout: too many operations queued")
	ErrClosed       = errors.New("fanout: closed")
)

// Send executes a batch of one or more operations on one lane's master, in order. It stores each
// operation's result in its Payload and returns only after the client's call has returned. It
// returns an error if the master did not answer at all. Its context is canceled when Close stops
// waiting.
type Send[P any] func(ctx context.Context, lane int, batch []*Op[P]) error

// Config bounds what a Group's lanes do. All fields except Changed, Quiesce and Order must be set.
type Config[P any] struct {
	Lanes     int                  // number of masters
	Pipelines int                  // most calls in flight in one lane
	Batch     int                  // most operations in one call
	Queue     int                  // most operations waiting in one lane
	Stall     time.Duration        // a call in flight for this long is stuck
	Now       func() time.Duration // the clock that deadlines refer to

	// Changed, if set, is called after NotAnswering has changed for a lane, even if nobody submits
	// anything or asks. Several goroutines may call it at the same time, for the same lane too, so
	// only NotAnswering tells the current state. The owners of a call's operations know their
	// results by then. The group holds no lock meanwhile. Changed must not block.
	Changed func(lane int)

	// Quiesce, if set, is called before a lane looks at its queue, and after it has told an
	// operation's owner (telling). Simulations use it to let everything else happen first that
	// happens at this instant. Order then sorts the queued operations. Together they give the same
	// history the same batches each time. Order must be set if Quiesce is.
	Quiesce func(lane int, telling bool)
	Order   func(a, b *P) int
}

// Op is one operation on one lane. An Op must be submitted only once, and must not be touched
// between Submit and Done.
type Op[P any] struct {
	Payload  P
	Owner    Owner[P]
	Deadline time.Duration // by Config.Now; the operation is not sent at or after it
	Undo     bool          // replaces its sequence's unsent operations; see SubmitTo

	seq        *slot[P]
	prev, next *Op[P] // neighbors in the lane's queue; next alone links the other lists
	dropped    error
}

// Owner learns the result of its operations.
type Owner[P any] interface {
	// Done settles an operation. It is called exactly once for each submitted operation. dropped is
	// nil if the operation was sent and Send has returned. Otherwise dropped is one of this
	// package's errors, and the operation was never sent. Done may be called before Submit returns.
	// The group holds no lock while it calls Done. Done must not block.
	Done(op *Op[P], dropped error)
}

// Sequence orders operations: on each lane they execute one after another. The zero Sequence is not
// usable; see Group.NewSequence.
type Sequence[P any] struct{ slots []slot[P] }

// slot is a sequence's state on one lane. The lane's mu guards it.
type slot[P any] struct {
	active  *Op[P] // queued in the lane, or in flight
	sending bool   // active is in flight
	sent    bool   // at least one operation of the sequence has been sent
	undone  bool   // an Undo was submitted, so only another Undo may follow
	waiting *Op[P] // operations after active, linked by next
}

// Group is a set of lanes. Its methods are safe for concurrent use.
type Group[P any] struct {
	lanes  []*lane[P]
	group  *errgroup.Group
	cancel context.CancelFunc
	now    func() time.Duration
}

// New returns a Group and starts its lanes. Close stops them.
func New[P any](cfg Config[P], send Send[P]) *Group[P] {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Group[P]{
		lanes:  make([]*lane[P], cfg.Lanes),
		group:  new(errgroup.Group),
		cancel: cancel,
		now:    cfg.Now,
	}
	for i := range g.lanes {
		l := newLane(i, cfg, send)
		g.lanes[i] = l
		for range cfg.Pipelines {
			g.group.Go(func() error { l.run(ctx); return nil })
		}
	}
	return g
}

// NewSequence returns an empty sequence.
func (g *Group[P]) NewSequence() *Sequence[P] {
	return &Sequence[P]{slots: make([]slot[P], len(g.lanes))}
}

// Submit hands ops[i] to lane i, for each i. now is what Config.Now returns now: callers have just
// read it anyway.
func (g *Group[P]) Submit(now time.Duration, seq *Sequence[P], ops []Op[P]) {
	for i := range ops {
		g.lanes[i].submit(&seq.slots[i], &ops[i], now)
	}
}

// Submission is a sequence's operations, one for each lane.
type Submission[P any] struct {
	Sequence *Sequence[P]
	Ops      []Op[P]
}

// SubmitAll is Submit for several sequences at once, all of them different. Each lane gets all its
// operations before it sends the first one, so that they go in one call.
func (g *Group[P]) SubmitAll(now time.Duration, all []Submission[P]) {
	for _, l := range g.lanes {
		l.submitAll(all, now) //mutant:submit-all
	}
}

// SubmitTo hands op to one lane.
//
// An operation with Undo set undoes the earlier operations of its sequence on that lane:
//
//   - The lane drops the operations that it has not sent yet (ErrSuperseded).
//   - If an operation is in flight, the undo waits for it.
//   - If no operation was ever sent, the lane drops the undo (ErrNothingSent).
//
// An undo ends its sequence on that lane. The lane drops every later operation (ErrSuperseded),
// except another undo. So an operation that loses a race against its undo does no harm.
func (g *Group[P]) SubmitTo(lane int, seq *Sequence[P], op *Op[P]) {
	g.lanes[lane].submit(&seq.slots[lane], op, g.now())
}

// NotAnswering reports whether the lane's master does not answer. Either it failed to answer the
// call that returned last, or it left a call stuck that was sent after the newest answered one.
func (g *Group[P]) NotAnswering(lane int) bool {
	l := g.lanes[lane]
	now := g.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notAnswering(now)
}

// Close drops all queued operations (ErrClosed), rejects new ones, and waits for the calls in
// flight. If ctx ends first, Close cancels the context of the calls and returns the cause of ctx's
// end. A client that ignores its context continues until its own timeouts.
func (g *Group[P]) Close(ctx context.Context) error {
	defer g.cancel()
	for _, l := range g.lanes {
		l.close()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.group.Wait() // lanes return no error
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if g.busy() {
		return context.Cause(ctx)
	}
	<-done // no call is in flight, so the lanes return at once
	return nil
}

// busy reports whether any call is in flight.
func (g *Group[P]) busy() bool {
	for _, l := range g.lanes {
		l.mu.Lock()
		calls := len(l.calls)
		l.mu.Unlock()
		if calls > 0 {
			return true
		}
	}
	return false
}
