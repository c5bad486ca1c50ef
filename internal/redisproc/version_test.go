package redisproc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseVersionOfRedisAndValkey(t *testing.T) {
	for text, want := range map[string][]int{
		"Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=a": {6, 0},
		"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=b": {7, 0},
		"Redis server v=8.10.0 sha=00000000:0 malloc=libc bits=64 build=c":           {8, 10},
		"Redis server v=8.0-m01 sha=00000000:0 malloc=libc bits=64 build=d":          {8, 0},
		"Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64 build=e":           {8, 0},
	} {
		got, err := parseVersion(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "Redis server", "Redis server v=seven"} {
		_, err := parseVersion(text)
		assert.Error(t, err, text)
	}
}

func TestAtLeastComparesVersionsNumerically(t *testing.T) {
	assert.True(t, AtLeast(t, 1, 99), "any minor version of an older major version")
	assert.False(t, AtLeast(t, 99, 0))
}
