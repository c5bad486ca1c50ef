package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// repairs is what is known of masters that do not have a lock which a majority
// has confirmed. The lock's mu guards it.
//
// Without repairs a rolling restart of masters that keep nothing on disk would
// wear the quorum down, one master after the other. They are made while the
// window is open only, in the token's sequence, so that a release follows each.
//
// A repair never replaces another's token. But such a token may be the part of
// an attempt that fails and is rolled back at once, of which there are many while
// others wait for the lock, so the master is asked again.
type repairs struct {
	missing uint64        // bit i: the token does not stand on master i
	asked   uint64        // bit i: a repair of it is under way
	next    clock.Instant // when to try again those that are missing
	pause   time.Duration // since the last try
	expires clock.Instant // when the confirming masters' keys expire
}

const (
	// firstRepairPause is how long after a repair that did not succeed it is
	// tried again. It doubles up to longestRepairPause.
	firstRepairPause   = 20 * time.Millisecond
	longestRepairPause = 200 * time.Millisecond
)

// due returns the masters to be repaired now.
func (p *repairs) due(now clock.Instant) (masters uint64, expires clock.Instant) {
	if now < p.next {
		return 0, 0
	}
	return p.missing &^ p.asked, p.expires
}

// repair gives the lock back to masters (a bit set) that do not have it, for as
// long as the others do.
func (l *Lock) repair(masters uint64, expires clock.Instant) {
	now := l.claim.manager.opts.Clock.Now()
	l.mu.Lock()
	masters &^= l.repairs.asked
	expires = max(expires, l.kept) // the window that is relied on may be an earlier, longer one
	left := expires.Sub(now).Truncate(time.Millisecond)
	if masters == 0 || l.over(now) != nil || left <= 0 {
		l.mu.Unlock()
		return
	}
	l.repairs.begin(masters, expires)
	deadline := l.closes()
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

func (p *repairs) begin(masters uint64, expires clock.Instant) {
	if p.missing == 0 {
		p.pause = 0
	}
	p.asked |= masters
	p.missing |= masters
	p.expires = max(p.expires, expires)
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
	outcome, _ := q.read(dropped)
	r.lock.claim.note(q, outcome, dropped)
	r.lock.repaired(q.master, outcome)
}

// repaired plans the next try if this one did not succeed.
func (l *Lock) repaired(master uint8, o Outcome) {
	now := l.claim.manager.opts.Clock.Now()
	l.mu.Lock()
	again := l.repairs.end(master, o, now) && l.over(now) == nil
	next := l.repairs.next
	l.mu.Unlock()
	if again {
		l.claim.manager.watch.look(l, next)
	}
}

// end notes the outcome of one repair, and returns whether some are missing yet.
func (p *repairs) end(master uint8, o Outcome, now clock.Instant) bool {
	bit := uint64(1) << master
	p.asked &^= bit
	if o == Held {
		p.missing &^= bit
	}
	if now >= p.next {
		p.pause = min(max(firstRepairPause, 2*p.pause), longestRepairPause)
		p.next = now.Add(p.pause)
	}
	return p.missing != 0
}
