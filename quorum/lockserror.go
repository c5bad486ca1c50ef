package quorum

import (
	"errors"
	"fmt"
	"strings"
)

// LocksError reports which of several locks an operation failed for, and why. It satisfies
// errors.Is and errors.As for what the failures are.
//
// But if the failures have different reasons, only those count that decide what the caller can do:
// an acquisition is ErrTaken if any lock is, and an extension or a release is ErrLost if any lock
// is lost. So a LocksError is one of ErrTaken, ErrNoQuorum and ErrLost, and never two of them.
type LocksError struct {
	Op       string          // "acquire", "extend" or "release"
	Total    int             // how many locks the operation was about
	Failures []*AttemptError // one per lock that failed, never empty
}

// newLocksError returns the error of an operation on several locks, or nil if there are no
// failures.
func newLocksError(op string, total int, failures []*AttemptError) error {
	if len(failures) == 0 {
		return nil
	}
	return &LocksError{Op: op, Total: total, Failures: failures}
}

// Error names the operation, and the locks that failed with their reasons. Of many, it shows the
// first.
func (e *LocksError) Error() string {
	if e.Total == 1 {
		return e.Failures[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "quorum: %s %d of %d names failed: ", e.Op, len(e.Failures), e.Total)
	shown := e.decisive()
	for i, failure := range shown {
		if i == maxShownNames {
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(strings.TrimPrefix(failure.Error(), "quorum: "+e.Op+" "))
	}
	if more := len(e.Failures) - min(len(shown), maxShownNames); more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Unwrap returns the failures that count.
func (e *LocksError) Unwrap() []error {
	var errs []error
	for _, failure := range e.decisive() {
		errs = append(errs, failure)
	}
	return errs
}

// decisive returns the failures that decide what the caller can do; see LocksError.
func (e *LocksError) decisive() []*AttemptError {
	var decisive []*AttemptError
	for _, failure := range e.Failures {
		if errors.Is(failure, ErrTaken) || errors.Is(failure, ErrLost) { //mutant:decisive-failures
			decisive = append(decisive, failure)
		}
	}
	if decisive == nil {
		return e.Failures
	}
	return decisive
}
