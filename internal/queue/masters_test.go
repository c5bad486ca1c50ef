package queue_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
)

// master is a small model of one master: its key, its queue, and the scripts that use them.
type master struct {
	down        bool
	holder      string // the stored token, "" for none
	expires     clock.Instant
	places      map[string]place // by token
	fence       int64            // the highest fence stored
	quarantined clock.Instant    // when the restart guard's quarantine ends
}

// place is a waiter's place in a master's queue.
type place struct {
	ticket   int64
	lease    clock.Instant // when the place expires
	question clock.Instant // the waiter's latest question: when it was asked, by the waiter's clock
	arrived  clock.Instant // when that question arrived, by the master's clock
}

// These limits make release hand on to any waiter, or to none.
const (
	anyTicket = 1<<63 - 1
	noTicket  = 0
)

// expire removes expired keys and places.
func (m *master) expire(now clock.Instant) {
	if m.expires <= now {
		m.holder = ""
	}
	maps.DeleteFunc(m.places, func(_ string, p place) bool { return p.lease <= now })
}

// inOrder returns the tokens in the queue, in the order of their tickets.
func (m *master) inOrder() []string {
	return slices.SortedFunc(maps.Keys(m.places), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.places[a].ticket, m.places[b].ticket), strings.Compare(a, b))
	})
}

// wait renews a waiter's place and reports the lock's state.
func (m *master) wait(token string, ticket int64, question, now clock.Instant) queue.Answer {
	m.expire(now)
	if m.holder == token {
		return queue.Answer{Outcome: vote.Held, Left: m.expires.Sub(now)}
	}
	m.places[token] = place{ticket, now.Add(queue.Lease), question, now}
	a := queue.Answer{Rank: int64(slices.Index(m.inOrder(), token))}
	switch {
	case m.holder != "":
		a.Outcome, a.Left = vote.Taken, m.expires.Sub(now)
	case m.quarantined > now:
		a.Outcome, a.Quarantined, a.Left = vote.Refused, true, m.quarantined.Sub(now)
	default:
		a.Outcome, a.Left = vote.Absent, -2*time.Millisecond
	}
	return a
}

// acquire stores the token if the key is vacant or already stores it.
func (m *master) acquire(token string, ttl time.Duration, now clock.Instant) vote.Outcome {
	m.expire(now)
	switch {
	case m.holder != "" && m.holder != token:
		return vote.Taken
	case m.holder == "" && m.quarantined > now:
		return vote.Refused
	}
	m.holder, m.expires = token, now.Add(ttl)
	delete(m.places, token)
	return vote.Held
}

// extend keeps the key for the token, if the key stores it.
func (m *master) extend(token string, ttl time.Duration, now clock.Instant) {
	m.expire(now)
	if m.holder == token {
		m.expires = now.Add(ttl)
	}
}

// release removes the token's key and place. It hands the key on to the first waiter in the queue,
// if that waiter's ticket is lower than below, and returns its token. It returns "" if there is no
// such waiter. With the grant it stores the proposed fence, if that is higher than the stored one.
func (m *master) release(token string, below int64, length time.Duration, proposal int64,
	now clock.Instant,
) (next string, g queue.Grant) {
	m.expire(now)
	delete(m.places, token)
	if m.holder != token {
		return "", g
	}
	m.holder = ""
	for _, next := range m.inOrder() {
		p := m.places[next]
		if p.ticket >= below || m.quarantined > now {
			continue
		}
		m.holder, m.expires = next, now.Add(length)
		delete(m.places, next)
		if proposal > m.fence {
			m.fence, g.Fence = proposal, proposal
		}
		g.Asked, g.Age = p.question, now.Sub(p.arrived)
		return next, g
	}
	return "", g
}

// restart empties the master.
func (m *master) restart(quarantined clock.Instant) {
	*m = master{places: map[string]place{}, quarantined: quarantined}
}
