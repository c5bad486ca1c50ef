package vote_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
)

// reports makes a Room from what masters have named. A nil list means that the master has not
// reported.
func reports(permits int, named ...[]string) (room *vote.Room, y vote.System, masters vote.Set) {
	y = vote.Majority(len(named))
	room = vote.NewRoom(permits, y)
	for i, tokens := range named {
		if tokens != nil {
			room.Name(i, tokens, true)
			masters |= vote.Only(i)
		}
	}
	return room, y, masters
}

func TestRoomCountsEntriesThatMayHold(t *testing.T) {
	none := []string{}
	for name, test := range map[string]struct {
		permits int
		named   [][]string
		want    bool
	}{
		"nobody before":                      {1, [][]string{none, none, none}, true},
		"no quorum has reported":             {1, [][]string{none, nil, nil}, false},
		"before it on a quorum":              {1, [][]string{{"a"}, {"a"}, none}, false},
		"before it on a minority of all":     {1, [][]string{{"a"}, none, none}, true},
		"before it on some, others silent":   {1, [][]string{{"a"}, none, nil}, false},
		"several, but enough permits":        {3, [][]string{{"a", "b"}, {"b", "a"}, nil}, true},
		"different ones, the union counts":   {2, [][]string{{"a"}, {"b"}, nil}, false},
		"different ones, all have reported":  {2, [][]string{{"a"}, {"b"}, {"c"}}, true},
		"each has room, not all together":    {2, [][]string{{"a"}, {"a", "b"}, {"b"}}, false},
		"of five, on three":                  {1, [][]string{{"a"}, {"a"}, {"a"}, none, none}, false},
		"of five, on two, one silent":        {1, [][]string{{"a"}, {"a"}, none, none, nil}, false},
		"of five, on one, one silent":        {1, [][]string{{"a"}, none, none, none, nil}, true},
		"of four, on two and silent":         {1, [][]string{{"a"}, {"a"}, none, nil}, false},
		"of four, on two":                    {1, [][]string{{"a"}, {"a"}, none, none}, true},
		"one master":                         {2, [][]string{{"a"}}, true},
		"one master, all permits are in use": {2, [][]string{{"a", "b"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			room, y, masters := reports(test.permits, test.named...)
			assert.Equal(t, test.want, room.Suffices(y, masters))
		})
	}
}

func TestRoomForgetsReleasedEntries(t *testing.T) {
	room, y, masters := reports(2, []string{"a"}, []string{"b"}, nil)
	require.False(t, room.Suffices(y, masters))
	room.Gone("a")
	assert.True(t, room.Suffices(y, masters), "its client had stopped using the lock")
}

// While an entry stands, those before it only become fewer. So of two reports, what both name is
// true, whichever came first.
func TestReportsIntersect(t *testing.T) {
	for _, order := range [][2][]string{{{"a", "b"}, {"b"}}, {{"b"}, {"a", "b"}}} {
		room, y, masters := reports(1, order[0], []string{"b"}, nil)
		room.Name(0, order[1], false)
		assert.False(t, room.Suffices(y, masters), "b is before it")
		room.Gone("b")
		assert.True(t, room.Suffices(y, masters), "%v", order)
	}
}

func TestNewReportReplacesThoseOfEarlierAdmissions(t *testing.T) {
	room, y, masters := reports(1, []string{}, []string{}, nil)
	room.Name(0, []string{"a"}, true)
	assert.False(t, room.Suffices(y, masters))
}

func TestNobodyIsNamedWithoutPermits(t *testing.T) {
	var room vote.Room
	room.Name(0, []string{"a"}, true)
	room.Gone("a")
	assert.True(t, room.Suffices(vote.Majority(3), 0b011))
	assert.False(t, room.Suffices(vote.Majority(3), 0b001))
}

// If there is room, then fewer other entries stand on a quorum than there are permits. If all
// masters have reported, the reverse is true as well. The test tries random sets of masters.
func TestRoomAgainstBruteForce(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 0))
		y, others := vote.Majority(1+r.IntN(7)), []vote.System{}
		if r.IntN(3) == 0 {
			y, others = randomJoint(r)
		}
		permits, holding := 1+r.IntN(4), 0
		named := make([][]string, y.Masters())
		for i := range named {
			named[i] = []string{}
		}
		for n := range r.IntN(7) {
			stands := vote.Set(r.Uint64()) & y.All()
			for i := range stands.Each() {
				named[i] = append(named[i], fmt.Sprint("token-", n))
			}
			if slices.ContainsFunc(append(others, y), func(o vote.System) bool { return o.HasQuorum(stands) }) {
				holding++
			}
		}
		reported := vote.Set(r.Uint64()|r.Uint64()) & y.All()
		for i := range named {
			if !reported.Has(i) {
				named[i] = nil
			}
		}
		room, _, masters := reports(permits, named...)
		got := y.HasQuorum(masters) && room.Suffices(y, masters)
		if got {
			require.Less(t, holding, permits, "seed %d: %v", seed, named)
		}
		if y.HasQuorum(masters) && !slices.ContainsFunc(named, func(list []string) bool { return list == nil }) {
			require.Equal(t, holding < permits, got, "seed %d: %v", seed, named)
		}
	}
}

// randomJoint returns a joint system, and those of clients that use one of its sets alone.
func randomJoint(r *rand.Rand) (y vote.System, alone []vote.System) {
	all := vote.Majority(1 + r.IntN(7)).All()
	a := vote.Set(r.Uint64())&all | vote.Only(0)
	b := vote.Set(r.Uint64())&all | all&^a
	if b == 0 {
		b = a
	}
	return vote.Joint(a, b), []vote.System{vote.Joint(a, a), vote.Joint(b, b)}
}

// The verdict on a permit counts what all the masters name together.
func TestVerdictOnPermits(t *testing.T) {
	verdict := func(op vote.Op, masters int, named ...[]string) vote.Verdict {
		y := vote.Majority(masters)
		tally := vote.Tally{Room: vote.NewRoom(2, y)}
		for i, before := range named {
			tally.Add(vote.Ballot{Master: i, Outcome: vote.Held, Before: before})
		}
		return tally.Verdict(y, op)
	}
	for _, op := range []vote.Op{vote.Acquire, vote.Extend} {
		assert.Equal(t, vote.Undecided, verdict(op, 3, nil))
		assert.Equal(t, vote.Won, verdict(op, 3, nil, nil))
		assert.Equal(t, vote.Won, verdict(op, 3, []string{"a"}, []string{"a"}))
		assert.Equal(t, vote.Doomed, verdict(op, 3, []string{"a"}, []string{"b"}), "%v: the third may know better", op)
		assert.Equal(t, vote.Won, verdict(op, 3, []string{"a"}, []string{"b"}, []string{}), "neither is on a quorum")
	}
	crowded := [][]string{{"a"}, {"a", "b"}, {"b"}}
	assert.Equal(t, vote.LostToRival, verdict(vote.Acquire, 3, crowded...))
	assert.Equal(t, vote.Failed, verdict(vote.Extend, 3, crowded...), "the lock has room for the rest of its window")
}

// An entry that a quorum has room for, but with different fences, has to move up.
func TestVerdictOnScatteredEntries(t *testing.T) {
	verdict := func(outcomes ...vote.Outcome) vote.Verdict {
		var tally vote.Tally
		for i, o := range outcomes {
			tally.Add(vote.Ballot{Master: i, Outcome: o})
		}
		return tally.Verdict(vote.Majority(5), vote.Acquire)
	}
	const held, overtaken, blocked = vote.Held, vote.Overtaken, vote.Blocked
	assert.Equal(t, vote.Undecided, verdict(overtaken, overtaken))
	assert.Equal(t, vote.Scattered, verdict(overtaken, held, overtaken))
	assert.Equal(t, vote.Scattered, verdict(held, held, overtaken))
	assert.Equal(t, vote.Won, verdict(held, overtaken, held, held))
	assert.Equal(t, vote.LostToRival, verdict(blocked, blocked, overtaken, blocked))
	assert.Equal(t, vote.LostToRival, verdict(blocked, vote.Taken, held, blocked))
}

// As long as the pending answers may say that a quorum has room, with whatever fence, the request
// can still win.
func TestVerdictWaitsForScatteredEntries(t *testing.T) {
	verdict := func(outcomes ...vote.Outcome) vote.Verdict {
		var tally vote.Tally
		for i, o := range outcomes {
			tally.Add(vote.Ballot{Master: i, Outcome: o})
		}
		return tally.Verdict(vote.Majority(3), vote.Acquire)
	}
	const held, overtaken, blocked, unsent = vote.Held, vote.Overtaken, vote.Blocked, vote.Unsent
	for _, failed := range []vote.Outcome{unsent, blocked, vote.Unknown} {
		assert.Equal(t, vote.Undecided, verdict(failed, overtaken))
		assert.Equal(t, vote.Undecided, verdict(failed, held))
		assert.Equal(t, vote.Scattered, verdict(failed, overtaken, held))
		assert.Equal(t, vote.Scattered, verdict(failed, overtaken, overtaken))
		assert.Equal(t, vote.Won, verdict(failed, held, held))
	}
	assert.Equal(t, vote.Failed, verdict(unsent, unsent))
	assert.Equal(t, vote.Failed, verdict(unsent, overtaken, unsent))
	assert.Equal(t, vote.LostToRival, verdict(blocked, overtaken, blocked))
}
