package quorum

import (
	"hash/fnv"
	"time"
)

// backoff returns how long to wait after the attempt-th failed attempt, from 0:
// least doubled with each, at most most, and shortened by up to a half.
//
// The share is drawn from the attempt's own token. That is as random as any
// other source, differs between contenders, and makes a test that replaces the
// tokens' source replay its pauses too.
func backoff(least, most time.Duration, attempt int, token string) time.Duration {
	pause := most
	if attempt < 63 && least<<attempt>>attempt == least {
		pause = min(least<<attempt, most)
	}
	return pause - time.Duration(float64(pause)/2*share(token))
}

// share draws a number from 0 to 1 from a token.
func share(token string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(token)) // never fails, see hash.Hash
	return float64(h.Sum64()>>32) / (1 << 32)
}
