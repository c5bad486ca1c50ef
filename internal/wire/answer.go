package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Answer is the meaning of a master's reply, or what is known without a reply.
type Answer struct {
	Outcome  vote.Outcome
	Late     bool // the master may still execute the call, until Call.Closed
	SentOnce bool // the client wrote the call exactly once

	Quarantined bool // acquire and wait: the restart guard lets the master grant nothing yet
	Foreign     bool // the master belongs to another set than the client's, or its record is not known yet
	Anew        bool // acquire: Fence is the proposed one, and this call stored it; of an entry: this call made the master admit it
	HandedOn    bool // release: a waiter has the key now
	Unheard     bool // wait: nobody listens on the channel

	Err    error         // why the outcome is Refused, Unsent or Unknown
	Stored string        // acquire: the other token that the master stores; bootstrap: the permit that it stores; of an entry: the token in its way
	Fence  int64         // acquire: the fence that the master stores now; of an entry: the one that it has
	Left   time.Duration // wait: what the key or the quarantine has left; negative if the key has no expiry or is absent; of an entry: what Stored or the quarantine has left
	Rank   int64         // wait: how many waiters are ahead of this one; of an entry: how many entries
	Before []string      // of a permit that has room: the tokens before it
	Report *Report       // inspect
	Member *MemberReport // members
}

// MemberReport is what a master answers to Members.
type MemberReport struct {
	Record     string        // "" for none
	Lease      time.Duration // what it has left
	Quarantine time.Duration
	ID         string // the master's name, if it was asked for
	Forgot     bool   // the restart guard knows that the master may have, however long ago
}

// Report is what a master answers to Inspect.
type Report struct {
	Token      string        // "" if nobody has the key
	TTL        time.Duration // the time the key has left; negative if it does not expire or does not exist
	Quarantine time.Duration // the time the master's quarantine has left; 0 for none
	Evicts     string        // the maxmemory-policy if it lets the master evict keys
	Waiting    int
	Waited     time.Duration
	Since      int64         // since when the token has the key, in microseconds, if it was handed on to it; 0 if not
	Fence      int64         // the fence that is stored; 0 for none
	Entries    []EntryReport // of ordered admission
}

// ErrQuarantined means that the restart guard does not yet let a master vote for new locks.
var ErrQuarantined = errors.New("quorum: quarantined by the restart guard")

// quarantined is an ErrQuarantined that says for how long.
type quarantined struct{ left time.Duration }

func (q *quarantined) Error() string {
	return fmt.Sprintf("quarantined by the restart guard for another %v", q.left)
}

// QuarantineLeft returns how much longer a quarantine lasts, if err is an ErrQuarantined that an
// answer holds, and 0 otherwise.
func QuarantineLeft(err error) time.Duration {
	var q *quarantined
	if errors.As(err, &q) {
		return q.left
	}
	return 0
}

// Is makes it an ErrQuarantined.
func (q *quarantined) Is(target error) bool { return target == ErrQuarantined } //nolint:errorlint // this is what errors.Is asks

// Read returns the outcome of the call. dropped is why the call was never sent, or nil if it was.
// After Read the call can no longer be written.
func (c *Call) Read(dropped error) (a Answer) {
	c.tries.seal() // before they are counted
	switch {
	case dropped != nil:
		a.Outcome, a.Err = vote.Unsent, dropped
	case c.tries.count() == 0 && c.Reply.Kind == NotConnected: //mutant:never-sent
		a.Outcome, a.Err = vote.Unsent, c.Reply.Err
	default:
		c.read(&a)
	}
	a.Late, a.SentOnce = c.mayComeLater(&a), c.sentOnce()
	return a
}

func (c *Call) read(a *Answer) {
	switch c.Reply.Kind {
	case ReplyError:
		a.Outcome, a.Err = vote.Refused, c.Reply.Err
	case ReplyValue:
		if !c.readValue(a) {
			a.unexpected(c.Reply.Value)
		}
	default:
		a.Outcome, a.Err = vote.Unknown, c.Reply.Err //mutant:no-answer
		if a.Err == nil {
			a.Err = errors.New("no reply")
		}
	}
}

func (a *Answer) unexpected(reply any) {
	if g, ok := reply.(garbled); ok {
		reply = g.reply
	}
	a.Outcome, a.Err = vote.Refused, fmt.Errorf("unexpected reply of type %T", reply)
}

// readValue reads an operation's result. It returns false if the operation has no such result.
func (c *Call) readValue(a *Answer) bool {
	op := c.Request.Op
	switch result := c.Reply.Value.(type) {
	case int64:
		switch {
		case result == codeExpired && c.Request.Expires():
			a.Outcome, a.Err = vote.Expired, errExpired //mutant:answer-expired
			return true
		case c.Request.ordered && op != vote.Release:
			return c.readEntry(a, result)
		case op == vote.Acquire:
			return c.readHeld(a, result)
		case op == vote.Extend, op == vote.Repair:
			return a.readCode(result)
		case op == vote.Release, op == vote.Break:
			return a.readRelease(result)
		}
	case []any:
		if _, isForeign := c.ForeignRecord(); isForeign {
			a.Outcome, a.Foreign = vote.Refused, true
			return true
		}
		switch op {
		case vote.Members:
			return a.readMember(result)
		case vote.Acquire, vote.Extend, vote.Repair:
			if c.Request.ordered {
				return c.readEntry(a, result)
			}
			return op == vote.Acquire && c.readGrant(a, result)
		case vote.Wait:
			return a.readReport(result)
		case vote.Inspect:
			return a.readInspect(result)
		case vote.Bootstrap:
			return a.readPermit(result)
		}
	}
	return false
}

// errExpired means that a master did not execute a request because it came after its deadline.
var errExpired = errors.New("came too late")

// readToken reads the stored token. If the call's own token is already stored, the client has
// repeated the call, because no other request carries the token. That is a grant, because the
// window counts from before the first try.
func (c *Call) readToken(a *Answer, stored string) {
	if stored == c.Request.Subject.Token { //mutant:answer-own-token
		a.Outcome = vote.Held
		return
	}
	a.Outcome, a.Stored = vote.Taken, stored
}

// readHeld reads acquire.lua's code. With fencing, the code says that the proposed fence is stored.
func (c *Call) readHeld(a *Answer, code int64) bool {
	fencing, proposal := c.Request.Subject.Fencing, c.Request.proposal
	switch {
	case code == codeHeld && !fencing:
		a.Outcome = vote.Held
	case code == codeStored && fencing && proposal > 0:
		a.Outcome, a.Fence, a.Anew = vote.Held, proposal, true
	default:
		return false
	}
	return true
}

// readGrant reads acquire.lua's lists.
func (c *Call) readGrant(a *Answer, parts []any) bool {
	if len(parts) < 2 {
		return false
	}
	switch parts[0] {
	case any(int64(codeHeld)):
		text, isText := parts[1].(string)
		fence, ok := parseFence(text)
		if ok = ok && isText && len(parts) == 2 && c.Request.Subject.Fencing; ok {
			a.Outcome, a.Fence = vote.Held, fence
		}
		return ok
	case any(int64(codeTaken)):
		token, ok := parts[1].(string)
		if ok = ok && len(parts) == 2; ok {
			c.readToken(a, token)
		}
		return ok
	case any(int64(codeQuarantined)):
		left, ok := parts[1].(int64)
		if ok = ok && len(parts) == 2; ok {
			a.quarantined(lifetime(left))
		}
		return ok
	}
	return false
}

// parseFence parses a fence that a master sent.
func parseFence(text string) (fence int64, ok bool) {
	fence, err := strconv.ParseInt(text, 10, 64)
	return fence, err == nil && fence >= 0 && fence <= vote.MaxFence
}

func (a *Answer) quarantined(left time.Duration) {
	a.Outcome, a.Err, a.Quarantined = vote.Refused, &quarantined{left: left}, true
}

// readCode reads extend.lua's code.
func (a *Answer) readCode(code int64) bool {
	switch code {
	case codeHeld:
		a.Outcome = vote.Held
	case codeAbsent:
		a.Outcome = vote.Absent
	case codeTaken:
		a.Outcome = vote.Taken
	default:
		return false
	}
	return true
}

// readRelease reads release.lua's code. A release that found the token has removed it, so the
// outcome is Absent.
func (a *Answer) readRelease(code int64) bool {
	switch code {
	case codeHeld, codeHandedOn:
		a.Outcome, a.HandedOn = vote.Absent, code == codeHandedOn
		return true
	}
	return a.readCode(code) //mutant:release-code
}

// maxRank is the highest rank that is accepted from a master.
const maxRank = 1 << 20

// readReport reads wait.lua's {code, milliseconds left, rank, listeners}.
func (a *Answer) readReport(parts []any) bool {
	if len(parts) != 4 {
		return false
	}
	numbers := [4]int64{}
	for i, part := range parts {
		n, ok := part.(int64)
		if !ok {
			return false
		}
		numbers[i] = n
	}
	a.Left, a.Rank = lifetime(numbers[1]), max(min(numbers[2], maxRank), 0)
	a.Unheard = numbers[3] == 0
	if numbers[0] == codeQuarantined {
		a.quarantined(a.Left)
		return true
	}
	return a.readCode(numbers[0])
}

// readPermit reads bootstrap.lua's {code, permit, milliseconds of quarantine}.
func (a *Answer) readPermit(parts []any) bool {
	if len(parts) != 3 {
		return false
	}
	code, ok1 := parts[0].(int64)
	permit, ok2 := parts[1].(string)
	left, ok3 := parts[2].(int64)
	if !ok1 || !ok2 || !ok3 {
		return false
	}
	switch code {
	case codeHeld:
		a.Outcome, a.Stored = vote.Held, permit
		return true
	case codeTaken:
		a.Outcome = vote.Taken
		if left > 0 {
			a.Err = &quarantined{left: lifetime(left)}
		}
		return true
	}
	return false
}

// readInspect reads inspect.lua's {token, milliseconds left, quarantine, policy, waiting, waited,
// since, fence}, and perhaps the entries of ordered admission.
func (a *Answer) readInspect(parts []any) bool {
	if len(parts) < 8 || len(parts) > 9 {
		return false
	}
	token, ok1 := parts[0].(string)
	left, ok2 := parts[1].(int64)
	quarantine, ok3 := parts[2].(int64)
	evicts, ok4 := parts[3].(string)
	waiting, ok5 := parts[4].(int64)
	waited, ok6 := parts[5].(int64)
	since, ok7 := parts[6].(string)
	fence, ok8 := parts[7].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 || !ok8 {
		return false
	}
	a.Report = &Report{
		Quarantine: lifetime(max(quarantine, 0)), Evicts: evicts,
		Waiting: int(waiting), Waited: lifetime(max(waited, 0)),
	}
	if since, err := strconv.ParseInt(since, 10, 64); err == nil { // else somebody stored something there
		a.Report.Since = max(since, 0)
	}
	if fence, ok := parseFence(fence); ok {
		a.Report.Fence = fence
	}
	if len(parts) == 9 && !a.Report.readEntries(parts[8]) {
		return false
	}
	a.Outcome = vote.Absent
	if left != noKey {
		a.Outcome, a.Report.Token, a.Report.TTL = vote.Taken, token, lifetime(left)
	}
	return true
}

// readMember reads members.lua's {code, record, lease, quarantine, name, forgot}.
func (a *Answer) readMember(parts []any) bool {
	if len(parts) != 6 || parts[0] != any(int64(codeHeld)) {
		return false
	}
	record, ok1 := parts[1].(string)
	lease, ok2 := parts[2].(int64)
	quarantine, ok3 := parts[3].(int64)
	id, ok4 := parts[4].(string)
	forgot, ok5 := parts[5].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return false
	}
	a.Outcome = vote.Held
	a.Member = &MemberReport{
		Record: record, Lease: lifetime(max(lease, 0)), Quarantine: lifetime(max(quarantine, 0)), ID: id, Forgot: forgot != 0,
	}
	return true
}

// lifetime converts a reply of PTTL to a Duration. It returns -1 if the key does not expire or does
// not exist, and the longest Duration if the key lasts longer than that.
func lifetime(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return max(time.Duration(max(min(ms, most), -1))*time.Millisecond, -1)
}
