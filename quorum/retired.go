package quorum

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// retiredTokens has a Manager's tokens that came to nothing, of attempts that failed and of
// waiters that gave up, for as long as masters may store them. Finding one of them there is not
// finding a rival.
type retiredTokens struct {
	mu    sync.Mutex // guards all below
	until map[string]clock.Instant
	limit int // when to look for those that have expired
}

// fewRetired tokens are not worth looking through.
const fewRetired = 1024

// lateAnswers is how long an answer may still be looked at after a later one has come in.
const lateAnswers = time.Second

// add has a token remembered until it is removed, and at most until its key must have expired.
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

// remove has a token forgotten that no master stores anymore, once answers that still name it have
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
