package ledger

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
)

const (
	// firstPause is how long nothing is tried after the master failed to answer. It doubles with
	// each further failure, up to longestPause.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second

	// closingPause takes its place once Close was called. After closingFailures in a row the master
	// is told nothing more: there is no time to wait for it.
	closingPause    = 20 * time.Millisecond
	closingFailures = 3

	// doubtPause is how long after a release it is tried again, if an earlier request may still be
	// under way. In a second, a server that was stopped has read what its sockets held. The pause
	// doubles each time, up to longestDoubt. By then two minutes have passed, which is the longest
	// that TCP waits before it sends something again (Linux: TCP_RTO_MAX).
	doubtPause   = time.Second
	longestDoubt = 64 * time.Second //mutant:longest-doubt

	// mostTries is how many releases are tried at once.
	mostTries = 256
)

// Ledger holds what one master is owed. Make one with New.
type Ledger[L comparable] struct {
	limit int
	debts debtHeap[L]
	owed  map[L]struct{} // the locks of all debts, those that are being tried included
	tries int            // under way

	pause time.Duration // how long nothing is tried after a failure; 0 while the master answers
	retry clock.Instant // when that pause is over

	closing  bool          // little time is left
	failures int           // tries in a row that failed since then; 0 before
	failed   clock.Instant // the last of them

	leftToExpire uint64
	left         []L // of those, what was left since Close
}

// New returns a ledger that holds no more than limit debts, besides those that are being tried.
func New[L comparable](limit int) *Ledger[L] {
	return &Ledger[L]{limit: limit, owed: map[L]struct{}{}}
}

// Settle draws the consequences of a try that is not Settled. It returns the locks for which the
// care has ended, this one or others. If the debt was entered, the caller has to look again what is
// due.
func (l *Ledger[L]) Settle(d Debt[L], a Answer, now clock.Instant) (
	ended []Ended[L], entered bool,
) {
	if d.expires == 0 {
		d.expires = now.Add(a.Life)
	}
	d.hasKey = d.hasKey || a.MayHaveKey
	l.learn(a.Gone, now)
	doubtful, expired := a.isDoubtful(), d.expires <= now //mutant:debt-expired
	resolved := a.Gone && (!doubtful || l.closing || d.doubt >= longestDoubt)
	switch {
	case resolved, expired, a.Final:
		if d.entered {
			delete(l.owed, d.Lock)
		}
		return []Ended[L]{{d.Lock, a.Gone || expired}}, false
	case !d.entered && l.owes(d.Lock): // that debt serves both
		return []Ended[L]{{Lock: d.Lock}}, false
	case l.isHopeless():
		ended = l.giveUp(ended, &d)
		return l.giveUpAll(ended), false
	case doubtful:
		d.doubt = max(doubtPause, 2*d.doubt)
		d.due = now.Add(d.doubt)
	default:
		d.due = now
	}
	return l.enter(d), true
}

func (l *Ledger[L]) owes(lock L) bool {
	_, ok := l.owed[lock]
	return ok
}

// isHopeless reports whether the master cannot be told anything before there is no time left.
func (l *Ledger[L]) isHopeless() bool { return l.failures >= closingFailures } //mutant:hopeless

// learn takes in whether the master could be told something. Tries that fail at about the same time
// count as one.
func (l *Ledger[L]) learn(answered bool, now clock.Instant) {
	switch {
	case answered:
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

// enter adds a debt. If there are too many, those that expire first are given up. It is an eighth
// of them at once, so that the search for them is rare.
func (l *Ledger[L]) enter(d Debt[L]) (ended []Ended[L]) {
	d.entered = true
	l.owed[d.Lock] = struct{}{}
	heap.Push(&l.debts, &d)
	excess := len(l.debts) - l.limit
	if excess <= 0 { //mutant:debts-bound
		return nil
	}
	slices.SortFunc(l.debts, func(a, b *Debt[L]) int { //mutant:debts-order
		return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.Token, b.Token))
	})
	n := min(excess+l.limit/8, len(l.debts))
	ended = l.giveUp(nil, l.debts[:n]...)
	l.debts = slices.Delete(l.debts, 0, n)
	heap.Init(&l.debts)
	return ended
}

// giveUp leaves keys to expire, and appends the end of the care for them. If a release was
// confirmed, and was only to be repeated in case something comes late, then there is no key as far
// as is known.
func (l *Ledger[L]) giveUp(ended []Ended[L], debts ...*Debt[L]) []Ended[L] {
	for _, d := range debts {
		if d.doubt == 0 && d.hasKey {
			l.leftToExpire++ //mutant:debts-dropped
			if l.closing {
				l.left = append(l.left, d.Lock)
			}
		}
		delete(l.owed, d.Lock)
		ended = append(ended, Ended[L]{Lock: d.Lock})
	}
	return ended
}

// giveUpAll is giveUp for all debts that are not being tried.
func (l *Ledger[L]) giveUpAll(ended []Ended[L]) []Ended[L] {
	ended = l.giveUp(ended, l.debts...)
	l.debts = nil
	return ended
}

// Take returns the debts to try now, and the end of those whose keys have expired. The caller calls
// Settle and then Tried for each that is to be tried.
//
// silent says that the master does not answer. Then one try now and then is enough to find out
// whether it is back, beside those that may be stuck.
func (l *Ledger[L]) Take(now clock.Instant, silent bool) (due []Debt[L], ended []Ended[L]) {
	most := mostTries - l.tries
	if silent {
		most = 1
	}
	for len(l.debts) > 0 && len(due) < most && l.next() <= now {
		d := heap.Pop(&l.debts).(*Debt[L])
		if d.expires <= now { //mutant:debt-too-late
			delete(l.owed, d.Lock)
			ended = append(ended, Ended[L]{d.Lock, true})
			continue
		}
		l.tries++
		due = append(due, *d)
	}
	if silent && len(due) > 0 {
		l.retry = now.Add(max(l.pause, firstPause))
	}
	return due, ended
}

// Tried says that one try is over. The caller then looks again what is due.
func (l *Ledger[L]) Tried() { l.tries-- }

// next returns when the next debt is to be tried.
func (l *Ledger[L]) next() clock.Instant { return max(l.debts[0].due, l.retry) }

// UntilNext returns how long the caller may wait before it calls Take, unless it has to look again
// sooner. While tries are under way it waits for them to be over. But one may be stuck while the
// master answers others, so it does not wait for long.
func (l *Ledger[L]) UntilNext(now clock.Instant) time.Duration {
	if len(l.debts) == 0 {
		return clock.Never.Sub(0)
	}
	wait := l.next().Sub(now)
	if l.tries > 0 {
		wait = max(wait, firstPause)
	}
	return wait
}

// Close says that little time is left. All debts are due now, so the caller looks again.
func (l *Ledger[L]) Close(now clock.Instant) {
	l.closing, l.retry = true, now
	for _, d := range l.debts {
		d.due = now
	}
	heap.Init(&l.debts) // tokens decide the order now
}

// GiveUp gives up what is still owed, besides what is being tried. It returns the locks whose keys
// were left to expire since Close.
func (l *Ledger[L]) GiveUp() (left []L, ended []Ended[L]) {
	ended = l.giveUpAll(nil)
	return l.left, ended
}

// Pending returns how many releases the master is owed.
func (l *Ledger[L]) Pending() int { return len(l.debts) + l.tries }

// LeftToExpire returns how many keys were left to expire so far, because too much was owed or there
// was no time left.
func (l *Ledger[L]) LeftToExpire() uint64 { return l.leftToExpire }
