package vote_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/vote"
)

func TestMajority(t *testing.T) {
	for n, want := range map[int]struct{ quorum, blocking int }{
		1: {1, 1}, 2: {2, 1}, 3: {2, 2}, 4: {3, 2}, 5: {3, 3}, 6: {4, 3}, 63: {32, 32}, 64: {33, 32},
	} {
		y := vote.Majority(n)
		assert.Equal(t, n, y.Masters())
		assert.Equal(t, want.quorum, y.Quorum(), "%d", n)
		few := vote.Set(1)<<(want.blocking-1) - 1
		assert.False(t, y.Blocks(few), "%d", n)
		assert.True(t, y.Blocks(few|vote.Only(want.blocking-1)), "%d", n)
		assert.Equal(t, n, y.All().Len())
		assert.True(t, y.All().Has(n-1))
		assert.False(t, y.All().Has(n))
	}
}

// Any two quorums share a master. A set blocks if and only if the other masters are no quorum.
func TestQuorumsIntersect(t *testing.T) {
	for n := 1; n <= 6; n++ {
		y := vote.Majority(n)
		for a := range y.All() + 1 {
			assert.Equal(t, a.Len() >= y.Quorum(), y.HasQuorum(a))
			assert.Equal(t, a.Len() >= n-y.Quorum()+1, y.Blocks(a))
			assert.Equal(t, !y.HasQuorum(y.All()&^a), y.Blocks(a))
			for b := range y.All() + 1 {
				if y.HasQuorum(a) && y.HasQuorum(b) {
					assert.NotZero(t, a&b)
				}
			}
		}
	}
}

func TestHolder(t *testing.T) {
	for _, test := range []struct {
		stored []string
		want   string
	}{
		{[]string{"a"}, "a"},
		{[]string{""}, ""},
		{[]string{"a", "a", ""}, "a"},
		{[]string{"a", "", "a"}, "a"},
		{[]string{"a", "b", ""}, ""},
		{[]string{"b", "a", "a"}, "a"},
		{[]string{"", "", ""}, ""},
		{[]string{"a", "a", "b", "b"}, ""},
		{[]string{"a", "b", "b", "b"}, "b"},
		{[]string{"a", "b", "a", "b", "a"}, "a"},
		{[]string{"a", "b", "a", "b", "c"}, ""},
	} {
		y := vote.Majority(len(test.stored))
		assert.Equal(t, test.want, y.Holder(test.stored), "%q", test.stored)
	}
	assert.Empty(t, vote.Majority(5).Holder([]string{"a", "a"}), "two of five are no quorum")
}

func TestSet(t *testing.T) {
	var none vote.Set
	assert.Zero(t, none.Len())
	assert.Equal(t, "{}", none.String())
	s := vote.Only(0) | vote.Only(2) | vote.Only(63)
	assert.Equal(t, 3, s.Len())
	assert.Equal(t, "{0 2 63}", s.String())
	for i := range vote.MaxMasters {
		assert.Equal(t, i == 0 || i == 2 || i == 63, s.Has(i), "%d", i)
	}
	var each []int
	for i := range s.Each() {
		each = append(each, i)
		if i == 2 {
			break
		}
	}
	assert.Equal(t, []int{0, 2}, each)
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		names []string
		name  func(uint8) fmt.Stringer
	}{
		{
			[]string{"acquire", "extend", "repair", "release", "wait", "inspect", "bootstrap", "break", "Op(8)"},
			func(i uint8) fmt.Stringer { return vote.Op(i) },
		},
		{
			[]string{"unknown", "held", "taken", "absent", "refused", "unsent", "expired", "blocked", "overtaken", "Outcome(9)"},
			func(i uint8) fmt.Stringer { return vote.Outcome(i) },
		},
		{
			[]string{
				"undecided", "doomed", "tentative", "failed", "lost to rival", "won", "Verdict(6)",
			},
			func(i uint8) fmt.Stringer { return vote.Verdict(i) },
		},
	} {
		for i, name := range test.names {
			assert.Equal(t, name, test.name(uint8(i)).String())
		}
	}
}

func TestAgreedIsReachedByQuorum(t *testing.T) {
	y := vote.Majority(5)
	for _, test := range []struct {
		known  vote.Set
		values []int
		want   int
		ok     bool
	}{
		{0b11111, []int{5, 1, 4, 2, 3}, 3, true},
		{0b11111, []int{7, 7, 7, 0, 0}, 7, true},
		{0b00111, []int{5, 1, 4, 9, 9}, 1, true},
		{0b11001, []int{5, 99, 99, 2, 3}, 2, true},
		{0b00011, []int{5, 1, 4, 2, 3}, 0, false},
		{0, make([]int, 5), 0, false},
	} {
		agreed, ok := vote.Agreed(y, test.known, test.values)
		assert.Equal(t, test.want, agreed, "%+v", test)
		assert.Equal(t, test.ok, ok, "%+v", test)
	}
}
