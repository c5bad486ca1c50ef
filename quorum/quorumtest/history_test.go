package quorumtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestHistoryCheck(t *testing.T) {
	hold := func(name, holder string, from, to int, fence int64) quorumtest.Hold {
		return quorumtest.Hold{Name: name, Holder: holder, Token: holder, From: time.Duration(from), To: time.Duration(to), Fence: fence}
	}
	for what, tt := range map[string]struct {
		holds []quorumtest.Hold
		want  string // "" for none
	}{
		"no holds":           {nil, ""},
		"consecutive":        {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 5, 9, 0)}, ""},
		"added out of order": {[]quorumtest.Hold{hold("a", "y", 5, 9, 0), hold("a", "x", 0, 5, 0)}, ""},
		"other names":        {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("b", "y", 0, 5, 0)}, ""},
		"overlap":            {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 4, 9, 0)}, "two holders at once"},
		"inside a longer hold": {
			[]quorumtest.Hold{hold("a", "x", 0, 9, 0), hold("a", "y", 10, 11, 0), hold("a", "z", 2, 3, 0)}, "two holders at once"},
		"overlap with the hold before the last": {
			[]quorumtest.Hold{hold("a", "x", 0, 9, 0), hold("a", "y", 9, 9, 0), hold("a", "z", 8, 10, 0)}, "two holders at once"},
		"empty":                 {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 2, 2, 0)}, ""},
		"ends before it starts": {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 2, 1, 0)}, ""},
		"token twice":           {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "x", 6, 9, 0)}, "token held twice"},
		"fences increase":       {[]quorumtest.Hold{hold("a", "x", 0, 5, 1), hold("a", "y", 6, 9, 2)}, ""},
		"same fence":            {[]quorumtest.Hold{hold("a", "x", 0, 5, 2), hold("a", "y", 6, 9, 2)}, "fences out of order"},
		"fence decreases":       {[]quorumtest.Hold{hold("a", "x", 0, 5, 2), hold("a", "y", 6, 9, 1)}, "fences out of order"},
	} {
		t.Run(what, func(t *testing.T) {
			var h quorumtest.History
			for _, hold := range tt.holds {
				h.Add(hold)
			}
			if tt.want == "" {
				assert.NoError(t, h.Check())
			} else {
				assert.ErrorContains(t, h.Check(), tt.want)
			}
		})
	}
}

// Each fence must be above all earlier ones of its name, whatever lies between.
func TestHistoryCheckFindsFencesOutOfOrder(t *testing.T) {
	const outOfOrder = "fences out of order"
	for what, tt := range map[string]struct {
		holds []quorumtest.Hold
		want  []string
	}{
		"hold without a fence in between":     {[]quorumtest.Hold{fenced(0, 5, 5), fenced(6, 7, 0), fenced(8, 9, 3)}, []string{outOfOrder}},
		"shorter hold in between":             {[]quorumtest.Hold{fenced(0, 2, 5), fenced(3, 9, 6), fenced(9, 9, 8), fenced(10, 11, 7)}, []string{outOfOrder}},
		"higher fence inside a longer hold":   {[]quorumtest.Hold{fenced(0, 9, 1), fenced(3, 3, 5), fenced(9, 12, 4)}, []string{outOfOrder}},
		"decreases twice":                     {[]quorumtest.Hold{fenced(0, 1, 5), fenced(2, 3, 3), fenced(4, 5, 4)}, []string{outOfOrder, outOfOrder}},
		"increases above the highest again":   {[]quorumtest.Hold{fenced(0, 1, 5), fenced(2, 3, 3), fenced(4, 5, 6)}, []string{outOfOrder}},
		"no fences":                           {[]quorumtest.Hold{fenced(0, 1, 0), fenced(2, 3, 0)}, nil},
		"first fence after holds without":     {[]quorumtest.Hold{fenced(0, 1, 0), fenced(2, 3, 1), fenced(4, 5, 0), fenced(6, 7, 2)}, nil},
		"negative fences":                     {[]quorumtest.Hold{fenced(0, 1, -2), fenced(2, 3, -1)}, nil},
		"empty hold at the next From":         {[]quorumtest.Hold{fenced(5, 5, 4), fenced(5, 9, 3)}, nil},
		"returned after its window closed":    {[]quorumtest.Hold{fenced(10, 8, 3), fenced(9, 12, 4)}, nil},
		"returned late, next fence decreases": {[]quorumtest.Hold{fenced(10, 8, 4), fenced(9, 12, 3)}, []string{outOfOrder}},
		"fence of another name in between":    {[]quorumtest.Hold{fenced(0, 1, 5), named("b", fenced(2, 3, 9)), fenced(4, 5, 6)}, nil},
		"decreases across another name":       {[]quorumtest.Hold{fenced(0, 1, 5), named("b", fenced(2, 3, 9)), fenced(4, 5, 4)}, []string{outOfOrder}},
	} {
		t.Run(what, func(t *testing.T) { requireViolations(t, tt.holds, tt.want...) })
	}
}

func TestHistoryCheckFindsOverlapsAndRepeatedTokens(t *testing.T) {
	const overlap, twice = "two holders at once", "token held twice"
	for what, tt := range map[string]struct {
		holds []quorumtest.Hold
		want  []string
	}{
		"two inside one":                    {[]quorumtest.Hold{held("x", 0, 9), held("y", 1, 2), held("z", 3, 4)}, []string{overlap, overlap}},
		"same period":                       {[]quorumtest.Hold{held("x", 0, 9), held("y", 0, 9)}, []string{overlap}},
		"empty hold in between":             {[]quorumtest.Hold{held("x", 0, 9), held("y", 3, 3), held("z", 9, 10)}, nil},
		"ends before it starts, and late":   {[]quorumtest.Hold{held("x", 0, 5), held("y", 9, 5), held("z", 5, 10)}, nil},
		"before the start of the time line": {[]quorumtest.Hold{named("", held("x", -5, -1)), named("", held("y", -1, 0))}, nil},
		"another name in between":           {[]quorumtest.Hold{held("x", 0, 9), named("b", held("y", 1, 2)), held("z", 8, 10)}, []string{overlap}},
		"no names":                          {[]quorumtest.Hold{named("", held("x", 0, 9)), named("", held("y", 8, 10))}, []string{overlap}},
		"token three times":                 {[]quorumtest.Hold{held("x", 0, 1), held("x", 2, 3), held("x", 4, 5)}, []string{twice, twice}},
		"token across another hold":         {[]quorumtest.Hold{held("x", 0, 1), held("y", 2, 3), held("x", 4, 5)}, []string{twice}},
		"token of an empty hold":            {[]quorumtest.Hold{held("x", 0, 1), held("x", 1, 1)}, []string{twice}},
		"token of two names":                {[]quorumtest.Hold{held("x", 0, 1), named("b", held("x", 0, 1))}, nil},
		"no tokens":                         {[]quorumtest.Hold{held("", 0, 1), held("", 2, 3)}, nil},
		"similar names":                     {[]quorumtest.Hold{named("a\x00b", held("c", 0, 1)), named("a", held("b\x00c", 2, 3))}, nil},
		"same token at once":                {[]quorumtest.Hold{held("x", 0, 5), held("x", 4, 9)}, []string{twice, overlap}},
	} {
		t.Run(what, func(t *testing.T) { requireViolations(t, tt.holds, tt.want...) })
	}
}

// held returns a hold of lock "a" whose token is the name of the holder.
func held(holder string, from, to int) quorumtest.Hold {
	return quorumtest.Hold{Name: "a", Holder: holder, Token: holder, From: time.Duration(from), To: time.Duration(to)}
}

// fenced returns a hold of lock "a" without a token.
func fenced(from, to int, fence int64) quorumtest.Hold {
	hold := held("", from, to)
	hold.Fence = fence
	return hold
}

func named(name string, hold quorumtest.Hold) quorumtest.Hold {
	hold.Name = name
	return hold
}

// requireViolations requires that Check reports exactly these violations, whatever the order in
// which holds are added.
func requireViolations(t *testing.T, holds []quorumtest.Hold, want ...string) {
	t.Helper()
	for range 2 {
		var h quorumtest.History
		for _, hold := range holds {
			h.Add(hold)
		}
		var have []string
		if err := h.Check(); err != nil {
			have = strings.Split(err.Error(), "\n")
		}
		require.Len(t, have, len(want), "%q", have)
		for i := range want {
			require.Contains(t, have[i], want[i])
		}
		slices.Reverse(holds)
	}
}

func ExampleHistory() {
	var history quorumtest.History
	history.Add(quorumtest.Hold{Name: "nightly-mail", Holder: "replica 1", From: 0, To: 3 * time.Second})
	history.Add(quorumtest.Hold{Name: "nightly-mail", Holder: "replica 2", From: 2 * time.Second, To: 5 * time.Second})
	fmt.Println(history.Check())
	// Output:
	// two holders at once: replica 1 held "nightly-mail" from 0s to 3s and replica 2 held "nightly-mail" from 2s to 5s
}
