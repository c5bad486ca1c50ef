package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/quorum"
)

// lockKind is the kind of lock that a call asks for. A positive one is one of so many permits.
type lockKind int

const (
	plainLock     lockKind = 0
	sharedLock    lockKind = -1
	exclusiveLock lockKind = -2
)

// mostPermits is how many permits a lock has at most.
const mostPermits = 3

// String describes the kind.
func (k lockKind) String() string {
	switch k {
	case plainLock:
		return "plain"
	case sharedLock:
		return "shared"
	case exclusiveLock:
		return "exclusive"
	}
	return fmt.Sprintf("%d permits", int(k))
}

// options returns the options that ask for the kind.
func (k lockKind) options() []quorum.AcquireOption {
	switch k {
	case plainLock:
		return nil
	case sharedLock:
		return []quorum.AcquireOption{quorum.Shared()}
	case exclusiveLock:
		return []quorum.AcquireOption{quorum.Exclusive()}
	}
	return []quorum.AcquireOption{quorum.Permits(int(k))}
}

// permits returns how many permits the kind is one of, or 0.
func (k lockKind) permits() int { return max(int(k), 0) }

// goesWith reports whether one name may be used with both kinds.
func (k lockKind) goesWith(other lockKind) bool { return k == other || k < 0 && other < 0 }

// weaker returns the kind that a liar asks for instead: one that excludes less.
func (k lockKind) weaker() lockKind {
	switch {
	case k == exclusiveLock:
		return sharedLock
	case k > 0:
		return k + 1
	}
	return k
}

// wrongKinds returns the kinds that do not go together with this one.
func (k lockKind) wrongKinds() []lockKind {
	all := []lockKind{plainLock, sharedLock, exclusiveLock}
	for n := range lockKind(mostPermits + 1) {
		all = append(all, n+1)
	}
	return slices.DeleteFunc(all, k.goesWith)
}

// chaosLock is a lock that clients use. All of them use its name with the same kind. If that is
// exclusiveLock, they also use it with sharedLock.
type chaosLock struct {
	Name string
	Kind lockKind
}

// chaosLocks returns n locks, a third of each kind.
func chaosLocks(n int) (locks []chaosLock) {
	for i := range n {
		l := chaosLock{fmt.Sprintf("lock-%d", i), plainLock}
		switch i % 3 {
		case 1:
			l = chaosLock{fmt.Sprintf("document-%d", i), exclusiveLock}
		case 2:
			l = chaosLock{fmt.Sprintf("pool-%d", i), lockKind(1 + i/3%mostPermits)}
		}
		locks = append(locks, l)
	}
	return locks
}

// only returns the locks that have one of the kinds.
func only(locks []chaosLock, kinds ...lockKind) []chaosLock {
	return slices.DeleteFunc(slices.Clone(locks), func(l chaosLock) bool { return !slices.Contains(kinds, l.Kind) })
}

// draw draws the kind for one call. There are more readers than writers.
func (k lockKind) draw(random *rand.Rand) lockKind {
	if k == exclusiveLock && random.IntN(10) < 7 {
		return sharedLock
	}
	return k
}

// draw draws a lock, and the kind that a call asks for.
func (w *chaosWorker) draw() (name string, kind lockKind) {
	l := w.setup.Locks[w.random.IntN(len(w.setup.Locks))]
	return l.Name, l.Kind.draw(w.random)
}

// options returns the options of a call for a lock of the kind.
func (w *chaosWorker) options(kind lockKind, opts ...quorum.AcquireOption) []quorum.AcquireOption {
	if w.setup.LieAboutKind {
		kind = kind.weaker()
	}
	return append(kind.options(), opts...)
}

// wrongKindOp is the operation that outcomes of calls for a wrong kind name.
const wrongKindOp = "try wrong kind"

// tryWrongKind asks for a lock of another kind than the one that it holds under the same name.
func (w *chaosWorker) tryWrongKind(ctx context.Context) {
	t := w.acquire(ctx, w.setup.longestTTL(), 0)
	if t == nil {
		return
	}
	call, cancel := w.shortContext(ctx)
	t.tryWrongKind(call, w.locks, w.random, w.ttl())
	cancel()
	w.release(ctx, t)
}

// tryWrongKind tries to acquire a lock of the same name and of another kind. If that succeeds while
// this one is held, the oracle finds two holders at once.
func (h *heldLock) tryWrongKind(ctx context.Context, locks *quorum.Manager, random *rand.Rand, ttl time.Duration) {
	wrong := h.kind.wrongKinds()
	kind := wrong[random.IntN(len(wrong))]
	start := h.journal.now()
	l, err := locks.TryAcquire(ctx, h.lock.Name(), ttl, kind.options()...)
	h.journal.checkTook(wrongKindOp, start, h.journal.now()-start, 2*chaosAttemptTimeout)
	if err == nil {
		h.journal.outcome("%s: held", wrongKindOp)
		stray := &heldLock{journal: h.journal, lock: l, kind: kind, stray: true, lost: l.Lost()}
		stray.start(ttl)
		stray.release(context.WithoutCancel(ctx))
		h.check()
		return
	}
	h.journal.checkFailure(ctx, wrongKindOp, err)
	var failure *quorum.AttemptError
	if errors.As(err, &failure) && h.check() && h.kind.deniedBy(kind, failure.Masters) > len(failure.Masters)-failure.Quorum {
		h.recordDenied(fmt.Sprintf("%s, %v: %v", wrongKindOp, kind, err))
	}
}

// deniedBy counts the masters whose answers to a call for a wrong kind say that they do not have a
// lock of this kind. A master that has it finds that the kinds do not go together. If one of the
// two is plain, it finds that the key is taken.
func (k lockKind) deniedBy(wrong lockKind, masters []quorum.MasterResult) (n int) {
	ordered := k != plainLock && wrong != plainLock
	for _, m := range masters {
		conflict := errors.Is(m.Err, quorum.ErrConflict)
		switch m.Outcome {
		case quorum.Unknown, quorum.Unsent, quorum.Expired: // no answer to that
		case quorum.Refused:
			if conflict && !ordered {
				n++
			}
		case quorum.Taken:
			if ordered {
				n++
			}
		default:
			n++
		}
	}
	return n
}

// deniedByInspection reports whether an inspection says that a lock of this kind, with the token,
// is not held. If all masters have answered, it must be shown.
func (k lockKind) deniedByInspection(token string, seen *quorum.Inspection) bool {
	shown := k == plainLock && seen.Token == token
	for _, holder := range seen.Holders {
		if holder.Token == token {
			shown = true
		} else if k == exclusiveLock || k.String() != holder.Kind {
			return true
		}
	}
	isSilent := func(m quorum.MasterInspection) bool { return m.Err != nil }
	return seen.State == quorum.StateFree || k == plainLock && seen.Token != "" && !shown ||
		!shown && !slices.ContainsFunc(seen.Masters, isSilent)
}

// kindTable counts the holds of each kind, and how many of them began while another holder had the
// name.
func (r *chaosRecord) kindTable() (table string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, together, until := map[lockKind]int{}, map[lockKind]int{}, map[string]time.Duration{}
	byStart := func(a, b *chaosHold) int { return cmp.Compare(a.From, b.From) }
	for _, hold := range slices.SortedFunc(maps.Values(r.holds), byStart) {
		all[hold.kind]++
		if hold.From < until[hold.Name] {
			together[hold.kind]++
		}
		until[hold.Name] = max(until[hold.Name], hold.To)
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		table += fmt.Sprintf("\n  %6d %v, %d of them together with another holder", all[kind], kind, together[kind])
	}
	return table
}

func TestChaosLocksAreOfAllKinds(t *testing.T) {
	locks := chaosLocks(24)
	assert.Len(t, only(locks, plainLock), 8)
	assert.Len(t, only(locks, exclusiveLock), 8)
	assert.Len(t, only(locks, 1), 3)
	assert.Len(t, only(locks, 2), 3)
	assert.Len(t, only(locks, 3), 2)
	assert.Empty(t, only(locks, sharedLock), "a name is one of writers and readers")
}

func TestWrongKindsDoNotGoTogether(t *testing.T) {
	assert.Equal(t, []lockKind{sharedLock, exclusiveLock, 1, 2, 3, 4}, plainLock.wrongKinds())
	assert.Equal(t, []lockKind{plainLock, 1, 2, 3, 4}, sharedLock.wrongKinds())
	assert.Equal(t, []lockKind{plainLock, 1, 2, 3, 4}, exclusiveLock.wrongKinds())
	assert.Equal(t, []lockKind{plainLock, sharedLock, exclusiveLock, 1, 3, 4}, lockKind(2).wrongKinds())
}

func TestAnswersToWrongKindDenyLock(t *testing.T) {
	conflict := quorum.MasterResult{Outcome: quorum.Refused, Err: quorum.ErrConflict}
	quarantined := quorum.MasterResult{Outcome: quorum.Refused, Err: quorum.ErrQuarantined}
	of := func(o quorum.Outcome) quorum.MasterResult { return quorum.MasterResult{Outcome: o} }
	for what, tt := range map[string]struct {
		held, wrong lockKind
		answer      quorum.MasterResult
		denies      bool
	}{
		"conflict of two ordered kinds":   {2, 3, conflict, false},
		"plain lock beside permits":       {2, plainLock, of(quorum.Taken), false},
		"permits beside a plain lock":     {plainLock, 2, of(quorum.Taken), false},
		"no answer":                       {2, 3, of(quorum.Unknown), false},
		"quarantined":                     {2, 3, quarantined, false},
		"granted":                         {2, plainLock, of(quorum.Held), true},
		"admitted":                        {sharedLock, 2, of(quorum.Held), true},
		"admitted behind others":          {sharedLock, 2, of(quorum.Blocked), true},
		"another token where an entry is": {sharedLock, 2, of(quorum.Taken), true},
		"entries where a plain lock is":   {plainLock, 2, conflict, true},
	} {
		t.Run(what, func(t *testing.T) {
			assert.Equal(t, tt.denies, tt.held.deniedBy(tt.wrong, []quorum.MasterResult{tt.answer}) == 1)
		})
	}
}

func TestInspectionDeniesLock(t *testing.T) {
	entry := func(kind, token string) quorum.Entry { return quorum.Entry{Kind: kind, Token: token} }
	answered, silent := []quorum.MasterInspection{{}}, []quorum.MasterInspection{{Err: quorum.ErrNoQuorum}}
	for what, tt := range map[string]struct {
		kind   lockKind
		seen   quorum.Inspection
		denies bool
	}{
		"plain, shown":              {plainLock, quorum.Inspection{State: quorum.StateHeld, Token: "own", Masters: answered}, false},
		"plain, another":            {plainLock, quorum.Inspection{State: quorum.StateHeld, Token: "other", Masters: silent}, true},
		"plain, not shown":          {plainLock, quorum.Inspection{State: quorum.StateSplit, Masters: answered}, true},
		"plain, one did not answer": {plainLock, quorum.Inspection{State: quorum.StateSplit, Masters: silent}, false},
		"free":                      {sharedLock, quorum.Inspection{State: quorum.StateFree, Masters: silent}, true},
		"reader beside another": {sharedLock, quorum.Inspection{
			Token: "other", Holders: []quorum.Entry{entry("shared", "other"), entry("shared", "own")}, Masters: answered,
		}, false},
		"reader beside a writer": {sharedLock, quorum.Inspection{
			Holders: []quorum.Entry{entry("exclusive", "other"), entry("shared", "own")}, Masters: answered,
		}, true},
		"writer beside a reader": {exclusiveLock, quorum.Inspection{
			Holders: []quorum.Entry{entry("exclusive", "own"), entry("shared", "other")}, Masters: answered,
		}, true},
		"writer beside a writer": {exclusiveLock, quorum.Inspection{
			Holders: []quorum.Entry{entry("exclusive", "own"), entry("exclusive", "other")}, Masters: answered,
		}, true},
		"permit beside another": {2, quorum.Inspection{
			Holders: []quorum.Entry{entry("2 permits", "own"), entry("2 permits", "other")}, Masters: answered,
		}, false},
		"permit beside one of another number": {2, quorum.Inspection{
			Holders: []quorum.Entry{entry("2 permits", "own"), entry("3 permits", "other")}, Masters: answered,
		}, true},
		"permit, not shown": {2, quorum.Inspection{Holders: []quorum.Entry{entry("2 permits", "other")}, Masters: answered}, true},
		"permit, one did not answer": {2, quorum.Inspection{
			Holders: []quorum.Entry{entry("2 permits", "other")}, Masters: silent,
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			assert.Equal(t, tt.denies, tt.kind.deniedByInspection("own", &tt.seen))
		})
	}
}
