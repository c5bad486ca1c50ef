// Package token makes ownership tokens, which identify the holder of a lock.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
)

// Bits is the number of random bits in an ownership token. By the birthday bound, the probability
// that two of 2^40 tokens are equal is 2^-49.
const Bits = 128

// Source makes ownership tokens. It is safe for concurrent use.
type Source struct {
	mu     sync.Mutex // guards random, which may be unsafe for concurrent use
	random io.Reader
}

// NewSource returns a Source that reads from random, or from crypto/rand if random is nil. Tests
// can pass a seeded generator to get the same tokens each time. In production, pass nil: with any
// other source, two clients could draw the same token and hold a lock at the same time.
func NewSource(random io.Reader) *Source { return &Source{random: random} }

// New returns a fresh token: 22 characters of the URL-safe base64 alphabet, which carry 128 random
// bits. It fails only if the reader passed to NewSource fails.
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

// Abbreviate returns the first six characters of an ownership token, but at most half of it,
// followed by an ellipsis. That is enough to tell tokens apart in a log, and too little to release
// the lock.
func Abbreviate(token string) string {
	return token[:min(6, len(token)/2)] + "…"
}
