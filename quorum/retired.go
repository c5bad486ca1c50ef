package quorum

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// retiredTokens remembers the Manager's tokens of failed attempts and of waiters that gave up, for
// as long as masters may store them. A master that stores one of them does not store a rival's
// token.
type retiredTokens struct {
	mu    sync.Mutex // guards all below
	until map[string]clock.Instant
	limit int // the number of tokens at which to look for expired ones
}

// fewRetired is a number of tokens too small to be worth looking through.
const fewRetired = 1024

// lateAnswers is how long an answer may still be looked at after a later one has arrived.
const lateAnswers = time.Second

// add remembers a token until it is removed, or at most until its key must have expired.
func (r *retiredTokens) add(token string, until, now clock.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until, r.limit = map[string]clock.Instant{}, fewRetired
	}
	if len(r.until) >= r.limit {
		for token, until := range r.until {
			if until <= now {
				delete(r.until, token)
			}
		}
		r.limit = 2*len(r.until) + fewRetired
	}
	r.until[token] = until
}

// remove forgets a token that no master stores anymore, once any answers that still name it have
// been looked at.
func (r *retiredTokens) remove(token string, now clock.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until[token] = min(r.until[token], now.Add(lateAnswers))
}

func (r *retiredTokens) has(token string, now clock.Instant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until[token] > now
}
