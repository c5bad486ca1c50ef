package wire

import (
	"strconv"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Subject is what requests are about: a lock's key, the token to store under it, and the
// deployment's settings.
type Subject struct {
	Key, Token string
	Fencing    bool
	Guard      time.Duration // the restart guard; 0 for none

	keyArg    any    // Key again, as part of commands
	tokenText []byte // Token again, as written to connections
}

// NewSubject returns a Subject. token is empty for requests that only inspect.
func NewSubject(key, token string, fencing bool, guard time.Duration) Subject {
	return Subject{Key: key, Token: token, Fencing: fencing, Guard: guard, keyArg: key, tokenText: []byte(token)}
}

// Request is a request to every master. It never changes, so all masters' calls can share it.
type Request struct {
	Subject *Subject
	TTL     time.Duration // acquire, extend and repair
	Heir    Heir          // release

	proposal int64   // acquire with fencing: the proposed fence
	script   *Script // nil for an acquire that can be a plain SET
	args     []any   // the command
	Op       vote.Op
	waiter   bool // acquire: for a waiter
}

// Proposal returns the fence that an acquire request proposes, or 0 without fencing.
func (r *Request) Proposal() int64 { return r.proposal }

// Confirms reports whether an acquire request is a waiter's.
func (r *Request) Confirms() bool { return r.waiter }

// Heir says to whom a master may hand on a released lock: Anyone in the queue, Nobody, or the
// waiters with a lower ticket.
type Heir string

// Heirs that do not depend on a ticket.
const (
	Anyone Heir = ""
	Nobody Heir = "0" // tickets are higher
)

// LowerThan returns the heirs with a lower ticket.
func LowerThan(ticket int64) Heir { return Heir(strconv.FormatInt(ticket, 10)) }

// Acquire requests the key. It is one plain SET unless a grant has to do more. Without fencing,
// proposal and retention are ignored.
func (s *Subject) Acquire(ttl time.Duration, proposal int64, retention time.Duration) Request {
	r := Request{Subject: s, Op: vote.Acquire, TTL: ttl, proposal: proposal}
	if s.Fencing || s.Guard > 0 {
		r.script, r.args = acquireScript, r.acquireArgs(retention)
	} else {
		r.args = []any{"set", s.keyArg, s.Token, "nx", "get", "px", ttl.Milliseconds()}
	}
	return r
}

// Confirm is Acquire for a waiter. It also removes the waiter from the queue.
func (s *Subject) Confirm(ttl time.Duration, proposal int64, retention time.Duration) Request {
	r := Request{Subject: s, Op: vote.Acquire, TTL: ttl, proposal: proposal, waiter: true, script: confirmScript}
	r.args = r.acquireArgs(retention)
	return r
}

func (r *Request) acquireArgs(retention time.Duration) []any {
	s, fence := r.Subject, ""
	if s.Fencing {
		fence = strconv.FormatInt(r.proposal, 10)
	}
	script, keys, queue := acquireScript, s.keys(), 0
	if r.waiter {
		script, queue = confirmScript, len(keys)+1
		keys = append(keys, queueKey(s.Key))
	}
	return script.evalsha(s.guarded(keys),
		s.Token, r.TTL.Milliseconds(), fence, retention.Milliseconds(), s.Guard.Milliseconds(), queue)
}

// Extend asks the masters to keep the key for the token, and the fence as well.
func (s *Subject) Extend(ttl time.Duration, fence int64, retention time.Duration) Request {
	return s.extend(vote.Extend, "0", ttl, fence, retention)
}

// Repair is like Extend, but also gives a vacant key to the token.
func (s *Subject) Repair(ttl time.Duration, fence int64, retention time.Duration) Request {
	return s.extend(vote.Repair, "1", ttl, fence, retention)
}

func (s *Subject) extend(op vote.Op, repair string, ttl time.Duration, fence int64, retention time.Duration) Request {
	text := ""
	if s.Fencing {
		text = strconv.FormatInt(fence, 10)
	}
	return Request{Subject: s, Op: op, TTL: ttl, script: extendScript, args: extendScript.evalsha(s.keys(), //mutant:extend-request
		s.Token, ttl.Milliseconds(), repair, text, retention.Milliseconds())}
}

// Release gives up the token and hands the key on to an heir. queued says whether the token may
// ever have been put into the queues. If it was not, and nobody may inherit, the master need not
// look at its queue.
func (s *Subject) Release(to Heir, queued bool) Request {
	r := Request{Subject: s, Op: vote.Release, script: releaseScript, Heir: to}
	guard := s.Guard.Milliseconds()
	switch {
	case to == Nobody && !queued:
		r.args = []any{"evalsha", releaseScript.digest, 1, s.keyArg, s.Token}
	case to != Anyone || guard > 0:
		keys := []any{s.keyArg, queueKey(s.Key)}
		r.args = releaseScript.evalsha(s.guarded(keys), s.Token, guard, string(to))
	default:
		r.args = []any{"evalsha", releaseScript.digest, 2, s.keyArg, queueKey(s.Key), s.Token}
	}
	return r
}

// Place describes the place in the queues that a waiter asks for.
type Place struct {
	Ticket  int64         // 0 for none: then the request only asks for a report
	Lease   time.Duration // how long a master keeps the place
	Grant   time.Duration // how long a master grants the key to the waiter
	Channel string        // the channel that notifies the waiter
}

// Wait keeps a waiter's place in the queue.
func (s *Subject) Wait(p Place) Request {
	ticket := ""
	if p.Ticket != 0 {
		ticket = strconv.FormatInt(p.Ticket, 10)
	}
	keys := []any{s.keyArg, queueKey(s.Key), recordsKey(s.Key)}
	return Request{Subject: s, Op: vote.Wait, script: waitScript, args: waitScript.evalsha(s.guarded(keys),
		s.Token, ticket, p.Lease.Milliseconds(), p.Grant.Milliseconds(), p.Channel, s.Guard.Milliseconds())}
}

// Inspect asks for a report on the lock and the master.
func (s *Subject) Inspect() Request {
	keys := []any{s.keyArg, queueKey(s.Key)}
	return Request{Subject: s, Op: vote.Inspect, script: inspectScript,
		args: inspectScript.evalsha(s.guarded(keys), s.Guard.Milliseconds())}
}

// Bootstrap asks masters to declare themselves empty. The first request carries a word that was
// never used before and asks for a permit. The second carries "" and the permits that the masters
// gave. s.Key must be MarkerKey.
func (s *Subject) Bootstrap(word string, permits []string) Request {
	args := []any{s.Guard.Milliseconds(), word}
	for _, permit := range permits {
		args = append(args, permit)
	}
	return Request{Subject: s, Op: vote.Bootstrap, script: bootstrapScript,
		args: bootstrapScript.evalsha([]any{s.keyArg, permitKey}, args...)}
}

// keys returns the lock's key and, with fencing, the fence's key.
func (s *Subject) keys() []any {
	if s.Fencing {
		return []any{s.keyArg, fenceKey(s.Key)}
	}
	return []any{s.keyArg}
}

// guarded adds the restart guard's marker if there is a guard.
func (s *Subject) guarded(keys []any) []any {
	if s.Guard > 0 {
		return append(keys, MarkerKey)
	}
	return keys
}
