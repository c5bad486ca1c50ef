package fanout

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// lane sends one master's operations.
type lane[P any] struct {
	index int
	cfg   Config[P]
	send  Send[P]

	mu       sync.Mutex // guards the fields below, and every slot and operation of this lane
	wake     *sync.Cond // signaled when the lane may send something, or was closed
	queue    queue[P]
	calls    []time.Duration // when each call in flight was sent, oldest first
	answered time.Duration   // when the newest answered call was sent
	failing  bool            // the master did not answer the call that returned last
	silent   bool            // what notAnswering returned when it was last compared; see changed
	settling int             // goroutines that are settling a call's operations
	rtt      time.Duration   // round trip of small batches: falls at once, rises slowly; 0 at first
	watchdog watchdog
	closed   bool
}

func newLane[P any](index int, cfg Config[P], send Send[P]) *lane[P] {
	l := &lane[P]{index: index, cfg: cfg, send: send, answered: -1}
	l.wake = sync.NewCond(&l.mu)
	return l
}

func (l *lane[P]) submit(s *slot[P], op *Op[P], now time.Duration) {
	l.mu.Lock()
	dropped, queued := l.add(s, op, now, nil)
	if queued {
		l.wakeUp(now)
	}
	l.mu.Unlock()
	settleDropped(dropped)
}

// submitAll submits one operation of each of several sequences, and wakes the lane only then.
func (l *lane[P]) submitAll(all []Submission[P], now time.Duration) {
	var dropped *Op[P]
	work := false
	l.mu.Lock()
	for _, s := range all {
		var queued bool
		dropped, queued = l.add(&s.Sequence.slots[l.index], &s.Ops[l.index], now, dropped)
		work = work || queued
	}
	if work {
		l.wakeUp(now)
	}
	l.mu.Unlock()
	settleDropped(dropped)
}

// add takes in op. It reports whether op is in the lane's queue now.
func (l *lane[P]) add(s *slot[P], op *Op[P], now time.Duration, dropped *Op[P]) (stillDropped *Op[P], queued bool) {
	op.seq = s
	dropped = l.dropExpired(now, dropped)
	dropped = s.dropExpired(now, dropped)
	if op.Undo {
		s.undone = true                   //mutant:undo-is-last
		dropped = l.supersede(s, dropped) //mutant:undo-supersedes
	}
	if err := l.accept(s, op, now); err != nil {
		return drop(op, err, dropped), false
	}
	return dropped, s.active == op
}

// accept queues op, or returns why it cannot.
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
	case l.rejecting(now): //mutant:lane-refuses
		return ErrNotAnswering
	case l.queue.len >= l.cfg.Queue: //mutant:lane-full
		return ErrFull
	}
	l.enqueue(op)
	return nil
}

// wakeUp wakes a goroutine if the lane may send something.
func (l *lane[P]) wakeUp(now time.Duration) {
	if l.allowance(now) > 0 {
		l.wake.Signal()
	}
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

// notAnswering implements NotAnswering.
func (l *lane[P]) notAnswering(now time.Duration) bool {
	stuck := len(l.calls) - l.fresh(now)
	return l.failing || stuck > 0 && l.calls[stuck-1] > l.answered //mutant:lane-stuck
}

// changed reports whether notAnswering has changed since changed was last called.
func (l *lane[P]) changed(now time.Duration) bool {
	before := l.silent
	l.silent = l.notAnswering(now)
	return l.silent != before
}

// tell calls Config.Changed.
func (l *lane[P]) tell() {
	if l.cfg.Changed != nil {
		l.cfg.Changed(l.index)
	}
}

// fresh counts the calls in flight that are not stuck.
func (l *lane[P]) fresh(now time.Duration) int {
	n := 0
	for _, sent := range l.calls {
		if now-sent < l.cfg.Stall {
			n++
		}
	}
	return n
}

// rejecting reports whether the lane rejects new operations because its master does not answer. It
// does once the newest call has been in flight for more than Stall/64: that call will find out
// whether the master is back, and no more operations should wait for it. It also does if
// Config.Pipelines calls are stuck.
func (l *lane[P]) rejecting(now time.Duration) bool {
	if !l.notAnswering(now) {
		return false
	}
	fresh := l.fresh(now)
	if fresh == 0 {
		return len(l.calls) >= l.cfg.Pipelines //mutant:lane-stuck-full
	}
	return now-l.calls[len(l.calls)-1] > l.cfg.Stall/64
}

// allowance returns how many operations the lane may send in one call now. A stuck call does not
// block the lane: a client without deadlines of its own can keep a call for half a minute after its
// master came back. Only Config.Pipelines stuck calls do.
//
// While a goroutine settles operations, the lane sends nothing. Their owners are about to submit
// more, and together these make one batch. (Measured with 100 callers: one fifteenth less time per
// cycle.)
func (l *lane[P]) allowance(now time.Duration) int {
	fresh := l.fresh(now)
	switch {
	case len(l.calls) >= l.cfg.Pipelines, l.settling > 0:
		return 0
	case l.notAnswering(now):
		return 1 - min(fresh, 1)
	case fresh == 0 || l.rtt > slowRoundTrip:
		return l.cfg.Batch
	}
	return 0
}

// slowRoundTrip is the round trip above which a lane uses several pipelines. Above it, waiting for
// one pipeline to return costs more than the smaller batches of several. On loopback (about 50 µs)
// more than one pipeline gained nothing; at 2 ms it did.
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
		l.settle(batch, sent, err)
		if len(batch) > 1 {
			runtime.Gosched() // under load: lets the owners just told join the next batch
		}
		clear(batch)
	}
}

// take waits for operations that may be sent, and returns them with the time. It returns none once
// the lane is closed. settled says that the goroutine has just settled a call's operations.
func (l *lane[P]) take(batch []*Op[P], settled bool) ([]*Op[P], time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if settled {
		l.settling--
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
			settleDropped(dropped)
			l.mu.Lock()
		}
		if len(batch) > 0 {
			if l.queue.len > 0 && l.allowance(now) > 0 {
				l.wake.Signal()
			}
			return batch, now
		}
		// A signal while this goroutine was settling found nobody waiting, so check again.
		if dropped == nil && !l.closed && (l.queue.len == 0 || l.allowance(now) == 0) {
			l.wake.Wait()
		}
	}
}

// quiesce calls Config.Quiesce if operations are queued, and then sorts them.
func (l *lane[P]) quiesce() {
	if l.cfg.Quiesce != nil && l.queue.len > 0 {
		l.mu.Unlock()
		l.cfg.Quiesce(l.index, false)
		l.mu.Lock()
		l.queue.sort(l.cfg.Order)
	}
}

// fill moves the operations that may be sent from the queue to batch.
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
		l.armWatchdog(l.cfg.Stall) //mutant:lane-watches
	}
	return batch, dropped
}

// settle settles a batch that was sent, and only then queues the next operations of its sequences.
// Owners need an operation's result to interpret the answer to the next one.
func (l *lane[P]) settle(batch []*Op[P], sent time.Duration, err error) {
	now := l.cfg.Now()
	l.mu.Lock()
	l.removeCall(sent)
	l.settling++
	dropped := l.recordCall(err, len(batch), sent, now)
	changed := l.changed(now)
	l.mu.Unlock()
	settleDropped(dropped)
	for _, op := range batch { //mutant:lane-tells-owners
		op.Owner.Done(op, nil)
		if l.cfg.Quiesce != nil {
			l.cfg.Quiesce(l.index, true)
		}
	}
	if changed { //mutant:lane-tells-change
		l.tell()
	}

	l.mu.Lock()
	for _, op := range batch { //mutant:lane-advances
		l.advance(op.seq)
	}
	dropped = nil
	if l.closed {
		dropped = l.dropQueue(ErrClosed)
	}
	l.mu.Unlock() // no need to wake anybody: run calls take next
	settleDropped(dropped)
}

func (l *lane[P]) removeCall(sent time.Duration) {
	i := slices.Index(l.calls, sent)
	l.calls = slices.Delete(l.calls, i, i+1)
}

// recordCall records whether the master answered a call of size operations. The second failure in a
// row drops the queue: those operations have waited for a master that is still down.
func (l *lane[P]) recordCall(err error, size int, sent, now time.Duration) (dropped *Op[P]) {
	switch {
	case err != nil && sent < l.answered: // the master has answered since //mutant:late-failure
		return nil
	case err != nil && l.failing:
		return l.dropQueue(ErrNotAnswering)
	case err != nil:
		l.failing = true
		return nil
	}
	l.failing = false
	l.answered = max(l.answered, sent)
	if size <= smallBatch {
		l.recordRTT(now - sent)
	}
	return nil
}

// smallBatch is the largest batch whose call time measures the network. Larger batches mostly
// measure their own processing.
const smallBatch = 4

// recordRTT updates rtt: down at once, up slowly.
func (l *lane[P]) recordRTT(rtt time.Duration) {
	if l.rtt > 0 {
		rtt = min(rtt, l.rtt+l.rtt/16+1)
	}
	l.rtt = rtt
}

// advance queues the operation after the sequence's active one.
func (l *lane[P]) advance(s *slot[P]) {
	s.active, s.sending = nil, false
	if op := s.waiting; op != nil {
		s.waiting = op.next
		l.enqueue(op)
	}
}

// dropExpired drops the operations at the front of the queue whose deadline has passed. It need not
// look further: deadlines come in roughly the order of the queue, and fill checks every operation.
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

// dropQueued removes an unsent operation from the queue.
func (l *lane[P]) dropQueued(op *Op[P], err error, dropped *Op[P]) *Op[P] {
	l.queue.remove(op)
	l.advance(op.seq)
	return drop(op, err, dropped)
}

// close drops the queue and makes run return. Operations that wait behind a call in flight are
// dropped when it returns.
func (l *lane[P]) close() {
	l.mu.Lock()
	l.closed = true
	l.stopWatchdog()
	dropped := l.dropQueue(ErrClosed)
	l.wake.Broadcast()
	l.mu.Unlock()
	settleDropped(dropped)
}
