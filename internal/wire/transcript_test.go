package wire_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/transcript"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// TestTranscripts shows what each reply means, and what it changes in what is known of the token.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return new(scene).carryOut
	})
}

// scene is what a transcript plays in: the kind of call that is made, and the one under way.
type scene struct {
	request wire.Request
	forms   []bool // what Choose is told
	call    *wire.Call
}

// carryOut is the transcripts' handler. The commands are:
//
//	call KIND [fencing] [guard] [no-aux-keys] [no-set-nx-get]   prints the command that is sent
//	written                       the client puts the command on the wire once more
//	reply nil | int N | text T | list ITEM... | error TEXT... | lost | not-connected
//	                              prints what the reply means, or the next command
//	unsent                        the call was never sent
func (s *scene) carryOut(cmd *transcript.Command) string {
	switch cmd.Name {
	case "call":
		s.start(cmd.Args)
		return s.command()
	case "written":
		if _, err := s.call.MarshalBinary(); err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "reply":
		s.call.Reply = reply(cmd.Args)
		if s.call.Rephrase() {
			return s.command()
		}
		return s.answer(s.call.Read(nil))
	case "unsent":
		return s.answer(s.call.Read(errors.New("too late")))
	}
	cmd.Fatalf("no such command")
	return ""
}

func (s *scene) start(args []string) {
	has := func(word string) bool { return strings.Contains(strings.Join(args, " "), word) }
	guard := time.Duration(0)
	if has("guard") {
		guard = time.Minute
	}
	subject := wire.NewSubject("job", "mine", has("fencing"), guard)
	switch args[0] {
	case "acquire":
		s.request = subject.Acquire(10*time.Second, 7000, 24*time.Hour)
	case "confirm":
		s.request = subject.Confirm(10*time.Second, 7000, 24*time.Hour)
	case "extend":
		s.request = subject.Extend(10*time.Second, 7000, 24*time.Hour)
	case "repair":
		s.request = subject.Repair(10*time.Second, 7000, 24*time.Hour)
	case "release":
		s.request = subject.Release(wire.Anyone, false)
	case "give-back":
		s.request = subject.Release(wire.LowerThan(42), true)
	case "roll-back":
		s.request = subject.Release(wire.Nobody, false)
	case "wait":
		s.request = subject.Wait(wire.Place{Ticket: 42, Lease: 15 * time.Second, Grant: time.Second, Channel: "ch"})
	case "inspect":
		s.request = subject.Inspect()
	case "permit":
		s.request = subject.Bootstrap("word", nil)
	case "declare":
		s.request = subject.Bootstrap("", []string{"a", "b"})
	}
	s.call = &wire.Call{Request: &s.request}
	s.forms = []bool{has("no-aux-keys"), has("no-set-nx-get")}
}

// command prints the command that a client would send, with scripts by their names.
func (s *scene) command() string {
	s.call.Choose(s.forms[0], s.forms[1])
	var words []string
	for _, arg := range s.call.Command(nil) {
		words = append(words, word(arg))
	}
	return strings.Join(words, " ") + "\n"
}

func word(arg any) string {
	text := fmt.Sprint(arg)
	for _, script := range wire.Scripts() {
		if text == script.Source || text == script.Digest() {
			return script.Name
		}
	}
	if text == "" {
		return "''"
	}
	return text
}

func reply(args []string) wire.Reply {
	rest := strings.Join(args[1:], " ")
	switch args[0] {
	case "nil":
		return wire.Reply{Kind: wire.ReplyNil, Err: errors.New("nil")}
	case "int":
		return wire.Reply{Kind: wire.ReplyValue, Value: item(rest)}
	case "text":
		return wire.Reply{Kind: wire.ReplyValue, Value: rest}
	case "list":
		var items []any
		for _, arg := range args[1:] {
			items = append(items, item(arg))
		}
		return wire.Reply{Kind: wire.ReplyValue, Value: items}
	case "error":
		return wire.Reply{Kind: wire.ReplyError, Err: masterError(rest)}
	case "not-connected":
		return wire.Reply{Kind: wire.NotConnected, Err: errors.New("refused")}
	}
	return wire.Reply{Err: errors.New("timeout")}
}

type masterError string

func (e masterError) Error() string { return string(e) }
func (masterError) RedisError()     {}

// item is a number, if it looks like one, a text otherwise; quotes around it are taken off.
func item(arg string) any {
	if n, err := strconv.ParseInt(arg, 10, 64); err == nil {
		return n
	}
	return strings.Trim(arg, "'")
}

func (s *scene) answer(a wire.Answer) string {
	text := a.Outcome.String()
	add := func(when bool, format string, args ...any) {
		if when {
			text += fmt.Sprintf(", "+format, args...)
		}
	}
	add(a.Stored != "", "%s is stored", a.Stored)
	add(a.Fence != 0, "fence %d", a.Fence)
	add(a.Anew, "anew")
	add(a.HandedOn, "handed on")
	add(a.Left != 0, "%v left", a.Left)
	add(a.Rank != 0, "rank %d", a.Rank)
	add(a.Unheard, "nobody listens")
	add(a.Time != 0, "at %d", a.Time)
	add(a.Quarantined, "quarantined")
	if r := a.Report; r != nil {
		add(true, "report %+v", *r)
	}
	add(a.Err != nil, "because %v", a.Err)
	return text + "; " + s.effect(a) + "\n"
}

// effect tells what the answer changes in what is known of the token.
func (s *scene) effect(a wire.Answer) string {
	var effects []string
	e := vote.EffectOf(s.request.Op, a.Outcome, a.Late)
	for flag, name := range map[vote.Effect]string{vote.Granted: "granted", vote.Queued: "queued"} {
		if e&flag != 0 {
			effects = append(effects, name)
		}
	}
	if e&vote.Doubtful != 0 {
		effects = append(effects, "doubtful")
	}
	if len(effects) == 0 {
		return "nothing new of the token"
	}
	return strings.Join(effects, ", ")
}
