package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Mode is the kind of an entry in ordered admission, as the masters store it.
type Mode string

// The modes of entries. A permit's says how many there are.
const (
	ModeShared    Mode = "s"
	ModeExclusive Mode = "x"
)

// ModePermit returns the mode of one of n permits.
func ModePermit(n int) Mode { return Mode("p" + strconv.Itoa(n)) }

// Permits returns how many permits the mode is one of, or 0 if it is no permit's.
func (m Mode) Permits() int {
	digits, isPermit := strings.CutPrefix(string(m), "p")
	if !isPermit { // as nearly always
		return 0
	}
	n, _ := strconv.Atoi(digits) // else 0
	return max(n, 0)
}

// String describes locks of the mode.
func (m Mode) String() string {
	switch n := m.Permits(); {
	case m == ModeShared:
		return "shared"
	case m == ModeExclusive:
		return "exclusive"
	case n > 0:
		return fmt.Sprintf("%d permits", n)
	}
	return strconv.Quote(string(m))
}

// Entry describes an entry of ordered admission.
type Entry struct {
	Mode      Mode
	Fence     int64         // its place in the order
	TTL       time.Duration // how long a master keeps it if there is room before it
	Lease     time.Duration // how long it is kept if not; 0 to be admitted only if there is room
	Retention time.Duration // how long the fence is kept, with fencing
	Question  int64         // comes back with a Turn
	Channels  []string      // notify the waiter, by master; nil for none
	Guess     bool          // the master may replace the fence, and does not move the entry to it
}

// Admit asks the masters to admit an entry, or to keep it.
func (s *Subject) Admit(e Entry) Request { return s.entry(vote.Acquire, nameAdmit, e) }

// Remain asks the masters to keep a waiter's entry that they have admitted.
func (s *Subject) Remain(e Entry) Request { return s.entry(vote.Extend, nameRemain, e) }

// Renew asks the masters to keep the entry of a lock.
func (s *Subject) Renew(e Entry) Request { return s.entry(vote.Extend, nameRenew, e) }

// Readmit is Admit for a lock that a majority has just confirmed.
func (s *Subject) Readmit(e Entry) Request { return s.entry(vote.Repair, nameReadmit, e) }

func (s *Subject) entry(op vote.Op, name any, e Entry) Request {
	args := []any{
		none, string(e.Mode), strconv.FormatInt(e.Fence, 10), e.TTL.Milliseconds(), e.Lease.Milliseconds(), e.Question, none, oneArg,
	}
	if e.Guess { //mutant:guess-is-told
		args[len(args)-1] = none
	}
	if s.Fencing {
		args = append(args, e.Retention.Milliseconds())
	}
	return Request{
		Subject: s, Op: op, TTL: e.TTL, name: name, ordered: true, channels: e.Channels, place: e.Fence,
		keys: []any{s.keyArg, orderKey(s.Key)}, args: args,
	}
}

// channelArg is where an entry's request has the channel, counted from the name of its operation.
const channelArg = 8

// Depart removes an entry.
func (s *Subject) Depart(mode Mode) Request {
	return Request{
		Subject: s, Op: vote.Release, name: nameDepart, ordered: true, keys: []any{s.keyArg, orderKey(s.Key)},
		args: []any{string(mode)},
	}
}

// ErrConflict means that a master has admitted entries of another kind, which do not go together
// with this one.
var ErrConflict = errors.New("quorum: name in use with another kind of lock")

// conflict is an ErrConflict that names both kinds.
type conflict struct{ wanted, found Mode }

func (c *conflict) Error() string {
	return fmt.Sprintf("in use with %v, wanted %v", c.found, c.wanted)
}

// Is makes it an ErrConflict.
func (c *conflict) Is(target error) bool { return target == ErrConflict } //nolint:errorlint // this is what errors.Is asks

// readEntry reads admit.lua's result.
func (c *Call) readEntry(a *Answer, result any) bool {
	switch result := result.(type) {
	case int64:
		switch result {
		case codeHeld, codeStored:
			a.Outcome, a.Anew, a.Fence = vote.Held, result == codeStored, c.Request.place
			return true
		case codeAbsent:
			a.Outcome = vote.Absent
			return c.Request.Op != vote.Acquire
		case codeOvertaken:
			a.Outcome = vote.Overtaken
			return c.Request.Op == vote.Repair || c.Request.Op == vote.Extend
		}
	case []any:
		if len(result) > 1 {
			code, _ := result[0].(int64)
			return c.readAdmission(a, code, result[1:])
		}
	}
	return false
}

// readAdmission reads a result of admit.lua that has more parts than a code.
func (c *Call) readAdmission(a *Answer, code int64, parts []any) bool {
	text, isText := parts[0].(string)
	number, isNumber := parts[0].(int64)
	switch {
	case code == codeBlocked:
		return a.readBlocked(parts)
	case (code == codeHeld || code == codeStored) && isText && len(parts) == 2:
		a.Anew = code == codeStored
		return c.readRoom(a, text, parts[1])
	case code == codeTaken && isText && len(parts) == 2:
		left, ok := parts[1].(int64)
		a.Outcome, a.Stored, a.Left = vote.Taken, text, lifetime(left)
		return ok
	case code == codeConflict && isText && len(parts) == 1:
		a.Outcome, a.Err = vote.Refused, &conflict{c.Request.mode(), Mode(text)}
		return true
	case code == codeQuarantined && isNumber && len(parts) == 1:
		a.Left = lifetime(number) //mutant:quarantine-ends
		a.quarantined(lifetime(number))
		return true
	}
	return false
}

// readRoom reads the tokens before an entry that has room, and its fence. If that is not the one
// that the request asked for, others came first.
func (c *Call) readRoom(a *Answer, tokens string, fence any) (ok bool) {
	text, _ := fence.(string)
	a.Outcome = vote.Held
	if a.Fence, ok = parseFence(text); a.Fence != c.Request.place { //mutant:room-at-its-place
		a.Outcome = vote.Overtaken
	}
	a.Before = strings.Fields(tokens)
	return ok && len(a.Before) < max(c.Request.mode().Permits(), 1) //mutant:permits-believed
}

// readBlocked reads {1 if it was admitted just now, the member in the way, milliseconds left of
// that one's lease, how many are before it, how many listen, its fence}.
func (a *Answer) readBlocked(parts []any) bool {
	if len(parts) != 6 {
		return false
	}
	isNew, ok1 := parts[0].(int64)
	member, ok2 := parts[1].(string)
	left, ok3 := parts[2].(int64)
	rank, ok4 := parts[3].(int64)
	listeners, ok5 := parts[4].(int64)
	text, ok6 := parts[5].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return false
	}
	_, token, ok7 := strings.Cut(member, " ")
	fence, ok8 := parseFence(text)
	a.Outcome, a.Anew, a.Stored, a.Left, a.Fence = vote.Blocked, isNew == 1, token, lifetime(max(left, 0)), fence
	a.Rank, a.Unheard = max(min(rank, maxRank), 0), listeners == 0
	return ok7 && ok8
}

// mode returns the mode of an entry's request.
func (r *Request) mode() Mode {
	mode, _ := r.args[1].(string)
	return Mode(mode)
}

// Ordered reports whether the request is about an entry of ordered admission.
func (r *Request) Ordered() bool { return r.ordered }

// Turn is a message in which a master tells a waiter that there is room before its entry.
type Turn struct {
	Question int64    // the latest question of the waiter that had reached the master
	Fence    int64    // that the entry had
	Gone     string   // the token of an entry that was released; "" if none was
	Before   []string // for a permit: the tokens before it
	Unfenced bool     // the waiter uses fencing, but its fence could not be stored
}

// ParseTurn parses a message's payload; see notify in entries.lua.
func ParseTurn(payload string) (token string, t Turn, ok bool) {
	parts := strings.Split(payload, " ")
	if len(parts) < 5 || parts[1] != "+" && parts[1] != "?" {
		return "", Turn{}, false
	}
	question, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || question < 0 {
		return "", Turn{}, false
	}
	if t.Fence, ok = parseFence(parts[3]); parts[4] != "-" {
		t.Gone = parts[4]
	}
	t.Question, t.Before, t.Unfenced = question, parts[5:], parts[1] == "?"
	return parts[0], t, ok
}

// EntryReport is what a master reports of an entry to Inspect.
type EntryReport struct {
	Mode  Mode
	Token string
	Fence int64
	Left  time.Duration // of its lease
	Waits bool          // others before it leave no room
}

var errEntryReport = errors.New("not an entry's report")

// parseEntryReport parses an element of census in depart.lua.
func parseEntryReport(text string) (r EntryReport, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 5 {
		return r, errEntryReport
	}
	fence, ok := parseFence(parts[1])
	left, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || !ok {
		return r, errEntryReport
	}
	return EntryReport{Mode(parts[0]), parts[2], fence, lifetime(max(left, 0)), parts[4] == "1"}, nil
}

// readEntries reads the list that census in depart.lua makes.
func (r *Report) readEntries(list any) bool {
	items, ok := list.([]any)
	for _, item := range items {
		text, isText := item.(string)
		entry, err := parseEntryReport(text)
		if !isText || err != nil {
			return false
		}
		r.Entries = append(r.Entries, entry)
	}
	return ok
}
