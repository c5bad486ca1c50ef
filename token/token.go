// Package token makes ownership tokens, which identify the holder of a lock.
package token

import (
	"crypto/rand"
	"encoding/base64"
)

// Bits is the number of random bits in an ownership token. By the birthday bound, the probability
// that two of 2^40 tokens are equal is 2^-49.
const Bits = 128

// New returns a fresh token: 22 characters of the URL-safe base64 alphabet, which carry 128 bits
// from crypto/rand. It is safe for concurrent use.
func New() string {
	var bits [Bits / 8]byte
	_, _ = rand.Read(bits[:]) // never fails; see crypto/rand
	return Encode(bits)
}

// Encode returns the token that carries the given bits.
func Encode(bits [Bits / 8]byte) string { return base64.RawURLEncoding.EncodeToString(bits[:]) }

// Abbreviate returns the first six characters of an ownership token, but at most half of it,
// followed by an ellipsis. That is enough to tell tokens apart in a log, and too little to release
// the lock.
func Abbreviate(token string) string {
	return token[:min(6, len(token)/2)] + "…"
}
