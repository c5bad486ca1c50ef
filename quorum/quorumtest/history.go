package quorumtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Hold is one stretch of time in which a holder relied on a lock.
//
// From is when its acquisition returned, or later; To is when the holder stopped
// relying on it: when it began to release it, or when its window closed,
// whichever came first. Both are on one time line for the whole history, such as
// the time since the test began; where holders are on clocks of their own, it is
// the true time that counts.
//
// A hold whose To is not after its From, because its window had closed before its
// holder could look at a clock, excludes nobody. Its token and its fence were
// given out all the same.
type Hold struct {
	Name     string // of the lock
	Holder   string // who held it, for the report
	Token    string // the lock's ownership token; "" if it is not to be checked
	From, To time.Duration
	Fence    int64 // the fencing token; 0 without fencing
}

// begin returns when the lock was the holder's at the latest. If its window had
// closed before From, others may have had the lock by then.
func (h Hold) begin() time.Duration { return min(h.From, h.To) }

// relied tells whether the holder relied on the lock at all.
func (h Hold) relied() bool { return h.From < h.To }

// History collects holds and checks that they exclude each other. The zero
// History is empty and ready for use. Its methods may be called concurrently.
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

// Holds returns what was recorded, ordered by name and beginning, which is From,
// or To for a hold that was over before that.
func (h *History) Holds() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	holds := slices.Clone(h.holds)
	slices.SortStableFunc(holds, func(a, b Hold) int {
		return cmp.Or(
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.begin(), b.begin()),
			cmp.Compare(a.Fence, b.Fence), // which of them was first is not known, so this may have been
			cmp.Compare(a.To, b.To),
		)
	})
	return holds
}

// Check returns an error that describes each hold which violates what a lock
// promises to the holds of the same name before it: one that began while another
// lasted, one with a token that was held before, and one whose fence, if it is not
// 0, is not above every earlier fence. It returns nil if there is none.
func (h *History) Check() error {
	var errs []error
	pasts := map[string]*past{}
	for _, hold := range h.Holds() {
		if pasts[hold.Name] == nil {
			pasts[hold.Name] = &past{tokens: map[string]Hold{}}
		}
		errs = append(errs, pasts[hold.Name].violations(hold)...)
		pasts[hold.Name].add(hold)
	}
	return errors.Join(errs...)
}

// past is what matters of a name's holds so far. One hold cannot stand for all of
// it: the last one may have no fence, and the one that lasts longest a low one.
type past struct {
	longest *Hold // of those that somebody relied on, the one that ended last
	highest *Hold // of those with a fence, the one with the highest
	tokens  map[string]Hold
}

// violations returns what is wrong with a hold that comes after these.
func (p *past) violations(hold Hold) (errs []error) {
	if before, ok := p.tokens[hold.Token]; ok {
		errs = append(errs, fmt.Errorf("token held twice: %v and %v", before, hold))
	}
	if p.longest != nil && hold.relied() && hold.From < p.longest.To {
		errs = append(errs, fmt.Errorf("two holders at once: %v and %v", *p.longest, hold))
	}
	if p.highest != nil && hold.Fence != 0 && hold.Fence <= p.highest.Fence {
		errs = append(errs, fmt.Errorf("fences out of order: %v before %v", *p.highest, hold))
	}
	return errs
}

func (p *past) add(hold Hold) {
	if hold.Token != "" {
		p.tokens[hold.Token] = hold
	}
	if hold.relied() && (p.longest == nil || hold.To > p.longest.To) {
		p.longest = &hold
	}
	if hold.Fence != 0 && (p.highest == nil || hold.Fence > p.highest.Fence) {
		p.highest = &hold
	}
}

// String tells who held what, from when to when.
func (h Hold) String() string {
	s := fmt.Sprintf("%s held %q from %v to %v", h.Holder, h.Name, h.From, h.To)
	if h.Fence != 0 {
		s += fmt.Sprintf(" with fence %d", h.Fence)
	}
	return s
}
