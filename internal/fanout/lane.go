package fanout

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// lane carries one master's operations.
type lane[P any] struct {
	index int
	cfg   Config[P]
	send  Send[P]

	mu        sync.Mutex // guards all below, and every slot and operation of this lane
	wake      *sync.Cond // something may be sent, or the lane was closed
	queue     queue[P]
	calls     []time.Duration // when each call under way was sent, oldest first
	answered  time.Duration   // when the newest call was sent that the master answered
	failing   bool            // the master did not answer the call that returned last
	finishing int             // goroutines that settle a call's operations, and then look for more
	rtt       time.Duration   // round trip of small batches, a slowly rising minimum; 0 at first
	watchdog  watchdog
	closed    bool
}

func newLane[P any](index int, cfg Config[P], send Send[P]) *lane[P] {
	l := &lane[P]{index: index, cfg: cfg, send: send, answered: -1}
	l.wake = sync.NewCond(&l.mu)
	return l
}

func (l *lane[P]) submit(s *slot[P], op *Op[P], now time.Duration) {
	op.seq = s
	l.mu.Lock()
	dropped := l.dropExpired(now, nil)
	dropped = s.dropExpired(now, dropped)
	if op.Undo {
		s.undone = true                   //mutant:undo-is-last
		dropped = l.supersede(s, dropped) //mutant:undo-supersedes
	}
	if err := l.accept(s, op, now); err != nil {
		dropped = drop(op, err, dropped)
	}
	l.mu.Unlock()
	finishDropped(dropped)
}

// accept queues op, or says why not.
func (l *lane[P]) accept(s *slot[P], op *Op[P], now time.Duration) error {
	switch {
	case l.closed:
		return ErrClosed
	case op.Undo && !s.sent: //mutant:undo-of-nothing
		return ErrNothingSent
	case s.undone && !op.Undo:
		return ErrSuperseded
	case s.active != nil: //mutant:lane-active
		s.wait(op)
		return nil
	case l.refusing(now): //mutant:lane-refuses
		return ErrNotAnswering
	case l.queue.len >= l.cfg.Queue: //mutant:lane-full
		return ErrFull
	}
	l.enqueue(op)
	if l.allowance(now) > 0 {
		l.wake.Signal()
	}
	return nil
}

func (l *lane[P]) enqueue(op *Op[P]) {
	op.seq.active = op
	l.queue.push(op)
}

// supersede drops the sequence's operations that have not been sent.
func (l *lane[P]) supersede(s *slot[P], dropped *Op[P]) *Op[P] {
	for op := s.waiting; op != nil; {
		next := op.next
		dropped = drop(op, ErrSuperseded, dropped)
		op = next
	}
	s.waiting = nil
	if s.active != nil && !s.sending {
		dropped = l.dropQueued(s.active, ErrSuperseded, dropped)
	}
	return dropped
}

// notAnswering tells whether the master failed to answer the last call, or a
// call sent after the last one it answered is stuck.
func (l *lane[P]) notAnswering(now time.Duration) bool {
	stuck := len(l.calls) - l.fresh(now)
	return l.failing || stuck > 0 && l.calls[stuck-1] > l.answered //mutant:lane-stuck
}

// fresh counts the calls that are under way and not stuck.
func (l *lane[P]) fresh(now time.Duration) int {
	n := 0
	for _, sent := range l.calls {
		if now-sent < l.cfg.Stall {
			n++
		}
	}
	return n
}

// refusing tells whether a new operation has no prospect: the master is not
// answering, and the call that is to find out whether it is back has been under
// way for long enough that others should not wait for it too.
func (l *lane[P]) refusing(now time.Duration) bool {
	if !l.notAnswering(now) {
		return false
	}
	fresh := l.fresh(now)
	if fresh == 0 {
		return len(l.calls) >= l.cfg.Pipelines //mutant:lane-stuck-full
	}
	return now-l.calls[len(l.calls)-1] > l.cfg.Stall/64
}

// allowance is how many operations may be sent now in one call. Calls that are
// stuck hold nobody up: a client without deadlines of its own can hold one for
// half a minute after its master came back.
//
// While a goroutine settles what a call brought, nobody else sends: those that
// are settled are about to come back with more, and together they make one batch.
// (Measured with 100 callers: a fifteenth less time per cycle.)
func (l *lane[P]) allowance(now time.Duration) int {
	fresh := l.fresh(now)
	switch {
	case len(l.calls) >= l.cfg.Pipelines, l.finishing > 0:
		return 0
	case l.notAnswering(now):
		return 1 - min(fresh, 1)
	case fresh == 0 || l.rtt > slowRoundTrip:
		return l.cfg.Batch
	}
	return 0
}

// slowRoundTrip is where waiting for a pipeline to return costs more than the
// smaller batches of several. On loopback (some 50 µs) more than one pipeline
// gained nothing; with 2 ms it did.
const slowRoundTrip = 500 * time.Microsecond

// run sends batches until the lane is closed.
func (l *lane[P]) run(ctx context.Context) {
	var batch []*Op[P]
	for first := true; ; first = false {
		var sent time.Duration
		batch, sent = l.take(batch[:0], !first)
		if len(batch) == 0 {
			return
		}
		err := l.send(ctx, l.index, batch)
		l.finish(batch, sent, err)
		if len(batch) > 1 {
			runtime.Gosched() // under load: lets those just settled join the next batch
		}
		clear(batch)
	}
}

// take waits for operations that may be sent. It returns none once the lane is
// closed. settled tells that its goroutine has just settled a call's operations.
func (l *lane[P]) take(batch []*Op[P], settled bool) ([]*Op[P], time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if settled {
		l.finishing--
	}
	for {
		l.quiesce()
		if l.closed {
			return nil, 0
		}
		now := l.cfg.Now()
		dropped := l.dropExpired(now, nil)
		batch, dropped = l.fill(batch, now, dropped)
		if dropped != nil {
			l.mu.Unlock()
			finishDropped(dropped)
			l.mu.Lock()
		}
		if len(batch) > 0 {
			if l.queue.len > 0 && l.allowance(now) > 0 {
				l.wake.Signal()
			}
			return batch, now
		}
		// Whoever woke the lane while it settled something found nobody waiting.
		if dropped == nil && !l.closed && (l.queue.len == 0 || l.allowance(now) == 0) {
			l.wake.Wait()
		}
	}
}

// quiesce calls Config.Quiesce, if there is something to look at.
func (l *lane[P]) quiesce() {
	if l.cfg.Quiesce != nil && l.queue.len > 0 {
		l.mu.Unlock()
		l.cfg.Quiesce()
		l.mu.Lock()
		l.queue.sort(l.cfg.Order)
	}
}

// fill moves what may be sent from the queue to batch.
func (l *lane[P]) fill(batch []*Op[P], now time.Duration, dropped *Op[P]) ([]*Op[P], *Op[P]) {
	for n := l.allowance(now); n > 0 && l.queue.len > 0; {
		op := l.queue.first
		if op.Deadline <= now { //mutant:lane-too-late
			dropped = l.dropQueued(op, ErrExpired, dropped)
			continue
		}
		l.queue.remove(op)
		op.seq.sending, op.seq.sent = true, true
		batch = append(batch, op)
		n--
	}
	if len(batch) > 0 {
		l.calls = append(l.calls, now)
		l.watch(l.cfg.Stall) //mutant:lane-watches
	}
	return batch, dropped
}

// finish settles a batch that was sent, and then lets the next of its sequences
// come: whoever judges those by what became of the ones before must know it.
func (l *lane[P]) finish(batch []*Op[P], sent time.Duration, err error) {
	now := l.cfg.Now()
	l.mu.Lock()
	l.forget(sent)
	l.finishing++
	dropped := l.judge(err, len(batch), sent, now)
	l.mu.Unlock()
	finishDropped(dropped)
	for _, op := range batch { //mutant:lane-tells-owners
		op.Owner.Done(op, nil)
	}

	l.mu.Lock()
	for _, op := range batch { //mutant:lane-advances
		l.advance(op.seq)
	}
	dropped = nil
	if l.closed {
		dropped = l.dropQueue(ErrClosed)
	}
	l.mu.Unlock() // run looks for more at once
	finishDropped(dropped)
}

func (l *lane[P]) forget(sent time.Duration) {
	i := slices.Index(l.calls, sent)
	l.calls = slices.Delete(l.calls, i, i+1)
}

// judge learns from a call that returned whether the master answers. The second
// failure in a row drops the queue: whoever waits there has waited for nothing.
func (l *lane[P]) judge(err error, size int, sent, now time.Duration) (dropped *Op[P]) {
	switch {
	case err != nil && l.failing:
		return l.dropQueue(ErrNotAnswering)
	case err != nil:
		l.failing = true
		return nil
	}
	l.failing = false
	l.answered = max(l.answered, sent)
	if size <= smallBatch {
		l.learn(now - sent)
	}
	return nil
}

// smallBatch is up to how many operations the time of a call is the network's
// rather than the batch's own.
const smallBatch = 4

// learn follows the network's round trip: down at once, up slowly.
func (l *lane[P]) learn(rtt time.Duration) {
	if l.rtt > 0 {
		rtt = min(rtt, l.rtt+l.rtt/16+1)
	}
	l.rtt = rtt
}

// advance queues what comes after the sequence's active operation.
func (l *lane[P]) advance(s *slot[P]) {
	s.active, s.sending = nil, false
	if op := s.waiting; op != nil {
		s.waiting = op.next
		l.enqueue(op)
	}
}

// dropExpired drops the operations at the front of the queue whose deadline has
// come. Deadlines come in about the order of the queue; fill looks at each.
func (l *lane[P]) dropExpired(now time.Duration, dropped *Op[P]) *Op[P] {
	for l.queue.len > 0 && l.queue.first.Deadline <= now {
		dropped = l.dropQueued(l.queue.first, ErrExpired, dropped)
	}
	return dropped
}

func (l *lane[P]) dropQueue(err error) (dropped *Op[P]) {
	for l.queue.len > 0 {
		dropped = l.dropQueued(l.queue.first, err, dropped)
	}
	return dropped
}

// dropQueued takes one operation out of the queue unsent.
func (l *lane[P]) dropQueued(op *Op[P], err error, dropped *Op[P]) *Op[P] {
	l.queue.remove(op)
	l.advance(op.seq)
	return drop(op, err, dropped)
}

// close drops what is queued and lets run return. What waits behind a call under
// way is dropped when that returns.
func (l *lane[P]) close() {
	l.mu.Lock()
	l.closed = true
	l.stopWatching()
	dropped := l.dropQueue(ErrClosed)
	l.wake.Broadcast()
	l.mu.Unlock()
	finishDropped(dropped)
}
