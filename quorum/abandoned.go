package quorum

import (
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// abandoned has a Manager's tokens that came to nothing, of attempts that failed and
// of waiters that gave up, for as long as they may stand on masters. Whoever finds
// one of them there has found no rival.
type abandoned struct {
	mu    sync.Mutex // guards all below
	until map[string]clock.Instant
	limit int // when to look for those that have expired
}

// fewAbandoned are not worth looking through.
const fewAbandoned = 1024

// add has a token remembered until it is removed, and until its key must have
// expired at the latest.
func (a *abandoned) add(token string, until, now clock.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until, a.limit = map[string]clock.Instant{}, fewAbandoned
	}
	if len(a.until) >= a.limit {
		for token, until := range a.until {
			if until <= now {
				delete(a.until, token)
			}
		}
		a.limit = 2*len(a.until) + fewAbandoned
	}
	a.until[token] = until
}

// remove has a token forgotten that does not stand anywhere any more, once answers
// that say it does have come in.
func (a *abandoned) remove(token string, now clock.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until[token] = min(a.until[token], now.Add(lateAnswers))
}

// lateAnswers is for how long an answer may be looked at after a later one.
const lateAnswers = time.Second

func (a *abandoned) has(token string, now clock.Instant) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.until[token] > now
}
