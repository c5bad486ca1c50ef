package wire

import (
	"errors"
	"slices"
	"strings"

	"github.com/quorumlock/redlock/internal/vote"
)

// Call is a request on its way to one master. It is the payload of a lane's operation. The lane
// owns it until it is settled. After that, the maker of the request owns it.
type Call struct {
	Request *Request
	Master  uint8
	Reply   Reply // filled in by the sender of the call

	// Answer and Settled are filled in by the maker of the request.
	Answer  Answer
	Settled bool

	form      Form
	forbidden bool // the client has no right to one of the request's keys
	tries     tries
}

// Form is the form in which a call is sent to a master. If a master does not understand one form,
// the call is sent again in the next.
type Form uint8

// The forms of a call.
const (
	FormSet     Form = iota // acquire only: one SET
	FormEvalSHA             // EVALSHA
	FormEval                // EVAL
	FormKeyOnly             // release and inspect only: EVAL, without the auxiliary keys
)

// Form returns the call's form.
func (c *Call) Form() Form { return c.form }

// Choose sets the call's first form to one that the master is known to understand. noAuxKeys means
// that the client has no rights to this lock's auxiliary keys. noSetNXGet means that the server is
// a Redis before 7.
func (c *Call) Choose(noAuxKeys, noSetNXGet bool) {
	switch {
	case noAuxKeys && c.CanBeKeyOnly():
		c.form = FormKeyOnly
	case c.form == FormSet && (c.Request.script != nil || noSetNXGet):
		c.form = FormEvalSHA
	}
}

// CanBeKeyOnly reports whether the call can do without the auxiliary keys. A client that may use a
// lock's key can always release and inspect the lock.
func (c *Call) CanBeKeyOnly() bool {
	return c.Request.Op == vote.Release || c.Request.Op == vote.Inspect //mutant:key-only
}

// Forbidden reports whether the master executed the call without the auxiliary keys because the
// client has no right to them.
func (c *Call) Forbidden() bool { return c.forbidden && c.Reply.Kind == ReplyValue }

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

// Command appends the arguments of the call's command, in the call's form, to args.
func (c *Call) Command(args []any) []any {
	command, token := c.Request.command(c.form)
	n := len(args)
	args = append(args, command...)
	if token > 0 {
		args[n+token] = c
	}
	return args
}

// command returns the request's command in the given form, and the index of the token in its
// arguments, or 0 if there is none.
func (r *Request) command(f Form) (args []any, token int) {
	script, args := r.script, r.args
	if script == nil && f == FormSet {
		return args, 2
	}
	if script == nil {
		script, args = acquireScript, r.acquireArgs(0) // there is no fence
	}
	switch f {
	case FormEval:
		args = script.eval(args)
	case FormKeyOnly:
		args = script.eval(keyOnly(args))
	}
	switch r.Op {
	case vote.Inspect, vote.Bootstrap:
		return args, 0
	}
	return args, 3 + args[2].(int)
}

// keyOnly returns a script's command with only the first of its keys.
func keyOnly(args []any) []any {
	keys := args[2].(int)
	return slices.Concat([]any{args[0], args[1], 1, args[3]}, args[3+keys:])
}

// Rephrase reports whether the master did not understand the call's form and changed nothing. If
// so, Rephrase moves the call to the next form, and does not count the try.
func (c *Call) Rephrase() bool {
	if c.Reply.Kind != ReplyError {
		return false
	}
	switch {
	case c.form == FormSet && c.Request.Op == vote.Acquire && c.Reply.hasPrefix("syntax error"): //mutant:rephrase-set
		c.form = FormEvalSHA
	case c.form == FormEvalSHA && c.Reply.hasPrefix("NOSCRIPT"): //mutant:rephrase-noscript
		c.form = FormEval
	case c.form != FormKeyOnly && c.CanBeKeyOnly() && c.Reply.wantsFewerKeys():
		c.form, c.forbidden = FormKeyOnly, c.Reply.hasPrefix("NOPERM")
	default:
		return false
	}
	c.tries.takeBack()
	return true
}

// wantsFewerKeys reports whether the master might execute the call without auxiliary keys. Either
// the client has no right to them, or, in a Cluster, they are in another slot, or the slot is being
// moved.
func (r *Reply) wantsFewerKeys() bool {
	return r.hasPrefix("NOPERM") || r.hasPrefix("CROSSSLOT") || r.hasPrefix("TRYAGAIN")
}

// mayComeLater reports whether a master may execute the call after it was settled with the given
// outcome. That can happen if the call was not answered, or if an earlier try is still on its way.
func (c *Call) mayComeLater(a *Answer) bool {
	switch a.Outcome {
	case vote.Unsent:
		return false
	case vote.Unknown:
		return true
	case vote.Refused: // an impossible reply may mean anything
		return c.Reply.Kind == ReplyValue && !a.Quarantined || c.repeated() //mutant:refused-late
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
	Kind  ReplyKind
	Value any   // a string, an int64 or a []any
	Err   error // the client's error; for ReplyError it is or wraps a MasterError
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
