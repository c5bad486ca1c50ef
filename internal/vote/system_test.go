package vote_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// During a change of masters, some clients use the old set, some the new one, and some both. Any
// quorums of two of them meet, except for those of the old set and the new one. That is what joint
// quorums are for.
func TestJointQuorumsMeetThoseOfBothSets(t *testing.T) {
	const masters = 5
	all := vote.Majority(masters).All()
	met := 0
	for a := vote.Set(1); a <= all; a++ {
		for b := vote.Set(1); b <= all; b++ {
			if (a | b) != all {
				continue
			}
			joint, old, young := vote.Joint(a, b), vote.Joint(a, a), vote.Joint(b, b)
			for s := range all + 1 {
				both := isMajority(a, s) && isMajority(b, s)
				require.Equal(t, both, joint.HasQuorum(s), "%v %v: %v", a, b, s)
				require.Equal(t, isMajority(a, s), old.HasQuorum(s))
				require.Equal(t, isMajority(a, s) || isMajority(b, s), joint.MayHold(s), "%v %v: %v", a, b, s)
				require.Equal(t, !joint.HasQuorum(all&^s), joint.Blocks(s))
				if !both {
					continue
				}
				for other := range all + 1 {
					if (s & other) == 0 {
						met++
						require.False(t, old.HasQuorum(other) || young.HasQuorum(other) || joint.HasQuorum(other),
							"%v %v: %v and %v", a, b, s, other)
					}
				}
			}
		}
	}
	assert.NotZero(t, met)
}

// isMajority counts one master at a time.
func isMajority(of, s vote.Set) bool {
	n, all := 0, 0
	for i := range vote.MaxMasters {
		if of.Has(i) {
			all++
			if s.Has(i) {
				n++
			}
		}
	}
	return 2*n > all
}

func FuzzJoint(f *testing.F) {
	f.Add(uint16(0b111), uint16(0b11100), uint16(0b01110))
	f.Add(uint16(0b11), uint16(0b11), uint16(0b11))
	f.Fuzz(func(t *testing.T, a, b, s uint16) {
		if a == 0 || b == 0 {
			return
		}
		y := vote.Joint(vote.Set(a), vote.Set(b))
		masters, quorum := vote.Set(s)&y.All(), y.Quorum()
		both := isMajority(vote.Set(a), masters) && isMajority(vote.Set(b), masters)
		require.Equal(t, both, y.HasQuorum(masters))
		require.Equal(t, a != b, y.IsJoint())
		require.Equal(t, vote.Set(a|b).Len(), y.Masters())
		if both {
			require.GreaterOrEqual(t, masters.Len(), quorum, "no quorum is smaller")
		}
		require.True(t, y.HasQuorum(smallestQuorum(vote.Set(a), vote.Set(b))))
		require.Equal(t, quorum, smallestQuorum(vote.Set(a), vote.Set(b)).Len())
	})
}

// smallestQuorum takes masters of both sets first.
func smallestQuorum(a, b vote.Set) (s vote.Set) {
	for _, preferred := range []vote.Set{a & b, a, b} {
		for i := range preferred.Each() {
			if a.Has(i) && !isMajority(a, s) || b.Has(i) && !isMajority(b, s) {
				s |= vote.Only(i)
			}
		}
	}
	return s
}

func TestSystemString(t *testing.T) {
	assert.Equal(t, "3 of 5 masters", vote.Majority(5).String())
	assert.Equal(t, "2 of 3 and 3 of 5 masters", vote.Joint(0b111, 0b11111).String())
	assert.Equal(t, "2 of 3 masters", vote.Joint(0b111, 0b111).String())
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
	assert.Equal(t, "a", vote.Joint(0b111, 0b11100).Holder([]string{"a", "a", "b", "", ""}), "its client may use one set alone")
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
			[]string{"acquire", "extend", "repair", "release", "wait", "inspect", "bootstrap", "break", "members", "Op(9)"},
			func(i uint8) fmt.Stringer { return vote.Op(i) },
		},
		{
			[]string{"unknown", "held", "taken", "absent", "refused", "unsent", "expired", "blocked", "overtaken", "Outcome(9)"},
			func(i uint8) fmt.Stringer { return vote.Outcome(i) },
		},
		{
			[]string{
				"undecided", "doomed", "tentative", "failed", "scattered", "lost to rival", "won", "Verdict(7)",
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
