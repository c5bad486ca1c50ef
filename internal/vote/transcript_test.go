package vote_test

import (
	"strings"
	"testing"

	"github.com/quorumlock/redlock/internal/transcript"
	"github.com/quorumlock/redlock/internal/vote"
)

// The commands are the kinds of requests, with the ballots as their arguments in the order in which
// they come, that of master 0 first. masters=N says how many there are. What comes out are the
// verdicts, before any ballot and after each.
//
// A ballot is an outcome, or it is "untouched", which is Unsent where nothing was ever sent, or
// "usurped", which is Taken where a first release found another token.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return verdicts
	})
}

func verdicts(cmd *transcript.Command) string {
	var op vote.Op
	for op.String() != cmd.Name {
		if op++; op > vote.Bootstrap {
			cmd.Fatalf("no such kind")
		}
	}
	system := vote.Majority(cmd.Int("masters", 5))
	var tally vote.Tally
	said := []string{tally.Verdict(system, op).String()}
	for i, name := range cmd.Args {
		ballot, ok := ballotOf(name)
		if !ok {
			cmd.Fatalf("no such ballot: %s", name)
		}
		ballot.Master = i
		tally.Add(ballot)
		said = append(said, tally.Verdict(system, op).String())
	}
	return strings.Join(said, ", ")
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
