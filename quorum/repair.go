package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// repairs tracks the masters that do not store a lock that a majority has confirmed. The lock's mu
// guards it.
//
// Without repairs, a rolling restart of masters that keep nothing on disk would wear down the
// quorum, one master after another. Repairs are made only while the window is open, and in the
// token's sequence, so a release always comes after them.
//
// A repair never replaces another token. But that token may belong to an attempt that fails and is
// rolled back at once. There are many such attempts while others wait for the lock. So the repair
// is tried again.
type repairs struct {
	missing vote.Set      // do not store the token
	asked   vote.Set      // a repair is under way
	next    clock.Instant // when to try the missing ones again
	pause   time.Duration // the current pause between tries
	expires clock.Instant // when the confirming masters' keys expire
}

const (
	// firstRepairPause is the pause after a failed repair. It doubles up to maxRepairPause.
	firstRepairPause = 20 * time.Millisecond
	maxRepairPause   = 200 * time.Millisecond
)

// due returns the masters that are due for a repair, and when the repaired keys should expire.
func (p *repairs) due(now clock.Instant) (masters vote.Set, expires clock.Instant) {
	if now < p.next {
		return 0, 0
	}
	return p.missing &^ p.asked, p.expires
}

// nextDue returns when the next repair is due.
func (p *repairs) nextDue() clock.Instant {
	if p.missing&^p.asked == 0 {
		return clock.Never
	}
	return p.next
}

// begin records that masters are being repaired.
func (p *repairs) begin(masters vote.Set, expires clock.Instant) {
	if p.missing == 0 {
		p.pause = 0
	}
	p.asked |= masters
	p.missing |= masters
	p.expires = max(p.expires, expires)
}

// end records the outcome of one repair. It reports whether any master is still missing.
func (p *repairs) end(master int, o vote.Outcome, now clock.Instant) bool {
	p.asked &^= vote.Only(master)
	switch o {
	case vote.Held, vote.Blocked, vote.Overtaken: // it has the entry again, or it never will //mutant:overtaken-repair
		p.missing &^= vote.Only(master)
	}
	if now >= p.next {
		p.pause = min(max(firstRepairPause, 2*p.pause), maxRepairPause)
		p.next = now.Add(p.pause)
	}
	return p.missing != 0 //mutant:repair-again
}

// repair gives the lock back to masters that do not have it, for as long as the others have it.
func (l *Lock) repair(masters vote.Set, expires clock.Instant) { //mutant:repair-sent
	now := l.engine.clock.Now()
	l.mu.Lock()
	masters &^= l.repairs.asked
	expires = max(expires, l.kept) // the window that is relied on may be an earlier, longer one //mutant:repair-expires
	left := expires.Sub(now).Truncate(time.Millisecond)
	if masters == 0 || l.over(now) != nil || left <= 0 {
		l.unlock()
		return
	}
	l.repairs.begin(masters, expires)
	deadline := min(l.closes(), now.Add(l.engine.opts.AttemptTimeout))
	l.unlock()

	c := l.claim
	request := c.repairRequest(left)
	request.SetDeadline(time.Duration(deadline)) //mutant:repair-deadline
	for i := range masters.Each() {
		r := &repair{lock: l, request: request}
		r.op = redisconn.Op{
			Payload: wire.Call{Request: &r.request, Master: uint8(i)},
			Owner:   r, Deadline: time.Duration(deadline),
		}
		l.engine.lanes.SubmitTo(i, c.sequence, &r.op)
	}
}

// repair is the repair of one master.
type repair struct {
	lock    *Lock
	request wire.Request
	op      redisconn.Op
}

// Done records whether the master has the lock again.
func (r *repair) Done(op *redisconn.Op, dropped error) {
	call := &op.Payload
	a := call.Read(dropped)
	r.lock.engine.apply(r.lock.claim, call, &a, dropped)
	r.lock.repaired(int(call.Master), a.Outcome)
}

// repaired records the outcome of a repair, and plans the next try if one is needed.
func (l *Lock) repaired(master int, o vote.Outcome) {
	now := l.engine.clock.Now()
	l.mu.Lock()
	again := l.repairs.end(master, o, now) && l.over(now) == nil
	next := l.repairs.next
	l.unlock()
	if o == vote.Held {
		l.tellRepaired(master)
	}
	if again {
		l.engine.expiry.look(&l.watched, next)
	}
}
