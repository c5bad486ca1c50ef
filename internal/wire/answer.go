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
	Outcome vote.Outcome
	Err     error // why the outcome is Refused, Unsent or Unknown

	Late     bool // the master may still execute the call
	SentOnce bool // the client wrote the call exactly once

	Quarantined bool // acquire and wait: the restart guard lets the master grant nothing yet
	Anew        bool // acquire: Fence is the proposed one, and this call stored it
	HandedOn    bool // release: a waiter has the key now
	Unheard     bool // wait: nobody listens on the channel

	Stored string        // acquire: the other token that the master stores; bootstrap: the permit that it stores
	Fence  int64         // acquire: the fence that the master stores now
	Time   int64         // the master's time in microseconds; 0 if it did not report it
	Left   time.Duration // wait: what the key or the quarantine has left; negative if the key has no expiry or is absent
	Rank   int64         // wait: how many waiters are ahead of this one
	Report *Report       // inspect
}

// Report is what a master answers to Inspect.
type Report struct {
	Token      string        // "" if nobody has the key
	TTL        time.Duration // the time the key has left; negative if it does not expire or does not exist
	Quarantine time.Duration // the time the master's quarantine has left; 0 for none
	Evicts     string        // the maxmemory-policy if it lets the master evict keys
	Waiting    int
	Waited     time.Duration
}

// ErrQuarantined means that the restart guard does not yet let a master vote for new locks.
var ErrQuarantined = errors.New("quorum: quarantined by the restart guard")

// quarantined is an ErrQuarantined that says for how long.
type quarantined struct{ left time.Duration }

func (q *quarantined) Error() string {
	return fmt.Sprintf("quarantined by the restart guard for another %v", q.left)
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
	case ReplyNil:
		c.readNil(a)
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
	a.Outcome, a.Err = vote.Refused, fmt.Errorf("unexpected reply of type %T", reply)
}

// readNil reads a nil reply. As the reply to SET NX GET, it means that the key was vacant and now
// stores the token.
func (c *Call) readNil(a *Answer) {
	if c.Request.Op == vote.Acquire && c.form == FormSet {
		a.Outcome = vote.Held
		return
	}
	a.unexpected(nil)
}

// readValue reads a reply of the type that the call expects. It returns false for any other reply.
func (c *Call) readValue(a *Answer) bool {
	switch op := c.Request.Op; reply := c.Reply.Value.(type) {
	case string:
		if op == vote.Acquire && c.form == FormSet {
			c.readToken(a, reply)
			return true
		}
	case int64:
		switch op {
		case vote.Extend, vote.Repair:
			return a.readCode(reply)
		case vote.Release:
			return a.readRelease(reply)
		}
	case []any:
		switch {
		case op == vote.Acquire && c.form != FormSet:
			return c.readGrant(a, reply)
		case op == vote.Wait:
			return a.readReport(reply)
		case op == vote.Inspect:
			return a.readInspect(reply)
		case op == vote.Bootstrap:
			return a.readPermit(reply)
		}
	}
	return false
}

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

// readGrant reads acquire.lua's {code, text, number, time}.
func (c *Call) readGrant(a *Answer, parts []any) bool {
	if len(parts) != 4 {
		return false
	}
	code, ok1 := parts[0].(int64)
	text, ok2 := parts[1].(string)
	number, ok3 := parts[2].(int64)
	now, ok4 := parts[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return false
	}
	a.Time = now
	switch code {
	case codeHeld:
		fence, err := strconv.ParseInt(text, 10, 64)
		if err != nil || fence < 0 || fence > vote.MaxFence {
			return false
		}
		a.Outcome, a.Fence = vote.Held, fence
		a.Anew = number == 1 && fence == c.Request.proposal && fence > 0 //mutant:read-anew
		return true
	case codeTaken:
		c.readToken(a, text)
		return true
	case codeQuarantined:
		a.quarantined(lifetime(number))
		return true
	}
	return false
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

// readReport reads wait.lua's {code, milliseconds left, rank, time, listeners}.
func (a *Answer) readReport(parts []any) bool {
	if len(parts) != 5 {
		return false
	}
	numbers := [5]int64{}
	for i, part := range parts {
		n, ok := part.(int64)
		if !ok {
			return false
		}
		numbers[i] = n
	}
	a.Left, a.Rank, a.Time = lifetime(numbers[1]), max(min(numbers[2], maxRank), 0), numbers[3]
	a.Unheard = numbers[4] == 0
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

// readInspect reads inspect.lua's {token, milliseconds left, quarantine, policy, waiting, waited}.
func (a *Answer) readInspect(parts []any) bool {
	if len(parts) != 6 {
		return false
	}
	token, ok1 := parts[0].(string)
	left, ok2 := parts[1].(int64)
	quarantine, ok3 := parts[2].(int64)
	evicts, ok4 := parts[3].(string)
	waiting, ok5 := parts[4].(int64)
	waited, ok6 := parts[5].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return false
	}
	a.Report = &Report{
		Quarantine: lifetime(max(quarantine, 0)), Evicts: evicts,
		Waiting: int(waiting), Waited: lifetime(max(waited, 0)),
	}
	a.Outcome = vote.Absent
	if left != noKey {
		a.Outcome, a.Report.Token, a.Report.TTL = vote.Taken, token, lifetime(left)
	}
	return true
}

// lifetime converts a reply of PTTL to a Duration. It returns -1 if the key does not expire or does
// not exist, and the longest Duration if the key lasts longer than that.
func lifetime(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return max(time.Duration(max(min(ms, most), -1))*time.Millisecond, -1)
}
