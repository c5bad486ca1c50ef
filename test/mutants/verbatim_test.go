package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBothKindsOfEditsAddUp: quotations see what anchors' edits have made, and no anchor.
func TestBothKindsOfEditsAddUp(t *testing.T) {
	got, err := made(t, replace("a.go", "b + 1\n}", "b + 2\n}"), swap("greater", "$0 + 1"), replace("a.go", "b + 2", "2"))
	require.NoError(t, err)
	assert.Contains(t, got, "\treturn 2\n}\n")
	for want, e := range map[string]edit{
		"has 0 of the 1":     replace("a.go", "four", ""),
		"has 3 of the 1":     replace("a.go", "return", ""),
		"no such file":       replace("b.go", "a", "b"),
		"it changes nothing": replace("a.go", "a < b", "a < b"),
	} {
		_, err := made(t, e)
		assert.ErrorContains(t, err, want)
	}
}
