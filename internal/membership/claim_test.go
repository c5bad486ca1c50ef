package membership_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/vote"
)

// Clients of two lists that share masters start for the first time, at the same time. The one that
// has claimed a majority of its masters does not begin while the other one claims one of them, even
// if that one claimed it earlier.
func TestClaimsOfOthersAreAwaited(t *testing.T) {
	own, others := membership.SetOf([]string{"a", "b", "c"}), membership.SetOf([]string{"c", "d", "e"})
	claim := func(name string, s membership.Set, generation int64) *membership.Record {
		return &membership.Record{Generation: generation, Name: name, Set: s, Next: s}
	}
	for what, tt := range map[string]struct {
		generation int64
		third      *membership.Record
		opens      bool
	}{
		"nobody else":     {generation: 1, opens: true},
		"others":          {generation: 1, third: claim("c", others, 1)},
		"others, earlier": {generation: 2, third: claim("c", others, 1)},
		"others have it":  {generation: 2, third: &membership.Record{Generation: 1, Name: "c", Set: others}},
	} {
		t.Run(what, func(t *testing.T) {
			b := membership.NewBook(vote.Majority(3), []string{"a", "b", "c"})
			writes := b.Learn([]membership.View{
				{Answered: true, Record: claim("a", own, tt.generation)},
				{Answered: true, Record: claim("b", own, tt.generation)},
				{Answered: true, Record: tt.third},
			})
			opens := false
			for _, w := range writes {
				opens = opens || w != nil && !w.Record.Sealed()
			}
			assert.Equal(t, tt.opens, opens)
			if tt.third != nil && !tt.third.Sealed() {
				require.Error(t, b.Err())
			}
		})
	}
}
