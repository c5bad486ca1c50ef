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

// TestTranscripts shows what a batch of calls looks like as a command, what each part of a reply
// means, and what it changes in what is known of the token.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return new(scene).carryOut
	})
}

// scene is what a transcript plays in: the batch that is under way.
type scene struct {
	fencing bool
	guard   time.Duration
	batch   wire.Batch
	results []any
}

// carryOut is the transcripts' handler. The commands are:
//
//	settings [fencing] [guard=TIME]     of the batches from here on
//	batch KIND[/key-only]... [in-full] [deadline=TIME|none] [ahead=TIME] [error=TIME]
//	                              makes a batch of calls, and prints its command
//	written                       the client writes the command to a connection once more
//	result RESULT...              adds an operation's result to the reply: an integer, a text, nil,
//	                              a list of those, or failed and the text of an error
//	reply TIME | nil | text T | int N | error TEXT... | lost | not-connected
//	                              splits a reply, by default with the results, and prints what
//	                              it means for each call
//	sendable TIME                 prints which calls came too late, but have time left
//	unsent                        the batch was never sent
func (s *scene) carryOut(cmd *transcript.Command) string {
	switch cmd.Name {
	case "settings":
		*s = scene{guard: cmd.Duration("guard", 0)}
		s.fencing = strings.Join(cmd.Args, " ") == "fencing"
		return ""
	case "batch":
		return s.start(cmd)
	case "written":
		for _, c := range s.batch {
			if _, err := c.MarshalBinary(); err != nil {
				return err.Error() + "\n"
			}
		}
		return ""
	case "result":
		s.results = append(s.results, result(cmd.Args))
		return ""
	case "reply":
		return s.split(cmd)
	case "sendable":
		return s.sendable(cmd.DurationArg(0))
	case "unsent":
		return s.answers(errors.New("too late"))
	}
	cmd.Fatalf("no such command")
	return ""
}

func (s *scene) start(cmd *transcript.Command) string {
	s.batch, s.results = nil, nil
	inFull := false
	for i, kind := range cmd.Args {
		if kind == "in-full" {
			inFull = true
			continue
		}
		subject := wire.NewSubject(fmt.Sprint("job", i+1), fmt.Sprint("mine", i+1), s.fencing, s.guard)
		kind, keyOnly := strings.CutSuffix(kind, "/key-only")
		request, ok := request(&subject, kind)
		if !ok {
			cmd.Fatalf("no such kind: %s", kind)
		}
		if cmd.Option("deadline", "") != "none" {
			request.SetDeadline(cmd.Duration("deadline", time.Second))
		}
		call := &wire.Call{Request: &request}
		if keyOnly && !call.KeyOnly() {
			cmd.Fatalf("%s needs its other keys", kind)
		}
		s.batch = append(s.batch, call)
	}
	ahead := wire.Ahead{By: cmd.Duration("ahead", 0), Error: cmd.Duration("error", 0)}
	ahead.Known = ahead != wire.Ahead{}
	var words []string
	for _, arg := range s.batch.Command(nil, ahead, wire.Member{}, inFull) {
		words = append(words, word(arg))
	}
	return strings.Join(words, " ") + "\n"
}

func request(s *wire.Subject, kind string) (r wire.Request, ok bool) {
	const ttl, retention = 10 * time.Second, 24 * time.Hour
	place := wire.Place{
		Ticket: 42, Lease: 15 * time.Second, Grant: time.Second, Question: 7, Retention: retention, Channel: "ch",
	}
	if r, ok = ordered(s, kind); ok {
		return r, ok
	}
	switch kind {
	case "acquire":
		return s.Acquire(ttl, 7000, retention), true
	case "confirm":
		return s.Confirm(ttl, 7000, retention), true
	case "extend":
		return s.Extend(ttl, 7000, retention), true
	case "repair":
		return s.Repair(ttl, 7000, retention), true
	case "release":
		return s.Release(wire.Anyone, false, 0), true
	case "release-with-fence":
		return s.Release(wire.Anyone, false, 8000), true
	case "give-back":
		return s.Release(wire.LowerThan(42), true, 0), true
	case "leave":
		return s.Release(wire.Nobody, true, 0), true
	case "roll-back":
		return s.Release(wire.Nobody, false, 0), true
	case "wait":
		return s.Wait(place), true
	case "ask":
		place.Ticket = 0
		return s.Wait(place), true
	case "inspect":
		return s.Inspect(), true
	case "permit":
		return s.Bootstrap("word", nil), true
	case "extend-dated":
		return s.ExtendDated(ttl, 7000, retention, 6000, time.Minute), true
	case "tombstone":
		return s.Tombstone(2500*time.Millisecond+1, false), true
	case "tombstone-queued":
		return s.Tombstone(2500*time.Millisecond, true), true
	case "break":
		return s.Break(8000, 24*time.Hour), true
	case "declare":
		return s.Bootstrap("", []string{"a", "b"}), true
	}
	return r, false
}

// ordered returns a request of ordered admission, for one of three permits or a shared lock.
func ordered(s *wire.Subject, kind string) (r wire.Request, ok bool) {
	kind, isShared := strings.CutSuffix(kind, "-shared")
	kind, isGuess := strings.CutSuffix(kind, "-guess")
	e := wire.Entry{
		Mode: wire.ModePermit(3), Fence: 7000, TTL: 10 * time.Second, Lease: 3500 * time.Millisecond,
		Retention: 24 * time.Hour, Question: 7, Channels: []string{"ch"}, Guess: isGuess,
	}
	if isShared {
		e.Mode = wire.ModeShared
	}
	switch kind {
	case "admit":
		return s.Admit(e), true
	case "remain":
		return s.Remain(e), true
	case "renew":
		return s.Renew(e), true
	case "readmit":
		return s.Readmit(e), true
	case "depart":
		return s.Depart(e.Mode), true
	}
	return r, false
}

// word prints an argument of a command, and the script by its name.
func word(arg any) string {
	switch text := fmt.Sprint(arg); text {
	case wire.Digest:
		return "DIGEST"
	case wire.Script:
		return "SCRIPT"
	case "":
		return "''"
	default:
		return strings.ReplaceAll(text, "\n", "|")
	}
}

// result is the result of one operation, as a client returns it.
func result(args []string) any {
	switch args[0] {
	case "failed":
		return []any{int64(-4), strings.Join(args[1:], " ")}
	case "list":
		items := []any{}
		for _, arg := range args[1:] {
			items = append(items, item(arg))
		}
		return items
	}
	return item(strings.Join(args, " "))
}

// item is an integer if it looks like one, nil, or a text, perhaps in quotation marks, with _ for
// spaces.
func item(arg string) any {
	if n, err := strconv.ParseInt(arg, 10, 64); err == nil {
		return n
	}
	if arg == "nil" {
		return nil
	}
	return strings.ReplaceAll(strings.Trim(arg, "'"), "_", " ")
}

func (s *scene) split(cmd *transcript.Command) string {
	s.batch.Split(s.reply(cmd), func(text string) error { return masterError(text) })
	first := &s.batch[0].Reply
	switch {
	case first.Unknown():
		return "the master does not have the script\n"
	case first.Refusal():
		return "the master refuses the keys\n"
	}
	return s.answers(nil)
}

func (s *scene) reply(cmd *transcript.Command) wire.Reply {
	rest := strings.Join(cmd.Args[1:], " ")
	switch kind := cmd.Arg(0); kind {
	case "nil":
		return wire.Reply{Kind: wire.ReplyNil, Err: errors.New("nil")}
	case "error":
		return wire.Reply{Kind: wire.ReplyError, Err: masterError(rest)}
	case "lost":
		return wire.Reply{Err: errors.New("timeout")}
	case "not-connected":
		return wire.Reply{Kind: wire.NotConnected, Err: errors.New("refused")}
	case "text", "int":
		return wire.Reply{Kind: wire.ReplyValue, Value: item(rest)}
	default:
		return wire.Reply{Kind: wire.ReplyValue, Value: append([]any{item(kind)}, s.results...)}
	}
}

type masterError string

func (e masterError) Error() string { return string(e) }
func (masterError) RedisError()     {}

func (s *scene) sendable(now time.Duration) string {
	out := ""
	for i, c := range s.batch {
		out += fmt.Sprintf("%d: too late %t, has time %t\n", i+1, c.WasTooLate(), c.HasTime(now))
	}
	return out
}

// answers settles the calls.
func (s *scene) answers(dropped error) string {
	out := ""
	for i, c := range s.batch {
		if len(s.batch) > 1 {
			out += fmt.Sprintf("%d: ", i+1)
		}
		out += answer(c, c.Read(dropped))
	}
	return out
}

func answer(c *wire.Call, a wire.Answer) string {
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
	add(len(a.Before) > 0, "behind %s", strings.Join(a.Before, " and "))
	add(a.Unheard, "nobody listens")
	add(c.Time != 0, "at %d", c.Time)
	add(a.Quarantined, "quarantined")
	if r := a.Report; r != nil {
		add(true, "report %+v", *r)
	}
	add(a.Err != nil, "because %v", a.Err)
	add(a.Late && c.Closed() != 0, "closed at %v", c.Closed())
	return text + "; " + effect(vote.EffectOf(c.Request.Op, a.Outcome, a.Late)) + "\n"
}

// effect tells what the answer changes in what is known of the token.
func effect(e vote.Effect) string {
	var effects []string
	for _, f := range []struct {
		flag vote.Effect
		name string
	}{{vote.Granted, "granted"}, {vote.Queued, "queued"}, {vote.Doubtful, "doubtful"}} {
		if e&f.flag != 0 {
			effects = append(effects, f.name)
		}
	}
	if len(effects) == 0 {
		return "nothing new of the token"
	}
	return strings.Join(effects, ", ")
}
