package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// repairs is what is known of masters that forgot a lock which a majority has
// confirmed. The lock's mu guards it.
//
// Without repairs a rolling restart of masters that keep nothing on disk would
// wear the quorum down, one master after the other. They are made while the
// window is open only, in the token's sequence, so that a release follows each.
type repairs struct {
	missing uint64        // bit i: master i answered that nothing stands there
	asked   uint64        // bit i: a repair of it is under way
	next    clock.Instant // when to try again those that are missing
	expires clock.Instant // when the confirming masters' keys expire
}

// repairPause is how long after a repair that did not succeed it is tried again.
const repairPause = 100 * time.Millisecond

// due returns the masters to be repaired now.
func (p *repairs) due(now clock.Instant) (masters uint64, expires clock.Instant) {
	if p.missing == 0 || now < p.next {
		return 0, 0
	}
	return p.missing, p.expires
}

// repair gives the lock back to masters (a bit set) on which nothing stands, for
// as long as the others have it.
func (l *Lock) repair(masters uint64, expires clock.Instant) {
	now := l.claim.manager.opts.Clock.Now()
	l.mu.Lock()
	masters &^= l.repairs.asked
	left := expires.Sub(now).Truncate(time.Millisecond)
	if masters == 0 || l.over(now) != nil || left <= 0 {
		l.mu.Unlock()
		return
	}
	l.repairs.asked |= masters
	l.repairs.missing |= masters
	l.repairs.expires = max(l.repairs.expires, expires)
	deadline := l.until
	l.mu.Unlock()

	q := l.claim.repairQuestion(left)
	for i := range l.claim.manager.masters {
		if masters&(1<<i) == 0 {
			continue
		}
		r := &repair{lock: l, question: q}
		r.op = operation{
			Payload: request{question: &r.question, master: uint8(i)},
			Owner:   r, Deadline: time.Duration(deadline),
		}
		l.claim.manager.lanes.SubmitTo(i, l.claim.sequence, &r.op)
	}
}

// repair is one master's.
type repair struct {
	lock     *Lock
	question question
	op       operation
}

// Settle notes whether the master has the lock again.
func (r *repair) Settle(op *operation, dropped error) {
	q := &op.Payload
	outcome, err := q.read(dropped)
	r.lock.claim.note(q, outcome, err, dropped)
	r.lock.repaired(q.master, outcome)
}

func (l *Lock) repaired(master uint8, o Outcome) {
	now := l.claim.manager.opts.Clock.Now()
	l.mu.Lock()
	p := &l.repairs
	p.asked &^= 1 << master
	if o == Held || o == Taken {
		p.missing &^= 1 << master
	}
	p.next = now.Add(repairPause)
	again := p.missing != 0 && l.over(now) == nil
	next := p.next
	l.mu.Unlock()
	if again {
		l.claim.manager.watch.look(l, next)
	}
}
