package token_test

import (
	"bytes"
	"encoding/base64"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/token"
)

func TestTokensAreURLSafeAndUseAllBits(t *testing.T) {
	var ones [token.Bits / 8]byte
	for range 200 {
		tok := token.New()
		assert.Regexp(t, `^[A-Za-z0-9_-]{22}$`, tok)
		raw, err := base64.RawURLEncoding.DecodeString(tok)
		require.NoError(t, err)
		require.Len(t, raw, token.Bits/8)
		for i := range raw {
			ones[i] |= raw[i]
		}
		assert.Equal(t, tok, token.Encode([token.Bits / 8]byte(raw)))
	}
	assert.Equal(t, bytes.Repeat([]byte{0xff}, len(ones)), ones[:], "every bit was set at least once")
}

func TestTokensAreUniqueUnderConcurrency(t *testing.T) {
	var seen sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				_, dup := seen.LoadOrStore(token.New(), true)
				assert.False(t, dup)
			}
		})
	}
	wg.Wait()
}

func TestAbbreviate(t *testing.T) {
	assert.Equal(t, "abcdef…", token.Abbreviate("abcdefghijklmnopqrstuv"))
	assert.Equal(t, "a…", token.Abbreviate("abc"))
	assert.Equal(t, "…", token.Abbreviate(""))
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		token.New()
	}
}
