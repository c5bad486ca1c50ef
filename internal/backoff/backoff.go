// Package backoff computes pauses between attempts, shortened at random.
//
// The randomness comes from a seed that the caller has anyway, such as the attempt's own token.
// That is as random as any other source and differs between contenders. And a test that replaces
// the source of tokens replays its pauses too.
package backoff

import (
	"hash/fnv"
	"time"
)

// Pause returns how long to wait after the attempt-th failed attempt, counted from 0: least,
// doubled with each attempt up to most, and shortened by up to a half.
func Pause(least, most time.Duration, attempt int, seed string) time.Duration {
	pause := most
	if attempt < 63 && least<<attempt>>attempt == least {
		pause = min(least<<attempt, most)
	}
	return pause - time.Duration(float64(pause)/2*Jitter(seed))
}

// Jitter draws a number in [0, 1) from a seed.
func Jitter(seed string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // never fails; see hash.Hash
	return float64(h.Sum64()>>32) / (1 << 32)
}
