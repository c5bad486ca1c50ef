package quorum

import (
	"container/heap"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
)

// ledger holds what one master is owed: releases that could not be delivered,
// or that found nothing where an earlier request may still be under way. Each is
// tried again until the key would have expired by itself.
type ledger struct {
	manager *Manager
	master  int
	limit   int
	wake    chan struct{}

	mu        sync.Mutex // guards all below
	debts     debtHeap
	paying    int           // tries under way
	pause     time.Duration // since the master failed to answer; 0 while it answers
	retry     clock.Instant // when the pause is over
	abandoned uint64        // keys that were left to expire
	closing   bool          // little time is left
	failures  int           // times in a row that tries failed since
	failed    clock.Instant // the last of them
	left      []*claim      // what was left to expire since
}

// debt is one token that may stand on the master though its lock is over.
type debt struct {
	claim   *claim
	heir    heir
	due     clock.Instant // not before
	expires clock.Instant // the key is gone by then
	doubt   time.Duration // the last pause after a release that may have come too early
	entered bool          // it is, or was, among the ledger's debts
}

const (
	// firstPause is how long nothing is tried after the master failed to
	// answer; it doubles up to longestPause with each further failure.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
	// closingPause takes its place while the Manager is being closed, and after
	// closingFailures in a row the master is told nothing more.
	closingPause    = 20 * time.Millisecond
	closingFailures = 3
	// doubtPause is how long after a release it is tried again, where an earlier
	// request may still be under way: a second, in which a server that was stopped
	// has read what its sockets held. It doubles each time, up to longestDoubt. Two
	// minutes have passed by then, which is the longest that TCP waits before it
	// sends something again (Linux: TCP_RTO_MAX).
	doubtPause   = time.Second
	longestDoubt = 64 * time.Second
	// repayments is how many debts are tried at once.
	repayments = 256
)

func newLedger(m *Manager, master int) *ledger {
	return &ledger{manager: m, master: master, limit: m.opts.MaxDebts, wake: make(chan struct{}, 1)}
}

// settle draws the consequences of one try to release a claim: nothing more to
// do, or a debt.
//
// Where an earlier request for the claim may still be under way, neither having
// found nothing proves anything nor having found the token: of a request that the
// client repeated, the one try may have put it there, and the other come later. So
// doubt ends by time, and never by an answer.
func (l *ledger) settle(d debt, o Outcome, dropped error) {
	gone := o == Taken || o == Absent
	doubt := gone && dropped == nil && d.claim.inDoubt(l.master)
	stands := !gone && d.claim.mayStand(l.master)
	if !d.entered && !doubt && !stands { // as nearly always
		l.finish(d.claim, true)
		return
	}
	now := l.manager.opts.Clock.Now()
	if d.expires == 0 {
		d.expires = now.Add(d.claim.life())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered(gone, now)
	expired := d.expires <= now
	switch {
	case gone && (!doubt || l.closing || d.doubt >= longestDoubt), expired,
		errors.Is(dropped, fanout.ErrSuperseded), errors.Is(dropped, fanout.ErrClosed):
		if d.entered {
			l.strike(&d, gone || expired)
		} else {
			l.finish(d.claim, gone || expired)
		}
	case !d.entered && !d.claim.owe(l.master):
		l.manager.owing[l.master].done() // there is a debt already
	case l.hopeless():
		l.giveUp(&d)
		l.giveUp(l.debts...)
		l.debts = nil
	case doubt:
		d.doubt = max(doubtPause, 2*d.doubt)
		l.enter(d, now.Add(d.doubt))
	default:
		l.enter(d, now)
	}
}

// hopeless tells that the master cannot be told anything before Close has to end.
func (l *ledger) hopeless() bool { return l.closing && l.failures >= closingFailures }

// finish ends the care for a claim, on this master; gone tells that its token does
// not stand there any more.
func (l *ledger) finish(c *claim, gone bool) {
	if gone {
		c.vanished()
	}
	l.manager.owing[l.master].done()
}

// strike takes a debt off the ledger.
func (l *ledger) strike(d *debt, gone bool) {
	d.claim.paid(l.master)
	l.finish(d.claim, gone)
}

// answered learns from one try whether the master can be told anything. All the
// tries of one time count as one.
func (l *ledger) answered(yes bool, now clock.Instant) {
	switch {
	case yes:
		l.pause, l.retry, l.failures = 0, now, 0
	case l.closing:
		l.pause, l.retry = closingPause, now.Add(closingPause)
		if l.failures == 0 || now.Sub(l.failed) >= closingPause/2 {
			l.failed = now
			l.failures++
		}
	case now >= l.retry:
		l.pause = min(max(firstPause, 2*l.pause), longestPause)
		l.retry = now.Add(l.pause)
	}
}

// enter adds a debt. If there are too many, those that expire first are given
// up, an eighth of them at once.
func (l *ledger) enter(d debt, due clock.Instant) {
	d.due, d.entered = due, true
	heap.Push(&l.debts, &d)
	if excess := len(l.debts) - l.limit; excess > 0 {
		slices.SortFunc(l.debts, func(a, b *debt) int {
			return int(min(max(a.expires.Sub(b.expires), -1), 1))
		})
		n := min(excess+l.limit/8, len(l.debts))
		l.giveUp(l.debts[:n]...)
		l.debts = slices.Delete(l.debts, 0, n)
		heap.Init(&l.debts)
	}
	l.nudge()
}

// giveUp leaves keys to expire. Where a release was confirmed, and was only to be
// repeated in case something comes late, there is none as far as is known.
func (l *ledger) giveUp(debts ...*debt) {
	for _, d := range debts {
		if d.doubt == 0 && d.claim.mayHaveKey(l.master) {
			l.abandoned++
			if l.closing {
				l.left = append(l.left, d.claim)
			}
		}
		l.strike(d, false)
	}
}

// leftByClose gives up what is owed yet, and returns whose keys Close has left to
// expire.
func (l *ledger) leftByClose() []*claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveUp(l.debts...)
	l.debts = nil
	return l.left
}

// nudge makes run look at the debts again.
func (l *ledger) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close makes every debt due now.
func (l *ledger) close() {
	now := l.manager.opts.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing, l.retry = true, now
	for _, d := range l.debts {
		d.due = now
	}
	l.nudge()
}

// run pays debts when they are due, until stop is closed.
func (l *ledger) run(stop <-chan struct{}) {
	timer := time.NewTimer(clock.Never.Sub(0))
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-l.wake:
		case <-timer.C:
		}
		for _, d := range l.take() {
			l.pay(d)
		}
		timer.Reset(max(l.untilNext(), shortestTimer))
	}
}

// take returns the debts to be tried now. While the master does not answer, one
// now and then is enough to find out whether it is back, beside those that may be
// stuck.
func (l *ledger) take() (due []*debt) {
	now := l.manager.opts.Clock.Now()
	silent := l.manager.lanes.NotAnswering(l.master)
	l.mu.Lock()
	defer l.mu.Unlock()
	most := repayments - l.paying
	if silent {
		most = 1
	}
	for len(l.debts) > 0 && len(due) < most && l.next() <= now {
		d := heap.Pop(&l.debts).(*debt)
		if d.expires <= now {
			l.strike(d, true)
			continue
		}
		l.paying++
		due = append(due, d)
	}
	if silent && len(due) > 0 {
		l.retry = now.Add(max(l.pause, firstPause))
	}
	return due
}

// next returns when the next debt is to be tried.
func (l *ledger) next() clock.Instant { return max(l.debts[0].due, l.retry) }

// untilNext returns how long run may sleep. Tries under way nudge it when they
// are over, but one may be stuck while the master answers others.
func (l *ledger) untilNext() time.Duration {
	now := l.manager.opts.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.debts) == 0 {
		return clock.Never.Sub(0)
	}
	wait := l.next().Sub(now)
	if l.paying > 0 {
		wait = max(wait, firstPause)
	}
	return wait
}

// payment is one more try to release a claim.
type payment struct {
	question question
	op       operation
	ledger   *ledger
	debt     debt
}

func (l *ledger) pay(d *debt) {
	p := &payment{question: d.claim.leaveQuestion(d.heir), ledger: l, debt: *d}
	p.op = operation{
		Payload: request{question: &p.question, master: uint8(l.master)},
		Owner:   p, Deadline: time.Duration(d.expires), Undo: true,
	}
	l.manager.lanes.SubmitTo(l.master, d.claim.sequence, &p.op)
}

// Settle enters what was not paid again.
func (p *payment) Settle(op *operation, dropped error) {
	o, _ := op.Payload.read(dropped)
	p.ledger.settle(p.debt, o, dropped)
	p.ledger.mu.Lock()
	defer p.ledger.mu.Unlock()
	p.ledger.paying--
	p.ledger.nudge()
}

// debtHeap has the debt that is due first at index 0.
type debtHeap []*debt

func (h debtHeap) Len() int      { return len(h) }
func (h debtHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Less has tokens decide between debts that are due at the same time, so that a
// simulation can be replayed.
func (h debtHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].claim.token < h[j].claim.token
}

// Push is heap.Push's part; see heap.Interface.
func (h *debtHeap) Push(d any) { *h = append(*h, d.(*debt)) }

// Pop is heap.Pop's part; see heap.Interface.
func (h *debtHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
