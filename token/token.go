// Package token makes ownership tokens, which identify the holder of a lock.
//
// A token has the form random@owner. The owner is readable, and tells who holds a lock to anyone
// who reads the lock's key. The random part makes the token unique. Who knows all of it can release
// the lock.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Bits is the number of random bits in an ownership token. By the birthday bound, the probability
// that two of 2^40 tokens are equal is 2^-49.
const Bits = 128

// MaxOwner is the longest name of an owner, in bytes.
const MaxOwner = 64

const (
	randomBytes = Bits / 8
	timeBytes   = 6 // milliseconds since 1970, up to the year 10889
)

// randomLen is the length of the part before the @.
var randomLen = base64.RawURLEncoding.EncodedLen(randomBytes + timeBytes)

// New returns a fresh token: 128 bits from crypto/rand and the time made, as 30 characters of the
// URL-safe base64 alphabet, an @, and the owner. A zero time means that the token tells no time. It
// is safe for concurrent use.
func New(made time.Time, owner string) string {
	var random [randomBytes]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	return Encode(random, made, owner)
}

// Encode returns the token that consists of the given parts. The time counts in milliseconds.
func Encode(random [Bits / 8]byte, made time.Time, owner string) string {
	var raw [8 + randomBytes]byte // the first two bytes of the time are not used
	if !made.IsZero() {
		binary.BigEndian.PutUint64(raw[randomBytes:], uint64(made.UnixMilli())<<16)
	}
	copy(raw[:], random[:])
	var text [128]byte // longer than any token, so that only the string is allocated
	base64.RawURLEncoding.Encode(text[:], raw[:randomBytes+timeBytes])
	return string(append(append(text[:randomLen], '@'), owner...))
}

// Owner returns the owner that a token names. It returns "" for text of any other form, such as the
// tokens of other Redlock clients.
func Owner(token string) string {
	if len(token) <= randomLen+1 || token[randomLen] != '@' {
		return ""
	}
	owner := token[randomLen+1:]
	if CheckOwner(owner) != nil || strings.ContainsFunc(token[:randomLen], notBase64) {
		return ""
	}
	return owner
}

// Made returns when a token was made, to the millisecond, or the zero time if it does not tell.
func Made(token string) time.Time {
	if Owner(token) == "" {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(token[:randomLen])
	if err != nil {
		return time.Time{}
	}
	var ms [8]byte
	copy(ms[2:], raw[randomBytes:])
	made := int64(binary.BigEndian.Uint64(ms[:]))
	if made == 0 {
		return time.Time{}
	}
	return time.UnixMilli(made)
}

// Abbreviate returns the first six characters of an ownership token, but at most half of it,
// followed by an ellipsis, and by @ and the owner if the token names one. That is enough to tell
// tokens apart in a log, and too little to release the lock.
func Abbreviate(token string) string {
	short := token[:min(6, len(token)/2)] + "…"
	if owner := Owner(token); owner != "" {
		short += "@" + owner
	}
	return short
}

// CheckOwner returns an error if owner is no name that a token can carry: 1 to 64 of A-Z, a-z, 0-9
// and . _ : / -.
func CheckOwner(owner string) error {
	switch {
	case owner == "":
		return fmt.Errorf("empty owner")
	case len(owner) > MaxOwner:
		return fmt.Errorf("owner is %d bytes long, over %d", len(owner), MaxOwner)
	}
	if i := strings.IndexFunc(owner, notInOwner); i >= 0 {
		return fmt.Errorf("owner contains %q: only A-Z, a-z, 0-9 and . _ : / - are allowed", []rune(owner[i:])[0])
	}
	return nil
}

// DefaultOwner returns the host's name and the process ID, as in "web-3:4711". Characters that an
// owner must not contain become dashes. A long name is cut.
func DefaultOwner() string { return defaultOwner() }

var defaultOwner = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown-host"
	}
	return ownerOf(host, os.Getpid())
})

func ownerOf(host string, pid int) string {
	host = strings.Map(func(r rune) rune {
		if notInOwner(r) {
			return '-'
		}
		return r
	}, host)
	process := fmt.Sprintf(":%d", pid)
	return host[:min(len(host), MaxOwner-len(process))] + process
}

func notInOwner(r rune) bool { return !isAlphanumeric(r) && !strings.ContainsRune("._:/-", r) }

func notBase64(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' }

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
