package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// chaosRecord collects the events of all processes and checks them.
type chaosRecord struct {
	mu         sync.Mutex // guards the fields below
	holds      map[holdKey]*chaosHold
	fencing    bool            // locks have fences
	guard      bool            // the restart guard is on
	forgets    []gap           // when masters forgot that clients could reach
	returns    []time.Duration // when masters that forgot while cut off became reachable again
	violations []string
	outcomes   map[string]int
	closings   []chaosEvent
	samples    map[string][]chaosEvent // by process
}

type holdKey struct {
	holder string
	id     int64
}

// chaosHold is a hold, and when its window began.
type chaosHold struct {
	quorumtest.Hold
	begun  time.Duration
	until  time.Duration
	over   bool
	kind   lockKind
	stray  bool // of another kind than others of its name, so its fence is not ordered with theirs
	denied *chaosEvent
}

func newChaosRecord() *chaosRecord {
	return &chaosRecord{holds: map[holdKey]*chaosHold{}, outcomes: map[string]int{}, samples: map[string][]chaosEvent{}}
}

// read reads the events of a process until it ends.
func (r *chaosRecord) read(holder string, from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var e chaosEvent
		if json.Unmarshal(lines.Bytes(), &e) == nil { // the last line of a killed process may be incomplete
			r.add(holder, e)
		}
	}
}

// reporter records the events of a holder in the process of the test.
type reporter struct {
	record *chaosRecord
	holder string
}

// Write records one event.
func (r reporter) Write(line []byte) (int, error) {
	r.record.read(r.holder, bytes.NewReader(line))
	return len(line), nil
}

func (r *chaosRecord) add(holder string, e chaosEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hold := r.holds[holdKey{holder, e.ID}]
	if hold == nil {
		hold = new(chaosHold) // the hold has ended before it began
	}
	switch e.Kind {
	case eventHeld:
		r.holds[holdKey{holder, e.ID}] = &chaosHold{begun: e.Begun, until: e.Until, kind: e.Lock, stray: e.Stray, Hold: quorumtest.Hold{
			Name: e.Name, Holder: holder, Token: e.Token, Fence: e.Fence, From: e.From, To: e.Until,
			Shared: e.Lock == sharedLock, Permits: e.Lock.permits(),
		}}
	case eventExtended:
		hold.until = e.Until
		hold.To = e.Until // unless an event ends the hold earlier
	case eventOver:
		hold.To, hold.over = e.To, true
	case eventDenied:
		hold.To, hold.over, hold.denied = e.To, true, &e
	case eventOutcome:
		r.outcomes[e.What]++
	case eventViolation:
		r.violations = append(r.violations, fmt.Sprintf("%s at %v: %s", holder, e.To, e.What))
	case eventClosed:
		r.closings = append(r.closings, e)
		if e.Count > 0 {
			r.violations = append(r.violations, fmt.Sprintf("%s: %d goroutines after Close", holder, e.Count))
		}
	case eventSample:
		r.samples[holder] = append(r.samples[holder], e)
	}
}

func (r *chaosRecord) recordForget(from, to time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgets = append(r.forgets, gap{from, to})
}

func (r *chaosRecord) recordReturn(at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returns = append(r.returns, at)
}

func (r *chaosRecord) violation(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// holdCount returns how many locks a process holds. Periods do not count, because they last without
// a process.
func (r *chaosRecord) holdCount(holder string, now time.Duration) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, hold := range r.holds {
		if key.holder == holder && !hold.over && hold.until > now && hold.Token != "" {
			n++
		}
	}
	return n
}

// guaranteed returns the part of a hold that no other may overlap, and whether there is one. After
// a reachable master has forgotten, earlier grants are no longer guaranteed, because their majority
// may be gone. With the restart guard, the whole hold is guaranteed.
func (r *chaosRecord) guaranteed(hold chaosHold) (quorumtest.Hold, bool) {
	hold.Fence = 0 // checkFences checks fences
	if r.guard {
		return hold.Hold, true
	}
	for _, f := range r.forgets {
		switch {
		case hold.begun >= f.to || hold.To <= f.from:
		case hold.From >= f.from:
			return quorumtest.Hold{}, false
		default:
			hold.To = f.from
		}
	}
	return hold.Hold, true
}

// check returns all violations.
func (r *chaosRecord) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var history quorumtest.History
	var errs []error
	for _, hold := range r.holds {
		if h, ok := r.guaranteed(*hold); ok {
			history.Add(h)
		}
		if e := hold.denied; e != nil && !r.causedByForget(hold, e) {
			errs = append(errs, fmt.Errorf("lost inside its window, which lasts until %v: %v: %s", hold.until, hold, e.What))
		}
		if r.fencing && hold.Token != "" && hold.Fence == 0 {
			errs = append(errs, fmt.Errorf("has no fence: %v", hold))
		}
	}
	for _, wrong := range r.violations {
		errs = append(errs, errors.New(wrong))
	}
	return errors.Join(append(errs, history.Check(), r.checkFences())...)
}

// checkFences checks that the fences of each name increase from hold to hold. Without the restart
// guard, that is guaranteed only among acquisitions between which no master forgot. The caller
// holds mu.
func (r *chaosRecord) checkFences() error {
	epochs := map[int]*quorumtest.History{}
	for _, hold := range r.holds {
		epoch, ok := r.epoch(hold)
		if hold.Fence == 0 || hold.stray || !ok {
			continue
		}
		if epochs[epoch] == nil {
			epochs[epoch] = new(quorumtest.History)
		}
		moment := hold.Hold
		moment.To = min(moment.From, moment.To) // excludes nothing, because check has checked overlaps
		epochs[epoch].Add(moment)
	}
	var errs []error
	for _, history := range epochs {
		errs = append(errs, history.Check())
	}
	return errors.Join(errs...)
}

// epoch returns how often masters forgot before a lock was acquired. It returns false if a master
// forgot during the acquisition.
func (r *chaosRecord) epoch(hold *chaosHold) (n int, ok bool) {
	if r.guard {
		return 0, true
	}
	forgets := slices.Clone(r.forgets)
	for _, at := range r.returns { // as if the master had forgotten only now
		forgets = append(forgets, gap{at, at})
	}
	for _, f := range forgets {
		switch {
		case f.to <= hold.begun:
			n++
		case f.from < hold.From:
			return 0, false
		}
	}
	return n, true
}

// excused returns how many holds are not checked to their end because masters forgot, how many
// locks were lost inside their window for that reason, and how many holds overlap.
func (r *chaosRecord) excused() (cut, lost, overlaps int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all, part quorumtest.History
	for _, hold := range r.holds {
		whole := hold.Hold
		whole.Fence = 0
		all.Add(whole)
		h, ok := r.guaranteed(*hold)
		if ok {
			part.Add(h)
		}
		if !ok || h.To < hold.To {
			cut++
		}
		if hold.denied != nil && r.causedByForget(hold, hold.denied) {
			lost++
		}
	}
	return cut, lost, countLines(all.Check()) - countLines(part.Check())
}

// causedByForget reports whether a lock could be lost inside its window because a master forgot it.
// The restart guard does not prevent such a loss. It only prevents that another client gets the
// lock before the holder can notice.
func (r *chaosRecord) causedByForget(hold *chaosHold, denied *chaosEvent) bool {
	return slices.ContainsFunc(r.forgets, func(f gap) bool { return hold.begun < f.to && denied.From >= f.from })
}

// longestVacancy returns the longest time before until without a holder: of the named lock, or of
// any lock if name is "".
func (r *chaosRecord) longestVacancy(name string, until time.Duration) (longest gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	holds := slices.SortedFunc(maps.Values(r.holds), func(a, b *chaosHold) int { return int(a.From - b.From) })
	last := time.Duration(0)
	for _, hold := range holds {
		if name != "" && hold.Name != name {
			continue
		}
		if from := min(hold.From, until); from-last > longest.length() {
			longest = gap{last, from}
		}
		last = max(last, hold.To)
	}
	if until-last > longest.length() {
		longest = gap{last, until}
	}
	return longest
}

// extensions returns the number of successful calls of Extend.
func (r *chaosRecord) extensions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes["extend: done"]
}

func (r *chaosRecord) outcomeTable() (table string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(r.outcomes)) {
		table += fmt.Sprintf("\n  %6d %s", r.outcomes[what], what)
	}
	return table
}

func TestChaosRecordDetectsEveryViolation(t *testing.T) {
	const ms = time.Millisecond
	type reported struct {
		by    string
		event chaosEvent
	}
	held := func(by string, begun, from, until time.Duration) reported {
		return reported{by, chaosEvent{
			Kind: eventHeld, ID: 1, Name: "job", Token: by, Begun: begun * ms, From: from * ms, Until: until * ms,
		}}
	}
	over := func(by string, to time.Duration) reported {
		return reported{by, chaosEvent{Kind: eventOver, ID: 1, To: to * ms}}
	}
	fenced := func(by string, begun, from, until time.Duration, fence int64) reported {
		h := held(by, begun, from, until)
		h.event.Fence = fence
		return h
	}
	of := func(kind lockKind, h reported) reported {
		h.event.Lock = kind
		return h
	}
	stray := func(h reported) reported {
		h.event.Stray = true
		return h
	}
	denied := func(by string, to time.Duration) reported {
		return reported{by, chaosEvent{Kind: eventDenied, ID: 1, From: to * ms, To: to * ms}}
	}
	for what, tt := range map[string]struct {
		events  []reported
		forgets []gap
		returns []time.Duration
		guard   bool
		fencing bool
		want    string
	}{
		"consecutive": {events: []reported{held("a", 0, 1, 99), over("a", 50), held("b", 45, 51, 99)}},
		"two processes at once": {
			events: []reported{held("a", 0, 1, 99), over("a", 50), held("b", 45, 49, 99)},
			want:   "two holders at once",
		},
		"killed while holding": {
			events: []reported{held("a", 0, 1, 99), held("b", 45, 49, 120)},
			want:   "two holders at once",
		},
		"killed after an extension": {
			events: []reported{held("a", 0, 1, 99), {"a", chaosEvent{Kind: eventExtended, ID: 1, Until: 150 * ms}}, held("b", 99, 100, 180)},
			want:   "two holders at once",
		},
		"second after a master forgot the first": {
			events:  []reported{held("a", 0, 1, 99), held("b", 45, 49, 120)},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"first acquired while a master forgot": {
			events:  []reported{held("a", 29, 41, 99), held("b", 45, 49, 120)},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"both before a master forgot": {
			events:  []reported{held("a", 0, 1, 99), held("b", 2, 3, 99)},
			forgets: []gap{{30 * ms, 40 * ms}},
			want:    "two holders at once",
		},
		"both after a master forgot": {
			events:  []reported{held("a", 41, 42, 99), held("b", 45, 49, 99)},
			forgets: []gap{{30 * ms, 40 * ms}},
			want:    "two holders at once",
		},
		"lost inside the window": {events: []reported{held("a", 0, 1, 99), denied("a", 50)}, want: "lost inside its window"},
		"lost because a master forgot": {
			events:  []reported{held("a", 0, 1, 99), denied("a", 50)},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"lost although acquired after a master forgot": {
			events:  []reported{held("a", 41, 42, 99), denied("a", 50)},
			forgets: []gap{{30 * ms, 40 * ms}},
			want:    "lost inside its window",
		},
		"second after a master forgot the first, with the guard": {
			events:  []reported{held("a", 0, 1, 99), held("b", 45, 49, 120)},
			forgets: []gap{{30 * ms, 40 * ms}}, guard: true,
			want: "two holders at once",
		},
		"lost because a master forgot, with the guard": {
			events:  []reported{held("a", 0, 1, 99), denied("a", 50)},
			forgets: []gap{{30 * ms, 40 * ms}}, guard: true,
		},
		"fences increase": {events: []reported{fenced("a", 0, 1, 40, 7), fenced("b", 45, 49, 99, 8)}},
		"a window closed before its holder saw it": {
			events: []reported{fenced("a", 0, 60, 40, 7), fenced("b", 45, 49, 99, 8)},
		},
		"fences decrease": {
			events: []reported{fenced("a", 0, 1, 40, 8), fenced("b", 45, 49, 99, 7)},
			want:   "fences out of order",
		},
		"same fence again": {
			events: []reported{fenced("a", 0, 1, 40, 7), fenced("b", 45, 49, 99, 7)},
			want:   "fences out of order",
		},
		"fences decrease across a hold without one": {
			events: []reported{fenced("a", 0, 1, 40, 8), held("c", 41, 42, 43), fenced("b", 45, 49, 99, 7)},
			want:   "fences out of order",
		},
		"fences decrease after a master forgot": {
			events:  []reported{fenced("a", 0, 1, 20, 8), fenced("b", 45, 49, 99, 7)},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"fences decrease while a master forgot": {
			events:  []reported{fenced("a", 0, 1, 20, 8), fenced("b", 35, 49, 99, 7)},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"fences decrease after a forgetful master returns": {
			events:  []reported{fenced("a", 0, 1, 20, 8), fenced("b", 45, 49, 99, 7)},
			returns: []time.Duration{40 * ms},
		},
		"fences decrease before a forgetful master returns": {
			events:  []reported{fenced("a", 0, 1, 20, 8), fenced("b", 25, 29, 99, 7)},
			returns: []time.Duration{40 * ms},
			want:    "fences out of order",
		},
		"fences decrease after a master forgot, with the guard": {
			events:  []reported{fenced("a", 0, 1, 20, 8), fenced("b", 45, 49, 99, 7)},
			forgets: []gap{{30 * ms, 40 * ms}}, guard: true,
			want: "fences out of order",
		},
		"no fence": {events: []reported{held("a", 0, 1, 99)}, fencing: true, want: "has no fence"},
		"readers together": {events: []reported{
			of(sharedLock, held("a", 0, 1, 99)), of(sharedLock, held("b", 2, 3, 99)), of(sharedLock, held("c", 2, 3, 99)),
		}},
		"writer beside a reader": {
			events: []reported{of(sharedLock, held("a", 0, 1, 99)), of(exclusiveLock, held("b", 2, 3, 99))},
			want:   "two holders at once",
		},
		"reader beside a writer": {
			events: []reported{of(exclusiveLock, held("a", 0, 1, 99)), of(sharedLock, held("b", 2, 3, 99))},
			want:   "two holders at once",
		},
		"two writers": {
			events: []reported{of(exclusiveLock, held("a", 0, 1, 99)), of(exclusiveLock, held("b", 2, 3, 99))},
			want:   "two holders at once",
		},
		"writer beside a reader that a master forgot": {
			events:  []reported{of(sharedLock, held("a", 0, 1, 99)), of(exclusiveLock, held("b", 45, 49, 99))},
			forgets: []gap{{30 * ms, 40 * ms}},
		},
		"plain lock beside a reader": {
			events: []reported{of(sharedLock, held("a", 0, 1, 99)), stray(held("b", 2, 3, 99))},
			want:   "two holders at once",
		},
		"all permits": {events: []reported{of(2, held("a", 0, 1, 99)), of(2, held("b", 2, 3, 99))}},
		"one permit too many": {
			events: []reported{of(2, held("a", 0, 1, 99)), of(2, held("b", 2, 3, 99)), of(2, held("c", 4, 5, 99))},
			want:   "more holders than permits",
		},
		"permits of two numbers": {
			events: []reported{of(3, held("a", 0, 1, 99)), stray(of(2, held("b", 2, 3, 99)))},
			want:   "two holders at once",
		},
		"fences of readers in any order": {events: []reported{
			of(sharedLock, fenced("a", 0, 1, 40, 8)), of(sharedLock, fenced("b", 45, 49, 99, 7)),
		}},
		"fences of permits in any order": {events: []reported{of(2, fenced("a", 0, 1, 40, 8)), of(2, fenced("b", 45, 49, 99, 7))}},
		"reader's fence below a writer's": {
			events: []reported{of(exclusiveLock, fenced("a", 0, 1, 40, 8)), of(sharedLock, fenced("b", 45, 49, 99, 7))},
			want:   "fences out of order",
		},
		"writer's fence below a reader's": {
			events: []reported{of(sharedLock, fenced("a", 0, 1, 40, 8)), of(exclusiveLock, fenced("b", 45, 49, 99, 7))},
			want:   "fences out of order",
		},
		"writer's fence below a writer's": {
			events: []reported{of(exclusiveLock, fenced("a", 0, 1, 40, 8)), of(exclusiveLock, fenced("b", 45, 49, 99, 7))},
			want:   "fences out of order",
		},
		"fence of a lock of a wrong kind": {events: []reported{
			of(sharedLock, fenced("a", 0, 1, 40, 8)), stray(fenced("b", 45, 49, 99, 7)),
		}},
		"violation":        {events: []reported{{"a", chaosEvent{Kind: eventViolation, What: "a violation"}}}, want: "a violation"},
		"leaked goroutine": {events: []reported{{"a", chaosEvent{Kind: eventClosed, Count: 2}}}, want: "2 goroutines after Close"},
	} {
		t.Run(what, func(t *testing.T) {
			r := newChaosRecord()
			r.forgets, r.returns, r.guard, r.fencing = tt.forgets, tt.returns, tt.guard, tt.fencing
			for _, x := range tt.events {
				r.add(x.by, x.event)
			}
			if tt.want == "" {
				assert.NoError(t, r.check())
			} else {
				require.ErrorContains(t, r.check(), tt.want)
			}
		})
	}
}
