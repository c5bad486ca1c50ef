package membership

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorumlock/redlock/internal/vote"
)

// ConflictError says that others use some of a Manager's masters as another set.
type ConflictError struct {
	Masters []string // that have such a record
	Used    Record   // the zero value if it is unreadable
	Own     []Set    // the Manager's sets
}

// conflict returns the error for masters with other records. It is about those that have the latest
// one.
func (b *Book) conflict(views []View, others vote.Set) *ConflictError {
	e := &ConflictError{Own: b.sets}
	for i := range others.Each() {
		if r := views[i].Record; r != nil && (e.Used.Set == "" || r.Generation > e.Used.Generation) {
			e.Used = *r
		}
	}
	for i := range others.Each() {
		if r := views[i].Record; r == nil && e.Used.Set == "" || r != nil && r.Set == e.Used.Set && r.Next == e.Used.Next {
			e.Masters = append(e.Masters, b.nameOf(i))
		}
	}
	return e
}

// Error names both sets and says what to do.
func (e *ConflictError) Error() string {
	own := make([]string, len(e.Own))
	for i, s := range e.Own {
		own[i] = s.String()
	}
	which, mine := strings.Join(e.Masters, ", "), "this Manager uses "+strings.Join(own, " jointly with ")
	switch r := &e.Used; {
	case r.Set == "":
		return fmt.Sprintf("%s: not readable which set of masters others use, and %s; %s", which, mine, unused)
	case r.isClaim():
		return fmt.Sprintf("others begin to use %s as the set %v, and %s", which, r.Set, mine)
	case slices.Contains(e.Own, r.Past):
		return fmt.Sprintf("others have given up the set %v, which this Manager uses, for %v; give it that one", r.Past, r.Set)
	case r.Next == Any:
		return fmt.Sprintf("others add %s to the set %v, and %s; give it both sets (Options.Joint) until DeclareMasters is done; %s", which, r.Set, mine, unused)
	case r.Sealed() && slices.Contains(e.Own, r.Set):
		return fmt.Sprintf("others give up the set %v, which this Manager uses, for %v; give it both sets (Options.Joint), or that one once the change is done", r.Set, r.Next)
	case r.Sealed():
		return fmt.Sprintf("others change %s from the set %v to %v, and %s; give it both sets (Options.Joint), or wait until the change is done", which, r.Set, r.Next, mine)
	}
	return fmt.Sprintf("others use %s as the set %v, and %s; to change the set, give Managers both of them first (Options.Joint); %s", which, e.Used.Set, mine, unused)
}

// unused says what to do about the record of a set that is gone. The package does not know the
// prefix.
const unused = "if nobody uses that one anymore, delete its record there (the key redlock:aux:set{Options.Prefix})"

// TwinError says that two of a Manager's masters are one server.
type TwinError struct{ Masters [2]string }

// Error names both.
func (e *TwinError) Error() string {
	return fmt.Sprintf("%s and %s are the same server, so they are one master; give each master once, and by one address", e.Masters[0], e.Masters[1])
}
