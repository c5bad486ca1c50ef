package wire

import (
	"errors"
	"slices"
	"strings"

	"github.com/quorumlock/redlock/internal/vote"
)

// Call is a request on its way to one master: the payload of a lane's operation. Its lane owns it
// until it is settled; from then on whoever made the request does.
type Call struct {
	Request *Request
	Master  uint8
	Reply   Reply // filled in by whoever sends the call

	// Answer and Settled are for whoever made the request to fill in.
	Answer  Answer
	Settled bool

	form      Form
	forbidden bool // the client has no right to some key of the request
	tries     tries
}

// Form is how a call is put to a master. A master that does not understand one form is asked in
// the next.
type Form uint8

// The forms of a call.
const (
	FormSet     Form = iota // acquire only: one SET
	FormEvalSHA             // EVALSHA
	FormEval                // EVAL
	FormKeyOnly             // release and inspect only: EVAL, without the auxiliary keys
)

// Form returns the form that the call is put in.
func (c *Call) Form() Form { return c.form }

// Choose starts the call in the form that the master is known to understand: noAuxKeys is for a
// client without rights to the auxiliary keys of this lock, noSetNXGet for a Redis before 7.
func (c *Call) Choose(noAuxKeys, noSetNXGet bool) {
	switch {
	case noAuxKeys && c.CanBeKeyOnly():
		c.form = FormKeyOnly
	case c.form == FormSet && (c.Request.script != nil || noSetNXGet):
		c.form = FormEvalSHA
	}
}

// CanBeKeyOnly tells whether the call can do without the auxiliary keys. A client that may use a
// lock's key can always release it and look at it.
func (c *Call) CanBeKeyOnly() bool {
	return c.Request.Op == vote.Release || c.Request.Op == vote.Inspect //mutant:key-only
}

// Forbidden reports that the master carried the call out without the auxiliary keys, because the
// client has no right to them.
func (c *Call) Forbidden() bool { return c.forbidden && c.Reply.Kind == ReplyValue }

// MarshalBinary returns the ownership token. A call takes the token's place among the arguments of
// its command, because that tells how often the client has put the command on the wire. Clients
// repeat an unanswered command by themselves and do not say so. The network may deliver a first
// try later than the answer to the second, and the master then carries it out like any other.
//
// Clients call it from goroutines of their own, perhaps after the call has returned.
func (c *Call) MarshalBinary() ([]byte, error) {
	if !c.tries.add() { //mutant:sealed
		return nil, errSealed
	}
	return c.Request.Subject.tokenText, nil
}

// errSealed keeps a client from putting a settled call on the wire, as a hook may try to that asks
// twice and returns the first answer.
var errSealed = errors.New("quorum: the request was settled before it was written")

// String returns the token, for hooks that look at the arguments of commands.
func (c *Call) String() string { return c.Request.Subject.Token }

// Command returns the arguments of the command that puts the call in its form, appended to args.
func (c *Call) Command(args []any) []any {
	command, token := c.Request.command(c.form)
	n := len(args)
	args = append(args, command...)
	if token > 0 {
		args[n+token] = c
	}
	return args
}

// command returns the command that puts the request in the given form, and the index of the token
// among its arguments, 0 if there is none.
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

// keyOnly returns a script's command without the keys after the first.
func keyOnly(args []any) []any {
	keys := args[2].(int)
	return slices.Concat([]any{args[0], args[1], 1, args[3]}, args[3+keys:])
}

// Rephrase reports whether the master did not understand the call in its form and changed nothing.
// If so, it puts the call in the next form. The try does not count.
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

// wantsFewerKeys tells whether the master might carry the call out without auxiliary keys: the
// client has no right to them, or in a Cluster they are in another slot, or half of the slot has
// been moved.
func (r *Reply) wantsFewerKeys() bool {
	return r.hasPrefix("NOPERM") || r.hasPrefix("CROSSSLOT") || r.hasPrefix("TRYAGAIN")
}

// mayComeLater tells whether a master may carry the call out after it was settled with the given
// outcome: because it was not answered, or because an earlier try of it is still on its way.
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

// repeated tells whether the client may have put the call on the wire more than once. Of a client
// that encodes no arguments, nothing is known.
func (c *Call) repeated() bool { return !c.sentOnce() }

// sentOnce tells whether the client has put the call on the wire exactly once.
func (c *Call) sentOnce() bool { return c.tries.count() == 1 }

// ReplyKind tells what a client brought back from a call.
type ReplyKind uint8

// The kinds of replies.
const (
	NoReply      ReplyKind = iota // nothing that the master said; Err tells why
	NotConnected                  // like NoReply, because there was no connection to write to
	ReplyValue                    // Value
	ReplyNil                      // Redis' nil
	ReplyError                    // an error that the master replied; Err
)

// Reply is what a client brought back from a call.
type Reply struct {
	Kind  ReplyKind
	Value any   // a string, an int64 or a []any
	Err   error // the client's error; for ReplyError it is or wraps a MasterError
}

// MasterError is an error that a master replied. It is the interface by which go-redis marks them.
type MasterError interface {
	error
	RedisError()
}

// Answered reports whether the master replied at all.
func (r *Reply) Answered() bool { return r.Kind >= ReplyValue }

// hasPrefix tells whether the master's error begins so, behind an ERR that some servers put there.
func (r *Reply) hasPrefix(prefix string) bool {
	var e MasterError
	return errors.As(r.Err, &e) && strings.HasPrefix(strings.TrimPrefix(e.Error(), "ERR "), prefix)
}
