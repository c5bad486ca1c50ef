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

	// closingPause replaces these pauses after Close. Once releases have been sent in vain for
	// closingPatience, the ledger gives up on the master, because there is no time to wait for it.
	closingPause    = 20 * time.Millisecond
	closingPatience = time.Second

	// doubtPause is how long after a release in doubt it is tried again, if nobody knows when the
	// doubt ends. In one second, a server that was stopped has read everything in its sockets. The
	// pause doubles each time, up to longestDoubt. By then two minutes have passed, which is the
	// longest that TCP waits before it retransmits (Linux: TCP_RTO_MAX).
	doubtPause   = time.Second
	longestDoubt = 64 * time.Second //mutant:longest-doubt

	// maxTries is how many releases are tried at the same time.
	maxTries = 256
)

// Ledger holds the releases that one master is owed. Use New to make one.
type Ledger[L comparable] struct {
	limit int
	debts debtHeap[L]
	owed  map[L]struct{} // the locks of all debts, including those that are being tried
	tries int            // tries in flight

	pause time.Duration // how long nothing is tried after a failure; 0 while the master answers
	retry clock.Instant // when that pause ends

	closing  bool          // Close was called
	silent   clock.Instant // when the first release failed since Close, or since the last answer; Never if none did
	hopeless bool          // the ledger has given up on the master because time is running out

	leftToExpire uint64
	left         []L // locks whose keys were left to expire since Close
}

// New returns an empty ledger. It holds at most limit debts, not counting those that are being
// tried. compare orders locks, for debts that are due at the same time.
func New[L comparable](limit int, compare func(a, b L) int) *Ledger[L] {
	return &Ledger[L]{limit: limit, debts: debtHeap[L]{compare: compare}, owed: map[L]struct{}{}}
}

// Settle records the answer to a try that is not Settled. It returns the locks that the ledger is
// done with now: this one or others. entered says that the debt is in the ledger now, so the caller
// must call Take or UntilNext again.
func (l *Ledger[L]) Settle(d Debt[L], a Answer, now clock.Instant) (
	ended []Ended[L], entered bool,
) {
	if d.expires == 0 {
		d.expires = now.Add(a.Life)
	}
	d.hasKey = d.hasKey || a.MayHaveKey
	l.recordTry(a, now)
	doubtful, expired := a.isDoubtful(), d.expires <= now //mutant:debt-expired
	resolved := a.Gone && (!doubtful || l.closing || d.doubt >= longestDoubt)
	switch {
	case resolved, expired, a.Final:
		if d.entered {
			l.forget(d.Lock)
		}
		return []Ended[L]{{Lock: d.Lock, Gone: a.Gone || expired}}, false
	case !d.entered && l.owes(d.Lock): // the debt in the ledger serves both
		return []Ended[L]{{Lock: d.Lock}}, false
	case a.Closed: //mutant:closed-is-left
		return l.giveUp(nil, d), false
	case l.hopeless:
		ended = l.giveUp(ended, d)
		return l.giveUpAll(ended), false
	case doubtful:
		d.doubt = max(doubtPause, 2*d.doubt)
		d.due = now.Add(d.doubt)
		if a.DoubtEnds != clock.Never {
			d.due = max(a.DoubtEnds, now) //mutant:doubt-due
		}
	default:
		d.due = now
	}
	return l.enter(d), true
}

func (l *Ledger[L]) owes(lock L) bool {
	_, ok := l.owed[lock]
	return ok
}

// recordTry records whether the master answered a try. After Close, a release that was not sent
// shows nothing about the master: another call to it is in flight, and may be answered yet.
func (l *Ledger[L]) recordTry(a Answer, now clock.Instant) {
	switch {
	case a.Gone:
		l.pause, l.retry, l.silent, l.hopeless = 0, now, clock.Never, false
	case l.closing:
		l.pause, l.retry = closingPause, now.Add(closingPause)
		if a.Sent { //mutant:closing-sent
			l.silent = min(l.silent, now)
			l.hopeless = now.Sub(l.silent) >= closingPatience //mutant:hopeless
		}
	case now >= l.retry:
		l.pause = min(max(firstPause, 2*l.pause), longestPause)
		l.retry = now.Add(l.pause)
	}
}

// enter adds a debt. If there are too many, it gives up those that expire first. It gives up an
// eighth of the limit at once, so that sorting is rare.
func (l *Ledger[L]) enter(d Debt[L]) (ended []Ended[L]) {
	d.entered = true
	l.owed[d.Lock] = struct{}{}
	heap.Push(&l.debts, &d)
	excess := len(l.debts.all) - l.limit
	if excess <= 0 { //mutant:debts-bound
		return nil
	}
	slices.SortFunc(l.debts.all, func(a, b Debt[L]) int { //mutant:debts-order
		return cmp.Or(cmp.Compare(a.expires, b.expires), l.debts.compare(a.Lock, b.Lock))
	})
	n := min(excess+l.limit/8, len(l.debts.all))
	ended = l.giveUp(nil, l.debts.all[:n]...)
	l.debts.all = slices.Delete(l.debts.all, 0, n)
	heap.Init(&l.debts)
	return ended
}

// giveUp leaves debts to expire, and appends an Ended for each. It counts only the debts with a
// key. A release in doubt has been confirmed before, so as far as the ledger knows, there is no
// key.
func (l *Ledger[L]) giveUp(ended []Ended[L], debts ...Debt[L]) []Ended[L] {
	for _, d := range debts {
		left := d.doubt == 0 && d.hasKey
		if left {
			l.leftToExpire++ //mutant:debts-dropped
			if l.closing {
				l.left = append(l.left, d.Lock)
			}
		}
		l.forget(d.Lock)
		ended = append(ended, Ended[L]{Lock: d.Lock, LeftToExpire: left})
	}
	return ended
}

// giveUpAll gives up all debts that are not being tried.
func (l *Ledger[L]) giveUpAll(ended []Ended[L]) []Ended[L] {
	ended = l.giveUp(ended, l.debts.all...)
	l.debts.all = nil
	return ended
}

// Take returns the debts to try now, and an Ended for each debt whose key has expired. After each
// try, the caller must call Settle and then Tried.
//
// silent says that the master does not answer. Then Take returns one debt from time to time, to
// find out whether the master is back. It does so even if earlier tries are stuck.
func (l *Ledger[L]) Take(now clock.Instant, silent bool) (due []Debt[L], ended []Ended[L]) {
	most := maxTries - l.tries
	if silent {
		most = 1
	}
	for len(l.debts.all) > 0 && len(due) < most && l.next() <= now {
		d := heap.Pop(&l.debts).(*Debt[L])
		if d.expires <= now { //mutant:debt-too-late
			l.forget(d.Lock)
			ended = append(ended, Ended[L]{Lock: d.Lock, Gone: true})
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

// Tried records that a try is over. The caller must call Take or UntilNext again.
func (l *Ledger[L]) Tried() { l.tries-- }

// next returns when to try the next debt.
func (l *Ledger[L]) next() clock.Instant { return max(l.debts.all[0].due, l.retry) }

// UntilNext returns how long the caller may wait before it calls Take. While tries are in flight,
// it gives them at least firstPause to finish. It does not wait for all of them, because one may be
// stuck while the master answers others.
func (l *Ledger[L]) UntilNext(now clock.Instant) time.Duration {
	if len(l.debts.all) == 0 {
		return clock.Never.Sub(0)
	}
	wait := l.next().Sub(now)
	if l.tries > 0 {
		wait = max(wait, firstPause)
	}
	return wait
}

// Close says that little time is left. It makes all debts due, so the caller must call Take.
func (l *Ledger[L]) Close(now clock.Instant) {
	l.closing, l.retry, l.silent = true, now, clock.Never
	for i := range l.debts.all {
		l.debts.all[i].due = now
	}
	heap.Init(&l.debts) // the locks decide the order now
}

// GiveUp gives up all debts that are not being tried. It returns the locks whose keys were left to
// expire since Close.
func (l *Ledger[L]) GiveUp() (left []L, ended []Ended[L]) {
	ended = l.giveUpAll(nil)
	return l.left, ended
}

// forget removes a lock from the owed ones. A map keeps the memory of all that was ever in it, so
// that of an outage is given up when the outage is over.
func (l *Ledger[L]) forget(lock L) {
	if delete(l.owed, lock); len(l.owed) == 0 {
		l.owed = map[L]struct{}{}
	}
}

// Pending returns how many releases the master is owed, including those that are being tried.
func (l *Ledger[L]) Pending() int { return len(l.debts.all) + l.tries }

// LeftToExpire returns how many keys have been left to expire so far, because too many releases
// were owed or time ran out.
func (l *Ledger[L]) LeftToExpire() uint64 { return l.leftToExpire }
