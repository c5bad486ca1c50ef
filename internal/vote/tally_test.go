package vote_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
)

// plain returns one ballot of each outcome, without flags.
func plain() (ballots []vote.Ballot) {
	for o := range vote.Outcomes {
		ballots = append(ballots, vote.Ballot{Outcome: o})
	}
	return ballots
}

// forRelease returns all kinds of ballots that a release can get.
func forRelease() []vote.Ballot {
	return append(plain(),
		vote.Ballot{Outcome: vote.Unsent, Untouched: true},
		vote.Ballot{Outcome: vote.Taken, Usurped: true})
}

// count tallies ballots. The first is master 0's.
func count(ballots []vote.Ballot) (t vote.Tally) {
	for i, b := range ballots {
		b.Master = i
		t.Add(b)
	}
	return t
}

// eachList calls f with all lists of at most n ballots of the given kinds. f must not retain them.
func eachList(kinds []vote.Ballot, n int, f func([]vote.Ballot)) {
	ballots := make([]vote.Ballot, 0, n)
	var extend func()
	extend = func() {
		f(ballots)
		if len(ballots) == n {
			return
		}
		for _, b := range kinds {
			ballots = append(ballots, b)
			extend()
			ballots = ballots[:len(ballots)-1]
		}
	}
	extend()
}

// finalVerdict returns the verdict on a request that all masters have answered.
func finalVerdict(op vote.Op, ballots []vote.Ballot) vote.Verdict {
	n, counts, untouched, usurped := len(ballots), [vote.Outcomes]int{}, 0, 0
	for _, b := range ballots {
		counts[b.Outcome]++
		if b.Untouched {
			untouched++
		}
		if b.Usurped {
			usurped++
		}
	}
	quorum := n/2 + 1
	gone := counts[vote.Taken] + counts[vote.Absent]
	won, lost := false, false
	switch op {
	case vote.Acquire:
		won, lost = counts[vote.Held] >= quorum, counts[vote.Taken]+counts[vote.Blocked] > n-quorum
	case vote.Extend, vote.Repair:
		won, lost = counts[vote.Held] >= quorum, gone+counts[vote.Blocked] >= quorum
	case vote.Release:
		won, lost = gone+untouched >= quorum && usurped < quorum, usurped >= quorum
	case vote.Wait:
		won = counts[vote.Held]+gone >= quorum
	case vote.Inspect, vote.Bootstrap:
		won = gone >= quorum
	}
	switch {
	case won:
		return vote.Won
	case lost:
		return vote.LostToRival
	}
	return vote.Failed
}

// possible returns the final verdicts that are still possible after the given ballots, in ascending
// order.
func possible(op vote.Op, kinds, ballots []vote.Ballot, n int) (verdicts []vote.Verdict) {
	all := slices.Clone(ballots)
	eachList(kinds, n-len(ballots), func(more []vote.Ballot) {
		if len(ballots)+len(more) < n {
			return
		}
		v := finalVerdict(op, append(all[:len(ballots)], more...))
		if !slices.Contains(verdicts, v) {
			verdicts = append(verdicts, v)
		}
	})
	slices.Sort(verdicts)
	return verdicts
}

// A verdict is final as soon as no pending ballot can change it, and not before. The test tries all
// ballots.
func TestVerdictIsFinalAsSoonAsPossible(t *testing.T) {
	kinds := plain()
	for _, op := range []vote.Op{vote.Acquire, vote.Extend, vote.Repair, vote.Wait} {
		for n := 1; n <= 4; n++ {
			eachList(kinds, n, func(ballots []vote.Ballot) {
				tally := count(ballots)
				verdicts := possible(op, kinds, ballots, n)
				want := verdicts[0]
				switch {
				case len(verdicts) == 1:
				case slices.Contains(verdicts, vote.Won):
					want = vote.Undecided
				default:
					want = vote.Doomed
				}
				if got := tally.Verdict(vote.Majority(n), op); got != want {
					require.Fail(t, "verdict", "%v on %d masters, %v: got %v, want %v", op, n, ballots, got, want)
				}
			})
		}
	}
}

// A final verdict on a release is the only one possible. A verdict that is not final leaves a win
// possible. Unlike other requests, a release may be decided later than possible.
func TestReleaseVerdictIsNotFinalTooEarly(t *testing.T) {
	kinds := forRelease()
	for n := 1; n <= 3; n++ {
		eachList(kinds, n, func(ballots []vote.Ballot) {
			tally := count(ballots)
			got := tally.Verdict(vote.Majority(n), vote.Release)
			verdicts := possible(vote.Release, kinds, ballots, n)
			var ok bool
			switch {
			case got.Final():
				ok = slices.Equal(verdicts, []vote.Verdict{got})
			case len(ballots) == n, got == vote.Doomed:
				ok = false
			default:
				ok = slices.Contains(verdicts, vote.Won)
			}
			if !ok {
				require.Fail(t, "verdict", "%d masters, %v: got %v, possible are %v", n, ballots, got, verdicts)
			}
		})
	}
}

// Inspect and Bootstrap report on every master, so they wait for all of them.
func TestInspectAndBootstrapWaitForAllMasters(t *testing.T) {
	kinds := plain()
	for _, op := range []vote.Op{vote.Inspect, vote.Bootstrap} {
		for n := 1; n <= 4; n++ {
			eachList(kinds, n, func(ballots []vote.Ballot) {
				want := vote.Undecided
				if len(ballots) == n {
					want = finalVerdict(op, ballots)
				}
				tally := count(ballots)
				require.Equal(t, want, tally.Verdict(vote.Majority(n), op), "%v %v", op, ballots)
			})
		}
	}
}

func TestFinalVerdictsOfFiveMasters(t *testing.T) {
	kinds := plain()
	for op := vote.Acquire; op <= vote.Bootstrap; op++ {
		eachList(kinds, 5, func(ballots []vote.Ballot) {
			if len(ballots) < 5 {
				return
			}
			tally := count(ballots)
			if got := tally.Verdict(vote.Majority(5), op); got != finalVerdict(op, ballots) {
				require.Fail(t, "verdict", "%v %v: %v", op, ballots, got)
			}
		})
	}
}

// It does not matter which master casts which ballot.
func TestVerdictDoesNotDependOnMasters(t *testing.T) {
	ballots := []vote.Ballot{
		{Outcome: vote.Held},
		{Outcome: vote.Taken, Usurped: true},
		{Outcome: vote.Unsent, Untouched: true},
	}
	for op := vote.Acquire; op <= vote.Bootstrap; op++ {
		want := count(ballots)
		for _, order := range [][]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			var tally vote.Tally
			for i, master := range order {
				b := ballots[i]
				b.Master = master
				tally.Add(b)
			}
			system := vote.Majority(3)
			assert.Equal(t, want.Verdict(system, op), tally.Verdict(system, op), "%v %v", op, order)
		}
	}
}

func TestTallyReturnsMastersByBallot(t *testing.T) {
	var tally vote.Tally
	assert.Zero(t, tally.Settled())
	tally.Add(vote.Ballot{Master: 3, Outcome: vote.Taken, Usurped: true})
	tally.Add(vote.Ballot{Master: 0, Outcome: vote.Taken})
	tally.Add(vote.Ballot{Master: 63, Outcome: vote.Unknown})
	assert.Equal(t, "{0 3 63}", tally.Settled().String())
	assert.Equal(t, "{0 3}", tally.With(vote.Taken).String())
	assert.Equal(t, "{63}", tally.With(vote.Unknown).String())
	assert.Equal(t, "{}", tally.With(vote.Held).String())
	assert.Equal(t, "{3}", tally.Usurped().String())
}

func TestFinal(t *testing.T) {
	for v, final := range map[vote.Verdict]bool{
		vote.Undecided: false, vote.Doomed: false, vote.Tentative: false,
		vote.Failed: true, vote.LostToRival: true, vote.Won: true,
	} {
		assert.Equal(t, final, v.Final(), "%v", v)
	}
}
