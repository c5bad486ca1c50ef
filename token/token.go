// Package token makes the tokens that tell one holder of a lock from another.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
)

// Bits is how much randomness an ownership token has. By the birthday bound,
// two of 2^40 tokens are the same with a probability of 2^-49.
const Bits = 128

// Source makes ownership tokens. It is safe for concurrent use.
type Source struct {
	mu     sync.Mutex // guards random, which need not be safe for concurrent use
	random io.Reader
}

// NewSource returns a Source that draws from random, or from crypto/rand if
// random is nil. A test that passes a seeded generator gets the same tokens
// each time; in production anything but crypto/rand risks two holders with the
// same token, which is two holders at once.
func NewSource(random io.Reader) *Source { return &Source{random: random} }

// New returns a fresh token: 22 characters of the URL-safe base64 alphabet that
// carry 128 random bits. It fails only if the reader given to NewSource does.
func (s *Source) New() (string, error) {
	var raw [Bits / 8]byte
	if err := s.read(raw[:]); err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

func (s *Source) read(p []byte) error {
	if s.random == nil {
		_, err := rand.Read(p)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.ReadFull(s.random, p)
	return err
}

// Abbreviate returns the first characters of an ownership token, enough to tell
// tokens apart in a log and too few to release the lock with: six, and never
// more than half of the token.
func Abbreviate(token string) string {
	return token[:min(6, len(token)/2)] + "…"
}
