package redisconn_test

import (
	"context"
	"encoding"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/wire"
)

// fake is a master and a hook of its client. The hook executes commands in place of a server. It
// encodes each argument once, as a client does when it writes a command.
type fake struct {
	*redisconn.Master
	clock   fakeclock.Clock
	rounds  [][]command                    // what the client sent, by its calls
	execute func(c command) any            // the reply to a command, or an error
	fail    func(cmds []redis.Cmder) error // nil, or the error of a round that is not executed
	latency time.Duration                  // how long each round takes to get there
	micros  int64                          // the master's time when the clock is 0
}

// maxRounds is more than a test needs before it looks at them.
const maxRounds = 50

// command is one command that a fake got.
type command struct {
	inFull       bool
	guard, ahead string
	tag          string
	keys         []string
	ops          []operation
}

// operation is one operation of a command. key is the first of its keys.
type operation struct {
	name, key, token string
	args             []string
}

// shapes are how many keys and arguments an operation takes without fencing, its name included.
var shapes = map[string]struct{ keys, args int }{
	"acquire": {1, 4}, "confirm": {2, 4}, "extend": {1, 4}, "repair": {1, 4}, "release": {2, 4}, "drop": {1, 2},
	"wait": {3, 9}, "inspect": {2, 2}, "peek": {1, 1},
}

// newFake returns a fake whose replies say that every operation succeeded.
func newFake(t *testing.T, client redis.UniversalClient) *fake {
	t.Helper()
	f := &fake{execute: succeeds, micros: time.Hour.Microseconds()}
	client.AddHook(f)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	f.Master = redisconn.Masters([]redis.UniversalClient{client}, &f.clock, time.Second)[0]
	return f
}

// plainFake returns a fake of a single server.
func plainFake(t *testing.T) *fake {
	t.Helper()
	return newFake(t, redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaintNotificationsConfig: quiet}))
}

// succeeds is the reply if every operation succeeded and the time was not needed.
func succeeds(c command) any {
	reply := []any{int64(0)}
	for range c.ops {
		reply = append(reply, int64(1))
	}
	return reply
}

// timed returns the reply with the master's time and the given results.
func (f *fake) timed(results ...any) any {
	return append([]any{f.micros + int64(f.clock.Now())/1000}, results...)
}

func (f *fake) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *fake) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return f.round([]redis.Cmder{cmd}) }
}

func (f *fake) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error { return f.round(cmds) }
}

// round executes the commands of one call of the client.
func (f *fake) round(cmds []redis.Cmder) (first error) {
	var round []command
	for _, cmd := range cmds {
		round = append(round, parse(cmd.Args()))
	}
	if f.rounds = append(f.rounds, round); len(f.rounds) > maxRounds {
		panic("the calls are repeated forever")
	}
	if f.fail != nil {
		if err := f.fail(cmds); err != nil {
			return err
		}
	}
	f.clock.Advance(f.latency)
	for i, cmd := range cmds {
		reply := f.execute(round[i])
		if err, ok := reply.(error); ok {
			cmd.SetErr(err)
			if first == nil {
				first = err
			}
			continue
		}
		cmd.(*redis.Cmd).SetVal(reply)
	}
	f.clock.Advance(f.latency)
	return first
}

// parse parses the arguments of a command.
func parse(args []any) (c command) {
	words := make([]string, len(args))
	for i, arg := range args {
		if m, ok := arg.(encoding.BinaryMarshaler); ok {
			text, err := m.MarshalBinary()
			if err != nil {
				panic(err)
			}
			arg = string(text)
		}
		words[i] = fmt.Sprint(arg)
	}
	c.inFull = words[0] == "eval" && words[1] == wire.Script
	if !c.inFull && (words[0] != "evalsha" || words[1] != wire.Digest) {
		panic("no call of the script")
	}
	n := args[2].(int)
	c.keys, words = words[3:3+n], words[3+n:]
	c.guard, c.ahead = words[0], words[2]
	keys := c.keys
	if c.guard != "0" {
		keys = keys[1:]
	}
	if c.tag = words[3]; c.tag != "" {
		keys, words = keys[1:], words[1:]
	}
	for words = words[4:]; len(words) > 0; {
		shape := shapes[words[0]]
		o := operation{name: words[0], key: keys[0], args: words[1:shape.args]}
		if shape.args > 1 {
			o.token = words[1]
		}
		c.ops = append(c.ops, o)
		keys, words = keys[shape.keys:], words[shape.args:]
	}
	return c
}

// String returns the command's operations.
func (c command) String() string {
	var ops []string
	for _, o := range c.ops {
		ops = append(ops, o.name+" "+o.key)
	}
	return strings.Join(ops, ", ")
}

// sent returns the operations of all rounds since the last call of sent, one line per command, and
// a blank line between rounds.
func (f *fake) sent() string {
	var rounds []string
	for _, round := range f.rounds {
		var commands []string
		for _, c := range round {
			line := c.String()
			if c.inFull {
				line = "in full: " + line
			}
			commands = append(commands, line)
		}
		rounds = append(rounds, strings.Join(commands, "\n"))
	}
	f.rounds = nil
	return strings.Join(rounds, "\n\n")
}

// limits returns what the last command says about deadlines: by how much the master's clock is
// ahead, in microseconds.
func (f *fake) limits() string {
	round := f.rounds[len(f.rounds)-1]
	return round[len(round)-1].ahead
}

// op makes an operation of a lane from words such as "acquire a" or "release a of token".
func op(words string) *redisconn.Op {
	kind, name, _ := strings.Cut(words, " ")
	name, token, named := strings.Cut(name, " of ")
	if !named {
		token = "token"
	}
	s := wire.NewSubject(name, token, false, 0)
	var r wire.Request
	switch kind {
	case "acquire":
		r = s.Acquire(time.Minute, 0, 0)
	case "confirm":
		r = s.Confirm(time.Minute, 0, 0)
	case "extend":
		r = s.Extend(time.Minute, 0, 0)
	case "repair":
		r = s.Repair(time.Minute, 0, 0)
	case "release":
		r = s.Release(wire.Anyone, false, 0)
	case "drop":
		r = s.Release(wire.Nobody, false, 0)
	case "wait":
		r = s.Wait(wire.Place{Ticket: 1, Lease: time.Minute, Grant: time.Second, Channel: "channel"})
	case "inspect":
		r = s.Inspect()
	default:
		panic("no such kind: " + kind)
	}
	return &redisconn.Op{Payload: wire.Call{Request: &r}}
}

// until gives an operation a deadline.
func until(deadline time.Duration, op *redisconn.Op) *redisconn.Op {
	op.Payload.Request.SetDeadline(deadline)
	return op
}

// send sends operations, and returns them.
func (f *fake) send(t *testing.T, ops ...*redisconn.Op) []*redisconn.Op {
	t.Helper()
	require.NoError(t, f.Send(t.Context(), ops))
	return ops
}

// ops makes several operations.
func ops(words ...string) (ops []*redisconn.Op) {
	for _, w := range words {
		ops = append(ops, op(w))
	}
	return ops
}

// read settles an operation.
func read(op *redisconn.Op) wire.Answer { return op.Payload.Read(nil) }
