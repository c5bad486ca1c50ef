// Package fanout hands operations to every master at once: one lane per master,
// all lanes run by one errgroup.
//
// A lane takes everything that is queued and sends it as one pipeline. With one
// caller that is a single command; under load it batches by itself. What a lane
// promises:
//
//   - Order per Sequence. The next operation of a sequence is sent only after
//     the call that carried the one before has returned, the client's own
//     retries and time-outs included. A request that timed out may still be on
//     its way; a second one sent past it could be executed first. Operations of
//     different sequences may overtake each other. The owner of the one before
//     has been told what became of it by then.
//   - Nothing late. An operation whose deadline has passed is dropped, not sent.
//   - No waiting for a master that does not answer. Once a call has failed or
//     stalled, the lane sends one operation at a time to find out whether the
//     master is back, and refuses the others at once (ErrNotAnswering).
//   - Bounded memory and goroutines: Config.Queue operations wait and
//     Config.Pipelines calls are under way in a lane, whatever its master does.
//
// The package knows nothing of locks or of Redis commands: what an operation
// carries is its type parameter, and a Send function carries it out.
package fanout

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// Why an operation was never sent. Nothing is owed for such an operation.
var (
	ErrExpired      = errors.New("fanout: deadline passed before it was sent")
	ErrNotAnswering = errors.New("fanout: master is not answering")
	ErrSuperseded   = errors.New("fanout: superseded before it was sent")
	ErrNothingSent  = errors.New("fanout: nothing to undo was ever sent")
	ErrFull         = errors.New("fanout: too many operations queued")
	ErrClosed       = errors.New("fanout: closed")
)

// Send carries a batch out on one lane's master: one operation or many, in
// order. It returns only after the client's call has, and leaves each
// operation's result in its Payload. It returns an error if the master did not
// answer at all. ctx ends when Close gives up waiting.
type Send[P any] func(ctx context.Context, lane int, batch []*Op[P]) error

// Config bounds what a Group's lanes do. All fields but the last must be set.
type Config[P any] struct {
	Lanes     int                  // how many masters
	Pipelines int                  // most calls under way in one lane
	Batch     int                  // most operations in one call
	Queue     int                  // most operations waiting in one lane
	Stall     time.Duration        // a call under way for longer means that the master does not answer
	Now       func() time.Duration // the time line of deadlines

	// Quiesce, if set, is called before a lane looks at what is queued. A
	// simulation lets all that happens at this instant happen first, so that
	// the same history has the same batches each time, and by Order puts in the
	// same order what came at the same time.
	Quiesce func()
	Order   func(a, b *P) int
}

// Op is one operation on one lane. It is used for one Submit only, and must not
// be touched between Submit and Done.
type Op[P any] struct {
	Payload  P
	Owner    Owner[P]
	Deadline time.Duration // on Config.Now's time line: not sent at or after it
	Undo     bool          // takes the place of its sequence's unsent operations; see Submit

	seq        *slot[P]
	prev, next *Op[P] // neighbours in the lane's queue, or next in the slot's
	dropped    error
}

// Owner is told what became of an operation.
type Owner[P any] interface {
	// Done is called exactly once for each submitted operation: with nil
	// after Send returned with it, or with one of this package's errors if it
	// was never sent. It is called without any of the group's locks held,
	// possibly before Submit returns, and must not block.
	Done(op *Op[P], dropped error)
}

// Sequence orders operations: on each lane they are carried out one after
// another. The zero Sequence is not usable; see Group.NewSequence.
type Sequence[P any] struct{ slots []slot[P] }

// slot is a sequence's place on one lane. The lane's mu guards it.
type slot[P any] struct {
	active  *Op[P] // queued in the lane, or under way
	sending bool   // active is under way
	sent    bool   // some operation of the sequence has been sent
	undone  bool   // an Undo was submitted: nothing but another is sent any more
	waiting *Op[P] // what comes after active, linked by next
}

// Group is a set of lanes. Its methods are safe for concurrent use.
type Group[P any] struct {
	lanes  []*lane[P]
	group  *errgroup.Group
	cancel context.CancelFunc
	now    func() time.Duration
}

// New starts the lanes. Close ends them.
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

// NewSequence returns a sequence without operations.
func (g *Group[P]) NewSequence() *Sequence[P] {
	return &Sequence[P]{slots: make([]slot[P], len(g.lanes))}
}

// Submit hands ops[i] to lane i, for each i. now is the time on Config.Now's time
// line, which the caller has just asked for anyway.
func (g *Group[P]) Submit(now time.Duration, seq *Sequence[P], ops []Op[P]) {
	for i := range ops {
		g.lanes[i].submit(&seq.slots[i], &ops[i], now)
	}
}

// SubmitTo hands op to one lane.
//
// An operation with Undo set undoes the earlier ones of its sequence: those not
// yet sent are dropped (ErrSuperseded), one that is under way is waited for, and
// where none was ever sent there is nothing to undo (ErrNothingSent). It is the
// sequence's end on that lane: what comes after it is dropped (ErrSuperseded),
// unless it is another Undo. So it does not matter if somebody who has just
// decided to send something is overtaken by somebody who undoes it.
func (g *Group[P]) SubmitTo(lane int, seq *Sequence[P], op *Op[P]) {
	g.lanes[lane].submit(&seq.slots[lane], op, g.now())
}

// NotAnswering tells whether the lane's master failed to answer the last call,
// or has kept one waiting for longer than Config.Stall.
func (g *Group[P]) NotAnswering(lane int) bool {
	l := g.lanes[lane]
	now := g.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notAnswering(now)
}

// Close drops what is queued (ErrClosed), refuses what comes, and waits for the
// calls under way until ctx ends. Then it cancels theirs and returns ctx's
// error; a client that ignores its context goes on until its own time-outs.
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
	<-done // nothing keeps them
	return nil
}

// busy tells whether a call is under way.
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
