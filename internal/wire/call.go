package wire

import (
	"errors"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Call is a request on its way to one master. It is the payload of a lane's operation. The lane
// owns it until it is settled. After that, the maker of the request owns it.
type Call struct {
	Request *Request
	Reply   Reply // filled in by the sender of the call, as are the next two
	Time    int64 // the master's time in microseconds; 0 if it did not report it
	Sent    time.Duration
	Answer  Answer // filled in by the maker of the request, as is Settled
	Settled bool
	Master  uint8

	keyOnly bool // without the auxiliary keys
	tries   tries
	closed  time.Duration
}

// Closed returns when the master cannot execute the call anymore, however late it comes, by the
// client's clock; 0 for never.
func (c *Call) Closed() time.Duration { return c.closed }

// CanBeKeyOnly reports whether the call can do without the auxiliary keys. A client that may use a
// lock's key can always release and inspect the lock.
func (c *Call) CanBeKeyOnly() bool {
	return (c.Request.Op == vote.Release && !c.Request.ordered) || c.Request.Op == vote.Inspect //mutant:key-only
}

// KeyOnly makes the call do without the auxiliary keys if it can, and reports whether it changed
// anything.
func (c *Call) KeyOnly() bool {
	if c.keyOnly || !c.CanBeKeyOnly() {
		return false
	}
	c.keyOnly = true
	return true
}

// limit records when the call's deadline takes effect on the master. Without a deadline, or if the
// master's clock is not known, it never does.
func (c *Call) limit(ahead Ahead) {
	c.closed = 0
	if ahead.Known && c.Request.deadline > 0 { //mutant:call-limit
		c.closed = c.Request.deadline + ahead.Error
	}
}

// keys returns the keys of the call's operation.
func (c *Call) keys() []any {
	if c.keyOnly {
		return c.Request.keys[:1]
	}
	return c.Request.keys
}

// Args returns how many arguments the call adds to its command, or a few more.
func (c *Call) Args() int { return len(c.Request.keys) + 5 + len(c.Request.args) }

func (w *Write) idleArg() any {
	if w.Idle {
		return oneArg
	}
	return none
}

// appendArgs appends the name and the arguments of the call's operation. The call itself takes the
// place of the token; see MarshalBinary.
func (c *Call) appendArgs(args []any) []any {
	r := c.Request
	switch {
	case r.Op == vote.Bootstrap:
		return append(append(args, r.name), r.args...)
	case r.Op == vote.Members:
		w := r.writes[c.Master]
		return append(args, r.name, w.ID, w.Expect, w.Record, w.idleArg())
	case r.Op == vote.Inspect && c.keyOnly:
		return append(args, namePeek)
	case r.Op == vote.Inspect:
		return append(append(args, r.name), r.args...)
	case c.keyOnly && (r.name == nameTombstone || r.name == nameLeave):
		return append(append(args, nameTombstone, c), r.args...)
	case c.keyOnly:
		return append(args, nameDrop, c)
	}
	n := len(args)
	args = append(append(args, r.name, c), r.args...)
	if r.channels != nil {
		args[n+channelArg] = r.channels[c.Master] //mutant:own-channel-of-entry
	}
	return args
}

// Again prepares the call for another try, after the master has executed nothing. It does not count
// the try.
func (c *Call) Again() { c.tries.takeBack() }

// MarshalBinary returns the ownership token. A call takes the token's place in its command's
// arguments, so that it can count how often the client writes the command to a connection. Clients
// repeat an unanswered command on their own and do not report it. The network may deliver the first
// try after the answer to the second, and the master then executes it like any other.
//
// Clients call MarshalBinary from their own goroutines, perhaps after the call has returned.
func (c *Call) MarshalBinary() ([]byte, error) {
	if !c.tries.add() { //mutant:sealed
		return nil, errSealed
	}
	return c.Request.Subject.tokenText, nil
}

// errSealed keeps a client from writing a settled call to a connection. A hook that sends the
// command twice and returns the first answer may try to.
var errSealed = errors.New("quorum: the request was settled before it was written")

// String returns the token, for hooks that look at a command's arguments.
func (c *Call) String() string { return c.Request.Subject.Token }

// mayComeLater reports whether a master may execute the call after it was settled with the given
// outcome. That can happen if the call was not answered, or if an earlier try is still on its way.
func (c *Call) mayComeLater(a *Answer) bool {
	switch a.Outcome {
	case vote.Unsent:
		return false
	case vote.Unknown:
		return true
	case vote.Refused: // an impossible reply may mean anything
		return c.Reply.Kind == ReplyValue && !a.Quarantined && !a.Foreign || c.repeated() //mutant:refused-late
	}
	return c.repeated() //mutant:answered-late
}

// repeated reports whether the client may have written the call to a connection more than once. If
// the client does not encode arguments, nothing is known, so repeated returns true.
func (c *Call) repeated() bool { return !c.sentOnce() }

// sentOnce reports whether the client has written the call to a connection exactly once.
func (c *Call) sentOnce() bool { return c.tries.count() == 1 }

// ReplyKind is the kind of result that a client returned for a call.
type ReplyKind uint8

// The kinds of replies.
const (
	NoReply      ReplyKind = iota // no reply from the master; Err says why
	NotConnected                  // like NoReply, because there was no connection to write to
	ReplyValue                    // a value; Value
	ReplyNil                      // Redis' nil
	ReplyError                    // an error that the master replied; Err
)

// Reply is what a client returned for a call.
type Reply struct {
	Value any   // a string, an int64 or a []any
	Err   error // the client's error; for ReplyError it is or wraps a MasterError
	Kind  ReplyKind
	own   bool // the error is that of an operation, not of the whole command
}

// MasterError is an error that a master replied. go-redis marks such errors with this interface.
type MasterError interface {
	error
	RedisError()
}

// Answered reports whether the master replied at all.
func (r *Reply) Answered() bool { return r.Kind >= ReplyValue }

// hasPrefix reports whether the master's error begins with prefix, after the ERR that some servers
// add.
func (r *Reply) hasPrefix(prefix string) bool {
	var e MasterError
	return errors.As(r.Err, &e) && strings.HasPrefix(strings.TrimPrefix(e.Error(), "ERR "), prefix)
}

// WasTooLate reports whether the master refused the call because its deadline had passed.
func (c *Call) WasTooLate() bool {
	return c.Reply.Kind == ReplyValue && c.Reply.Value == any(int64(codeExpired)) && c.Request.Expires()
}

// ForeignRecord returns the record because of which the master refused the call: the client does
// not accept it. isForeign is false if that is not why.
func (c *Call) ForeignRecord() (record string, isForeign bool) {
	parts, ok := c.Reply.Value.([]any)
	if !ok || c.Reply.Kind != ReplyValue || len(parts) != 2 || parts[0] != any(int64(codeForeign)) || !c.binds() {
		return "", false
	}
	record, ok = parts[1].(string)
	return record, ok
}

// HasTime reports whether the call's deadline has yet to come at an instant of the client's clock.
func (c *Call) HasTime(now time.Duration) bool { return now < c.Request.deadline }
