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
type Hold struct {
	Name     string // of the lock
	Holder   string // who held it, for the report
	Token    string // the lock's ownership token
	From, To time.Duration
	Fence    int64 // the fencing token; 0 without fencing
}

// History collects holds and checks that they exclude each other. The zero
// History is empty and ready for use. Its methods may be called concurrently.
type History struct {
	mu    sync.Mutex
	holds []Hold
}

// Add records a hold that is over. One that has no length is of no consequence.
func (h *History) Add(hold Hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = append(h.holds, hold)
}

// Holds returns what was recorded, ordered by name and beginning.
func (h *History) Holds() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	holds := slices.Clone(h.holds)
	slices.SortFunc(holds, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return holds
}

// Check returns an error that describes each violation: two holds of one name
// that overlap, a token that was held twice, and fences that do not rise from one
// hold to the next. It returns nil if there is none.
func (h *History) Check() error {
	var errs []error
	tokens := map[string]Hold{}
	var longest Hold // the hold of this name so far that lasts longest
	for _, hold := range h.Holds() {
		if twice, ok := tokens[hold.Name+"\x00"+hold.Token]; ok && hold.Token != "" {
			errs = append(errs, fmt.Errorf("token held twice: %v and %v", twice, hold))
		}
		tokens[hold.Name+"\x00"+hold.Token] = hold
		if longest.Name != hold.Name {
			longest = hold
			continue
		}
		if hold.From < longest.To && hold.From < hold.To {
			errs = append(errs, fmt.Errorf("two holders at once: %v and %v", longest, hold))
		}
		if hold.Fence != 0 && hold.Fence <= longest.Fence {
			errs = append(errs, fmt.Errorf("fences out of order: %v before %v", longest, hold))
		}
		if hold.To > longest.To {
			longest = hold
		}
	}
	return errors.Join(errs...)
}

// String tells who held what, from when to when.
func (h Hold) String() string {
	s := fmt.Sprintf("%s held %q from %v to %v", h.Holder, h.Name, h.From, h.To)
	if h.Fence != 0 {
		s += fmt.Sprintf(" with fence %d", h.Fence)
	}
	return s
}
