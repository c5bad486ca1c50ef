package vote_test

import (
	"strings"
	"testing"

	"github.com/quorumlock/redlock/internal/transcript"
	"github.com/quorumlock/redlock/internal/vote"
)

// A command is a kind of request. Its arguments are the ballots, in order of arrival, that of
// master 0 first. masters=N sets the number of masters. joint=01/123 makes the system a joint one,
// of masters 0 and 1 and of masters 1, 2 and 3. The output is the verdict before the first ballot
// and after each one.
//
// A ballot is an outcome, "untouched" or "usurped". "untouched" is Unsent from a master that was
// never sent anything. "usurped" is Taken from a first release that found another token.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return verdicts
	})
}

func verdicts(cmd *transcript.Command) string {
	var op vote.Op
	for op.String() != cmd.Name {
		if op++; op > vote.Members {
			cmd.Fatalf("unknown kind of request")
		}
	}
	system := vote.Majority(cmd.Int("masters", 5))
	if a, b, ok := strings.Cut(cmd.Option("joint", ""), "/"); ok {
		system = vote.Joint(setOf(a), setOf(b))
	}
	var tally vote.Tally
	steps := []string{tally.Verdict(system, op).String()}
	for i, name := range cmd.Args {
		ballot, ok := ballotOf(name)
		if !ok {
			cmd.Fatalf("unknown ballot %s", name)
		}
		ballot.Master = i
		tally.Add(ballot)
		steps = append(steps, tally.Verdict(system, op).String())
	}
	return strings.Join(steps, ", ")
}

// setOf returns the set of the masters whose indexes are the digits of text.
func setOf(text string) (s vote.Set) {
	for _, digit := range text {
		s |= vote.Only(int(digit - '0'))
	}
	return s
}

func ballotOf(name string) (vote.Ballot, bool) {
	switch name {
	case "untouched":
		return vote.Ballot{Outcome: vote.Unsent, Untouched: true}, true
	case "usurped":
		return vote.Ballot{Outcome: vote.Taken, Usurped: true}, true
	}
	for o := range vote.Outcomes {
		if o.String() == name {
			return vote.Ballot{Outcome: o}, true
		}
	}
	return vote.Ballot{}, false
}
