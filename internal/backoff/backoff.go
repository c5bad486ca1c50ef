// Package backoff computes randomized pauses between attempts.
//
// The randomness comes from a seed that the caller already has, such as the attempt's token. Tokens
// are random and differ between contenders. A test that replaces the source of tokens also makes
// the pauses repeatable.
package backoff

import (
	"hash/fnv"
	"time"
)

// Pause returns how long to wait after a failed attempt. attempt counts from 0. The pause starts at
// shortest, doubles with each attempt up to longest, and is then shortened at random by up to half.
func Pause(shortest, longest time.Duration, attempt int, seed string) time.Duration {
	pause := longest
	if attempt < 63 && shortest<<attempt>>attempt == shortest {
		pause = min(shortest<<attempt, longest)
	}
	return pause - time.Duration(float64(pause)/2*Jitter(seed))
}

// Jitter returns a number in [0, 1) derived from seed.
func Jitter(seed string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // never fails; see hash.Hash
	return float64(h.Sum64()>>32) / (1 << 32)
}
