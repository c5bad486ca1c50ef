package quorumtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Hold is a period in which a holder relied on a lock.
//
// From is when the acquisition returned, or later. To is when the holder stopped relying on the
// lock: when it began to release it or when its window closed, whichever came first. All holds of a
// history use the same time line, such as the time since the start of the test. If holders have
// different clocks, use true time.
//
// A window may close before the holder first looks at its clock. Then To is not after From, and the
// hold excludes no other hold. Its token and fence are checked all the same.
type Hold struct {
	Name     string // name of the lock
	Holder   string // the holder, for error messages
	Token    string // the lock's ownership token; "" skips the check
	From, To time.Duration
	Fence    int64 // the fencing token; 0 without fencing

	Shared  bool // it was a shared lock: other shared holds may overlap
	Permits int  // it was one of so many permits; 0 if it was none
}

// start returns the latest instant at which the holder certainly had the lock. If the window closed
// before From, others may have had the lock by then.
func (h Hold) start() time.Duration { return min(h.From, h.To) }

// reliedOn reports whether the holder relied on the lock at all.
func (h Hold) reliedOn() bool { return h.From < h.To }

// History collects holds and checks that they exclude each other. The zero value is an empty
// history. Its methods are safe for concurrent use.
type History struct {
	mu    sync.Mutex
	holds []Hold
}

// Add records a hold that is over.
func (h *History) Add(hold Hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = append(h.holds, hold)
}

// Holds returns the recorded holds, sorted by name and start. A hold starts at From, or at To if
// that is earlier.
func (h *History) Holds() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	holds := slices.Clone(h.holds)
	slices.SortStableFunc(holds, func(a, b Hold) int {
		return cmp.Or(
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.start(), b.start()),
			cmp.Compare(a.Fence, b.Fence), // their order is unknown; assume that fences increase
			cmp.Compare(a.To, b.To),
		)
	})
	return holds
}

// Check checks that the holds of each name exclude each other, as far as they must. It returns nil
// if they do. Otherwise the error joins an error for each rule that a hold breaks:
//
//   - "two holders at once": the hold began before an earlier one ended, and they are neither both
//     shared nor permits of the same number
//   - "more holders than permits": the hold began while all permits were held
//   - "token held twice": an earlier hold had the same token
//   - "fences out of order": the fence is not 0, and an earlier hold that it excludes had the same
//     or a higher one. Permits are not checked: their fences order admissions, not holds.
func (h *History) Check() error {
	var errs []error
	prior := map[string]*priorHolds{}
	for _, hold := range h.Holds() {
		if prior[hold.Name] == nil {
			prior[hold.Name] = &priorHolds{tokens: map[string]Hold{}}
		}
		errs = append(errs, prior[hold.Name].violations(hold)...)
		prior[hold.Name].add(hold)
	}
	return errors.Join(errs...)
}

// priorHolds is what matters about the earlier holds of a name. A single hold is not enough: the
// last one may have no fence, and the longest one a low fence.
type priorHolds struct {
	active  []Hold // those that were relied on and may not have ended yet
	highest *Hold  // of the holds with a fence that were not shared, the one with the highest fence
	shared  *Hold  // of the shared ones
	tokens  map[string]Hold
}

// violations returns the violations of a hold that comes after these.
func (p *priorHolds) violations(hold Hold) (errs []error) {
	if before, ok := p.tokens[hold.Token]; ok {
		errs = append(errs, fmt.Errorf("token held twice: %v and %v", before, hold))
	}
	if hold.reliedOn() {
		errs = append(errs, p.overlaps(hold)...)
	}
	if hold.Fence == 0 || hold.Permits > 0 {
		return errs
	}
	for _, before := range []*Hold{p.highest, p.shared} {
		if before != nil && hold.Fence <= before.Fence && (!hold.Shared || !before.Shared) {
			errs = append(errs, fmt.Errorf("fences out of order: %v before %v", *before, hold))
		}
	}
	return errs
}

// overlaps returns the violations of a hold that begins while others have not ended.
func (p *priorHolds) overlaps(hold Hold) (errs []error) {
	p.active = slices.DeleteFunc(p.active, func(before Hold) bool { return before.To <= hold.From })
	for _, before := range p.active {
		if !hold.joins(before) {
			errs = append(errs, fmt.Errorf("two holders at once: %v and %v", before, hold))
		}
	}
	if hold.Permits > 0 && errs == nil && len(p.active) >= hold.Permits {
		errs = append(errs, fmt.Errorf("more holders than permits: %v besides %v", hold, p.active))
	}
	return errs
}

// joins reports whether the hold may overlap with another one.
func (h Hold) joins(other Hold) bool {
	return h.Shared && other.Shared || h.Permits > 0 && h.Permits == other.Permits
}

func (p *priorHolds) add(hold Hold) {
	if hold.Token != "" {
		p.tokens[hold.Token] = hold
	}
	if hold.reliedOn() {
		p.active = append(p.active, hold)
	}
	highest := &p.highest
	if hold.Shared {
		highest = &p.shared
	}
	if hold.Fence != 0 && hold.Permits == 0 && (*highest == nil || hold.Fence > (*highest).Fence) {
		*highest = &hold
	}
}

// String returns the holder, the name, the period, and the fence if there is one.
func (h Hold) String() string {
	s := fmt.Sprintf("%s held %q from %v to %v", h.Holder, h.Name, h.From, h.To)
	if h.Shared {
		s += ", shared,"
	}
	if h.Permits > 0 {
		s += fmt.Sprintf(" as one of %d", h.Permits)
	}
	if h.Fence != 0 {
		s += fmt.Sprintf(" with fence %d", h.Fence)
	}
	return s
}
