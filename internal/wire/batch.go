package wire

import (
	"slices"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Batch is a list of calls that one call of the script carries out. They are of one Manager, so
// they have the same settings.
type Batch []*Call

// Ahead says by how much a master's clock is ahead of the client's, so that the master can tell
// when a request comes too late. Known is false if that is unknown; then no request expires.
type Ahead struct {
	By    time.Duration // at most; from a time that the master reported, and the sending of that request
	Error time.Duration // by how much By may be too high: how long that request took
	Known bool
}

// Member says which record of the set of masters the client accepts, so that a master can tell
// whether it may grant anything to it; see package membership. Without a Tag, the master does not
// compare.
type Member struct {
	Key  string        // of the record; see SetKey
	Tag  string        // of the record
	Need time.Duration // for how long something may last that the client asks for
}

// Command appends the arguments of the batch's command to args. inFull makes the command load the
// script, for a master that does not have it.
func (b Batch) Command(args []any, ahead Ahead, member Member, inFull bool) []any {
	s := b[0].Request.Subject
	if inFull {
		args = append(args, evalArg, scriptArg)
	} else {
		args = append(args, evalshaArg, digestArg)
	}
	count := len(args)
	args = append(args, nil)
	guarded := s.Guard > 0 && !b[0].keyOnly
	if guarded {
		args = append(args, markerArg)
	}
	compared := member.Tag != "" && slices.ContainsFunc(b, (*Call).binds)
	if compared {
		args = append(args, member.Key+":"+member.Tag)
	}
	for _, c := range b {
		args = append(args, c.keys()...)
	}
	args[count] = len(args) - count - 1
	args = append(args, guardArg(s, guarded), fencingArg(s), ahead.arg())
	if compared {
		args = append(args, member.Tag, member.Need.Milliseconds())
	} else {
		args = append(args, none)
	}
	for _, c := range b {
		c.limit(ahead)
		args = c.appendArgs(args)
	}
	return args
}

// The constant parts of commands.
var (
	evalshaArg any = "evalsha"
	evalArg    any = "eval"
	digestArg  any = Digest
	scriptArg  any = Script
	markerArg  any = MarkerKey
	zeroArg    any = "0"
	oneArg     any = "1"
)

func guardArg(s *Subject, guarded bool) any {
	if guarded {
		return s.Guard.Milliseconds()
	}
	return zeroArg
}

func fencingArg(s *Subject) any {
	if s.Fencing {
		return oneArg
	}
	return zeroArg
}

func (a Ahead) arg() any {
	if a.Known {
		return a.By.Microseconds()
	}
	return none
}

// Split gives each call its part of the reply to the batch's command, and the time at which the
// master made it. It returns that time in microseconds, or 0 if the master did not report it.
// errorOf makes a MasterError of the error of one operation.
func (b Batch) Split(reply Reply, errorOf func(text string) error) (micros int64) {
	results, ok := reply.Value.([]any)
	if ok = ok && reply.Kind == ReplyValue && len(results) == len(b)+1; ok {
		micros, ok = results[0].(int64)
	}
	if reply.Kind == ReplyValue && !ok {
		reply.Value = garbled{reply.Value}
	}
	for i, c := range b {
		c.Time, c.Reply = micros, reply //mutant:answer-time
		if ok {
			c.Reply = resultOf(results[i+1], errorOf) //mutant:own-result
		}
	}
	return micros
}

// garbled is the reply to a batch if it is none that the script makes.
type garbled struct{ reply any }

// resultOf converts an operation's result to a Reply.
func resultOf(result any, errorOf func(string) error) Reply {
	if parts, ok := result.([]any); ok && len(parts) == 2 && parts[0] == any(int64(codeFailed)) {
		if text, ok := parts[1].(string); ok {
			return Reply{Kind: ReplyError, Err: errorOf(text), own: true}
		}
	}
	return Reply{Kind: ReplyValue, Value: result}
}

// Unknown reports whether the master does not have the script. Nothing was executed.
func (r *Reply) Unknown() bool { return r.ofWhole() && r.hasPrefix("NOSCRIPT") } //mutant:rephrase-noscript

// Refusal reports whether the master refused a whole batch because of the keys of one call in it.
// Nothing was executed. Either the client has no right to the key. Or, in a Cluster, the keys of
// one call are in different slots, or the slot is being moved.
func (r *Reply) Refusal() bool {
	return r.ofWhole() && (r.hasPrefix("NOPERM") || r.hasPrefix("CROSSSLOT") || r.hasPrefix("TRYAGAIN"))
}

// ForbidsKey reports whether err is a master's refusal because the user has no right to a key of
// the command. It says nothing about other keys.
func ForbidsKey(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "access") && strings.Contains(text, "key")
}

// ofWhole reports whether the reply is an error that the master replied to the whole command. An
// operation's own error proves the opposite of what one of those proves: the script ran.
func (r *Reply) ofWhole() bool {
	return r.Kind == ReplyError && !r.own //mutant:whole-reply
}

// binds reports whether the call's operation grants or keeps something, so that the master must
// belong to the client's set of masters.
func (c *Call) binds() bool { return c.Request.binds() }

// Grants reports whether the call's operation may store something new. A master that has run out of
// memory refuses such operations as long as the same script has not written anything.
func (c *Call) Grants() bool { return c.Request.Op == vote.Acquire }
