package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryMutantIsInOnePart(t *testing.T) {
	var all []*mutant
	for i := range table {
		all = append(all, &table[i])
	}
	for n := 1; n <= 20; n++ {
		var chosen []*mutant
		for i := range n {
			part := part{i, n}
			chosen = append(chosen, part.choose(all)...)
		}
		assert.ElementsMatch(t, all, chosen)
	}
}

func TestParsePart(t *testing.T) {
	var p part
	require.NoError(t, p.Set("3/16"))
	assert.Equal(t, part{3, 16}, p)
	for _, bad := range []string{"", "3", "3/", "16/16", "-1/16", "0/0", "3/16x", "03/16"} {
		require.Error(t, p.Set(bad), bad)
	}
	assert.Equal(t, part{3, 16}, p)
}
