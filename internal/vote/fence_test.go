package vote_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
)

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	for longest, want := range map[time.Duration]time.Duration{
		0:                   day,
		time.Second:         day,
		day / 2:             day,
		day/2 + 1:           day + 2,
		day:                 2 * day,
		math.MaxInt64 / 2:   math.MaxInt64 - 1,
		math.MaxInt64/2 + 1: math.MaxInt64/2 + 1,
		math.MaxInt64:       math.MaxInt64,
	} {
		assert.Equal(t, want, vote.Retention(longest), "%v", longest)
	}
}

func TestPropose(t *testing.T) {
	for now, want := range map[int64]int64{
		-5: 0, 0: 0, 7: 7, vote.MaxFence: vote.MaxFence, vote.MaxFence + 1: vote.MaxFence,
		math.MaxInt64: vote.MaxFence,
	} {
		assert.Equal(t, want, vote.Propose(now))
	}
}

// grant is a master's grant: the arguments of Minting.Add.
type grant struct {
	stored int64
	anew   bool
}

func TestFence(t *testing.T) {
	const proposal, now = 100, 90
	for name, test := range map[string]struct {
		grants []grant
		want   int64
		stored bool
	}{
		"quorum stored it anew":             {[]grant{{100, true}, {100, true}}, 100, true},
		"all stored it anew":                {[]grant{{100, true}, {100, true}, {100, true}}, 100, true},
		"minority has higher fence":         {[]grant{{100, true}, {500, false}, {100, true}}, 100, true},
		"minority stored it anew":           {[]grant{{100, true}, {500, false}}, 501, false},
		"none stored it anew":               {[]grant{{300, false}, {500, false}}, 501, false},
		"equal fence of an earlier request": {[]grant{{100, true}, {100, false}}, 101, false},
		"stored fences are below now":       {[]grant{{10, false}, {20, false}}, 91, false},
		"no fences are stored":              {[]grant{{0, false}, {0, false}}, 91, false},
		"highest fence is stored":           {[]grant{{vote.MaxFence, false}}, vote.MaxFence + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var m vote.Minting
			for i, g := range test.grants {
				m.Add(i, g.stored, g.anew)
			}
			fence, stored := m.Fence(vote.Majority(3), proposal, now)
			assert.Equal(t, test.want, fence)
			assert.Equal(t, test.stored, stored)
		})
	}
}

// Each holder's fence is higher than the fences of all earlier holders. That holds for all clocks
// and all quorums. With each grant, a master stores the proposal if it is higher. If no quorum did,
// a second round stores the fence.
func TestFencesIncrease(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n := 1 + rng.IntN(5)
		y := vote.Majority(n)
		masters, last := make([]int64, n), int64(0)
		for range 20 {
			quorum := rng.Perm(n)[:y.Quorum()]
			proposal := rng.Int64N(1000)
			var m vote.Minting
			for _, i := range quorum {
				anew := proposal > masters[i]
				masters[i] = max(masters[i], proposal)
				m.Add(i, masters[i], anew)
			}
			fence, stored := m.Fence(y, proposal, rng.Int64N(1000))
			if !stored {
				for _, i := range rng.Perm(n)[:y.Quorum()] {
					masters[i] = max(masters[i], fence)
				}
			}
			require.Greater(t, fence, last, "seed %d", seed)
			last = fence
		}
	}
}

func TestMedianOffsetIgnoresOneWrongClock(t *testing.T) {
	for name, test := range map[string]struct {
		known []int64
		own   int64 // -1 if own must not be called
		want  int64
	}{
		"none":               {nil, 7, 7},
		"one":                {[]int64{5}, -1, 5},
		"two and own":        {[]int64{100, 5}, 7, 7},
		"own is wrong":       {[]int64{6, 5}, 1e9, 6},
		"three":              {[]int64{9, 1e9, 8}, -1, 9},
		"four and own":       {[]int64{1e9, 9, 8, 7}, 8, 8},
		"all but one agree":  {[]int64{3, 3, -1e9, 3, 3}, -1, 3},
		"negative, unsorted": {[]int64{-3, -9, -5}, -1, -5},
	} {
		t.Run(name, func(t *testing.T) {
			got := vote.MedianOffset(test.known, func() int64 {
				require.GreaterOrEqual(t, test.own, int64(0), "own must not be called")
				return test.own
			})
			assert.Equal(t, test.want, got)
		})
	}
}
