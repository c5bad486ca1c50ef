package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// repairs is what is known of masters that do not have a lock which a majority has confirmed. The
// lock's mu guards it.
//
// Without repairs a rolling restart of masters that keep nothing on disk would wear the quorum
// down, one master after the other. They are made only while the window is open, in the token's
// sequence, so that a release follows each.
//
// A repair never replaces another token. But such a token may belong to an attempt that fails and
// is rolled back at once, of which there are many while others wait for the lock. So the master is
// asked again.
type repairs struct {
	missing vote.Set      // do not store the token
	asked   vote.Set      // a repair is under way
	next    clock.Instant // when to try the missing ones again
	pause   time.Duration // since the last try
	expires clock.Instant // when the confirming masters' keys expire
}

const (
	// firstRepairPause is how long after a repair that did not succeed the next one is tried. It
	// doubles up to maxRepairPause.
	firstRepairPause = 20 * time.Millisecond
	maxRepairPause   = 200 * time.Millisecond
)

// due returns the masters to be repaired now.
func (p *repairs) due(now clock.Instant) (masters vote.Set, expires clock.Instant) {
	if now < p.next {
		return 0, 0
	}
	return p.missing &^ p.asked, p.expires
}

// nextDue returns when a repair is due.
func (p *repairs) nextDue() clock.Instant {
	if p.missing&^p.asked == 0 {
		return clock.Never
	}
	return p.next
}

// begin notes that masters are being repaired.
func (p *repairs) begin(masters vote.Set, expires clock.Instant) {
	if p.missing == 0 {
		p.pause = 0
	}
	p.asked |= masters
	p.missing |= masters
	p.expires = max(p.expires, expires)
}

// end notes the outcome of one repair, and returns whether any master is missing still.
func (p *repairs) end(master int, o vote.Outcome, now clock.Instant) bool {
	p.asked &^= vote.Only(master)
	if o == vote.Held {
		p.missing &^= vote.Only(master)
	}
	if now >= p.next {
		p.pause = min(max(firstRepairPause, 2*p.pause), maxRepairPause)
		p.next = now.Add(p.pause)
	}
	return p.missing != 0 //mutant:repair-again
}

// repair gives the lock back to masters that do not have it, for as long as the others do.
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
	deadline := l.closes()
	l.unlock()

	c := l.claim
	request := c.subject.Repair(left, c.fence.Load(), c.retention())
	for i := range masters.Each() {
		r := &repair{lock: l, request: request}
		r.op = redisconn.Op{
			Payload: wire.Call{Request: &r.request, Master: uint8(i)},
			Owner:   r, Deadline: time.Duration(deadline),
		}
		l.engine.lanes.SubmitTo(i, c.sequence, &r.op)
	}
}

// repair is one master's.
type repair struct {
	lock    *Lock
	request wire.Request
	op      redisconn.Op
}

// Done notes whether the master has the lock again.
func (r *repair) Done(op *redisconn.Op, dropped error) {
	call := &op.Payload
	a := call.Read(dropped)
	r.lock.engine.apply(r.lock.claim, call, &a, dropped)
	r.lock.repaired(int(call.Master), a.Outcome)
}

// repaired plans the next try if this one did not succeed.
func (l *Lock) repaired(master int, o vote.Outcome) {
	now := l.engine.clock.Now()
	l.mu.Lock()
	again := l.repairs.end(master, o, now) && l.over(now) == nil
	next := l.repairs.next
	l.unlock()
	if again {
		l.engine.expiry.look(&l.watched, next)
	}
}
