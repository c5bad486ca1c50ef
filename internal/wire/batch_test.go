package wire_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/wire"
)

func TestForbidsKey(t *testing.T) {
	for text, want := range map[string]bool{
		"NOPERM this user has no permissions to access one of the keys used as arguments": true, // Redis 6 and 7.0
		"NOPERM No permissions to access a key":                                           true, // later ones
		"NOPERM this user has no permissions to access one of the channels used":          false,
		"NOPERM this user has no permissions to run the 'keys' command":                   false,
		"ERR no permissions to access a key":                                              false,
	} {
		assert.Equal(t, want, wire.ForbidsKey(errors.New(text)), text)
	}
	assert.False(t, wire.ForbidsKey(nil))
}
