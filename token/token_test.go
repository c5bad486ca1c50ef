package token_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/token"
)

var made = time.UnixMilli(1763870000123)

func TestTokensAreReadableAndUseAllBits(t *testing.T) {
	var ones [token.Bits / 8]byte
	for range 200 {
		tok := token.New(made, "web-3:4711")
		assert.Regexp(t, `^[A-Za-z0-9_-]{30}@web-3:4711$`, tok)
		raw, err := base64.RawURLEncoding.DecodeString(tok[:30])
		require.NoError(t, err)
		random := [token.Bits / 8]byte(raw)
		for i := range random {
			ones[i] |= random[i]
		}
		assert.Equal(t, tok, token.Encode(random, made, "web-3:4711"))
	}
	assert.Equal(t, bytes.Repeat([]byte{0xff}, len(ones)), ones[:], "every bit was set at least once")
}

func TestTokensAreUniqueUnderConcurrency(t *testing.T) {
	var seen sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				_, dup := seen.LoadOrStore(token.New(made, "host:1"), true)
				assert.False(t, dup)
			}
		})
	}
	wg.Wait()
}

func TestTokenTellsOwnerAndTime(t *testing.T) {
	for _, owner := range []string{"web-3:4711", "a", "eu/west_1/pod-7.svc:1", strings.Repeat("x", 64)} {
		tok := token.New(made, owner)
		assert.Equal(t, owner, token.Owner(tok))
		assert.True(t, made.Equal(token.Made(tok)), "%v", token.Made(tok))
		assert.True(t, token.Made(token.New(time.Time{}, owner)).IsZero())
	}
	last := time.UnixMilli(1<<48 - 1)
	assert.True(t, last.Equal(token.Made(token.New(last, "host:1"))))
}

// TestOtherTextHasNoOwner checks that the tokens of other clients are not taken for this library's.
// They may contain an @.
func TestOtherTextHasNoOwner(t *testing.T) {
	random := strings.Repeat("A", 30)
	for _, text := range []string{
		"", "@", "@host", "abc@host", random, random + "@", random + "@two words", random[:29] + "@host",
		random + "A@host", random[:29] + "+@host", random + "@" + strings.Repeat("x", 65), random + "@höst",
		"user@example.com", "RBpDlEC6rXVoxEFm4P5mbw==",
	} {
		assert.Empty(t, token.Owner(text), text)
		assert.True(t, token.Made(text).IsZero(), text)
	}
}

func TestAbbreviate(t *testing.T) {
	assert.Equal(t, "abcdef…", token.Abbreviate("abcdefghijklmnopqrstuv"))
	assert.Equal(t, "a…", token.Abbreviate("abc"))
	assert.Equal(t, "…", token.Abbreviate(""))
	tok := token.New(made, "web-3:4711")
	assert.Equal(t, tok[:6]+"…@web-3:4711", token.Abbreviate(tok))
	assert.Equal(t, "secret…", token.Abbreviate("secret-of-another@web-3:4711"), "not this library's")
}

func TestOwnersAreChecked(t *testing.T) {
	for owner, want := range map[string]string{
		"":                      "empty owner",
		strings.Repeat("x", 65): "owner is 65 bytes long, over 64",
		"two words":             "owner contains ' ': only A-Z, a-z, 0-9 and . _ : / - are allowed",
		"me@host":               "owner contains '@': only A-Z, a-z, 0-9 and . _ : / - are allowed",
		"höst":                  "owner contains 'ö': only A-Z, a-z, 0-9 and . _ : / - are allowed",
		"a\nb":                  `owner contains '\n': only A-Z, a-z, 0-9 and . _ : / - are allowed`,
	} {
		assert.EqualError(t, token.CheckOwner(owner), want)
	}
	assert.NoError(t, token.CheckOwner("AZaz09._:/-"))
}

func TestDefaultOwnerIsHostAndProcess(t *testing.T) {
	assert.NoError(t, token.CheckOwner(token.DefaultOwner()))
	assert.True(t, strings.HasSuffix(token.DefaultOwner(), fmt.Sprintf(":%d", os.Getpid())))
	assert.Equal(t, "web-3.example.com:17", token.OwnerOf("web-3.example.com", 17))
	assert.Equal(t, "my-host-:17", token.OwnerOf("my host!", 17))
	assert.Equal(t, strings.Repeat("x", 59)+":4711", token.OwnerOf(strings.Repeat("x", 200), 4711))
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		token.New(made, "web-3:4711")
	}
}
