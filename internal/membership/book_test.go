package membership_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/vote"
)

// A master that is used by others is known for that only until its record is accepted again.
func TestAcceptedRecordEndsTheConflict(t *testing.T) {
	own, others := membership.SetOf([]string{"a", "b", "c"}), membership.SetOf([]string{"c", "d", "e"})
	record := func(name string, s membership.Set) *membership.Record {
		return &membership.Record{Generation: 1, Name: name, Set: s}
	}
	b := membership.NewBook(vote.Majority(3), []string{"a", "b", "c"})
	b.Learn([]membership.View{
		{Answered: true, Record: record("a", own)},
		{Answered: true, Record: record("b", own)},
		{Answered: true, Record: record("c", others)},
	})
	require.NoError(t, b.Err())
	require.NoError(t, b.ErrOf(0))
	require.ErrorContains(t, b.ErrOf(2), "d")
	assert.False(t, b.Saw(2, record("c", others)))
	require.Error(t, b.ErrOf(2))
	assert.True(t, b.Saw(2, record("c", own)))
	require.NoError(t, b.ErrOf(2))
	assert.Equal(t, record("c", own).Tag(), b.Tag(2))
}
