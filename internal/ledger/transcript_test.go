package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/ledger"
	"github.com/quorumlock/redlock/internal/transcript"
)

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return new(scene).execute
	})
}

// start is the time at which tests begin.
const start = clock.Instant(time.Hour)

// scene is the state of a transcript: one master's ledger, and the tries in flight.
type scene struct {
	*ledger.Ledger[string]
	now   clock.Instant
	tries map[string]ledger.Debt[string] // by lock
	out   strings.Builder
}

// execute runs the transcripts' commands:
//
//	ledger LIMIT              creates a ledger
//	release LOCK RESULT...    settles a first try
//	tried LOCK RESULT...      settles a try that was taken
//	take [silent]             prints what to try now
//	advance TIME              lets time pass
//	close                     says that little time is left
//	give-up                   gives up all debts that are not being tried
//	state                     prints the counters
//
// RESULT begins with the result of the try: gone, failed (sent, but not answered with gone), unsent
// or superseded. Then it says what is known about the token: stands, has-key, which implies stands,
// or in-doubt, which implies both. The option life=TIME defaults to 1m. The option ends=TIME says
// in how much time the doubt ends; without it, that is unknown.
func (s *scene) execute(cmd *transcript.Command) string {
	commands := map[string]func(*transcript.Command){
		"ledger": s.create, "release": s.release, "tried": s.tried, "take": s.take,
		"advance": s.advance, "close": s.close, "give-up": s.giveUp, "state": s.state,
	}
	command, ok := commands[cmd.Name]
	if !ok {
		cmd.Fatalf("unknown command")
	}
	s.out.Reset()
	command(cmd)
	return s.out.String()
}

func (s *scene) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *scene) create(cmd *transcript.Command) {
	s.Ledger, s.now = ledger.New(cmd.IntArg(0), strings.Compare), start
	s.tries = map[string]ledger.Debt[string]{}
}

func (s *scene) advance(cmd *transcript.Command) { s.now = s.now.Add(cmd.DurationArg(0)) }

func (s *scene) close(*transcript.Command) { s.Close(s.now) }

// answer parses RESULT.
func (s *scene) answer(cmd *transcript.Command) ledger.Answer {
	var a ledger.Answer
	for _, result := range cmd.Args[1:] {
		switch result {
		case "gone":
			a.Gone, a.Sent = true, true
		case "failed":
			a.Sent = true
		case "unsent":
		case "superseded":
			a.Final = true
		case "in-doubt":
			a.InDoubt, a.MayStand, a.MayHaveKey = true, true, true
		case "has-key":
			a.MayStand, a.MayHaveKey = true, true
		case "stands":
			a.MayStand = true
		default:
			cmd.Fatalf("unknown result %s", result)
		}
	}
	a.Life, a.DoubtEnds = cmd.Duration("life", time.Minute), clock.Never
	if ends := cmd.Option("ends", ""); ends != "" {
		a.DoubtEnds = s.now.Add(cmd.Duration("ends", 0))
	}
	return a
}

func (s *scene) release(cmd *transcript.Command) {
	lock := cmd.Arg(0)
	s.settle(ledger.Debt[string]{Lock: lock, Heir: "anyone"}, s.answer(cmd))
}

func (s *scene) tried(cmd *transcript.Command) {
	debt, ok := s.tries[cmd.Arg(0)]
	if !ok {
		cmd.Fatalf("%s is not being tried", cmd.Arg(0))
	}
	delete(s.tries, debt.Lock)
	s.settle(debt, s.answer(cmd))
	s.Tried()
}

func (s *scene) settle(debt ledger.Debt[string], a ledger.Answer) {
	if debt.Settled(a) {
		s.printf("%s is settled", debt.Lock)
		return
	}
	ended, entered := s.Settle(debt, a, s.now)
	if entered {
		s.printf("%s is owed", debt.Lock)
	}
	s.ended(ended)
}

func (s *scene) ended(ended []ledger.Ended[string]) {
	for _, e := range ended {
		if e.Gone {
			s.printf("%s ends, gone", e.Lock)
		} else {
			s.printf("%s ends", e.Lock)
		}
	}
}

func (s *scene) take(cmd *transcript.Command) {
	due, ended := s.Take(s.now, slices.Contains(cmd.Args, "silent"))
	for _, debt := range due {
		s.tries[debt.Lock] = debt
		s.printf("try %s, it expires in %v", debt.Lock, debt.Expires().Sub(s.now))
	}
	s.ended(ended)
	if wait := s.UntilNext(s.now); wait == clock.Never.Sub(0) {
		s.printf("nothing else is owed")
	} else {
		s.printf("look again in %v", wait)
	}
}

func (s *scene) giveUp(*transcript.Command) {
	left, ended := s.GiveUp()
	s.ended(ended)
	s.printf("left to expire since Close: %v", left)
}

func (s *scene) state(*transcript.Command) {
	s.printf("%d pending, %d left to expire", s.Pending(), s.LeftToExpire())
}
