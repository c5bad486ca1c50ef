package token_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/token"
)

func TestTokensAreURLSafeAndUseAllBits(t *testing.T) {
	s := token.NewSource(nil)
	var ones [token.Bits / 8]byte
	for range 200 {
		tok, err := s.New()
		require.NoError(t, err)
		assert.Regexp(t, `^[A-Za-z0-9_-]{22}$`, tok)
		raw, err := base64.RawURLEncoding.DecodeString(tok)
		require.NoError(t, err)
		require.Len(t, raw, token.Bits/8)
		for i := range raw {
			ones[i] |= raw[i]
		}
	}
	assert.Equal(t, bytes.Repeat([]byte{0xff}, len(ones)), ones[:], "every bit was set at least once")
}

func TestTokensAreUniqueUnderConcurrency(t *testing.T) {
	for name, random := range map[string]io.Reader{"crypto": nil, "seeded": rand.NewChaCha8([32]byte{1})} {
		t.Run(name, func(t *testing.T) {
			s := token.NewSource(random)
			var seen sync.Map
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 1000 {
						tok, err := s.New()
						assert.NoError(t, err)
						_, dup := seen.LoadOrStore(tok, true)
						assert.False(t, dup)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestSeededSourceRepeatsItsTokens(t *testing.T) {
	seeded := func() string {
		tok, err := token.NewSource(rand.NewChaCha8([32]byte{7})).New()
		require.NoError(t, err)
		return tok
	}
	assert.Equal(t, seeded(), seeded())
}

func TestSourceReturnsReaderError(t *testing.T) {
	broken := errors.New("no entropy")
	_, err := token.NewSource(iotest.ErrReader(broken)).New()
	assert.ErrorIs(t, err, broken)
	_, err = token.NewSource(bytes.NewReader(make([]byte, 3))).New()
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "a short read must not make a weak token")
}

func TestAbbreviate(t *testing.T) {
	assert.Equal(t, "abcdef…", token.Abbreviate("abcdefghijklmnopqrstuv"))
	assert.Equal(t, "a…", token.Abbreviate("abc"))
	assert.Equal(t, "…", token.Abbreviate(""))
}

func BenchmarkNew(b *testing.B) {
	s := token.NewSource(nil)
	for b.Loop() {
		if _, err := s.New(); err != nil {
			b.Fatal(err)
		}
	}
}
