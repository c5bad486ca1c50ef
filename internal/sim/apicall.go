package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/quorum"
)

// apiCall is one call of the library that tries to acquire a lock.
type apiCall struct {
	client      *client
	name        string
	from, to    time.Duration
	waitedSince time.Duration // start of the earliest call that it may have waited behind
	tokens      int           // drawn while the call was open; guarded by the client's mu
}

func (c *client) startCall(name string) *apiCall {
	k := &apiCall{client: c, name: name, from: c.world.now()}
	k.waitedSince = k.from
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.openCalls {
		if o.name == name {
			k.waitedSince = min(k.waitedSince, o.waitedSince)
		}
	}
	c.openCalls = append(c.openCalls, k)
	return k
}

// end records that the call has just returned.
func (k *apiCall) end() {
	k.to = k.client.world.now()
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	k.client.openCalls = slices.DeleteFunc(k.client.openCalls, func(o *apiCall) bool { return o == k })
}

// tokenSource is a client's source of tokens for calls that are not a worker's. It records which
// calls were open when each token was drawn: one of them asked for it.
type tokenSource struct {
	random
	client *client
}

// next draws a token for the call whose context is ctx.
func (t tokenSource) next(ctx context.Context, made time.Time, owner string) string {
	c := t.client
	c.mu.Lock()
	defer c.mu.Unlock()
	source := t.random
	if workers, ok := ctx.Value(tokensOf{}).(random); ok {
		source = workers
	}
	token := source.token(made, owner)
	c.creators[token] = slices.Clone(c.openCalls)
	for _, k := range c.openCalls {
		k.tokens++
	}
	return token
}

// mayOwn reports whether the call may have created the token.
func (k *apiCall) mayOwn(token string) bool {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	return slices.Contains(k.client.creators[token], k)
}

// created reports whether the client created the token.
func (c *client) created(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.creators[token]
	return ok
}

// mayBeForeign reports whether another call for the same name may have created the token.
func (k *apiCall) mayBeForeign(token string) bool {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	creators := k.client.creators[token]
	return !slices.Contains(creators, k) ||
		slices.ContainsFunc(creators, func(creator *apiCall) bool { return creator != k && creator.name == k.name })
}

// mayBeRival reports whether the token may differ from that of the attempt which the call failed
// with. A token of an earlier attempt counts too.
func (k *apiCall) mayBeRival(token string) bool { return k.mayBeForeign(token) || k.attempts() > 1 }

func (k *apiCall) attempts() int {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	return k.tokens
}

func anyToken(string) bool { return true }

// justifies reports whether the state of master m, at some instant of the call, justifies the
// outcome. A caller that gives up while waiting behind another call of its process gets the outcome
// of that call. An unknown outcome or an unsent request claims nothing.
func (k *apiCall) justifies(m *master, o quorum.Outcome) bool {
	switch o {
	case quorum.Taken:
		return m.hadToken(k.name, k.waitedSince, k.to, k.mayBeRival)
	case quorum.Blocked, quorum.Overtaken:
		return m.stood(k.name, k.waitedSince, k.to, func(token string, _ int64) bool { return k.mayBeRival(token) }) ||
			o == quorum.Overtaken // a fence is kept for longer than the entry
	case quorum.Held:
		return m.hadToken(k.name, k.waitedSince, k.to, k.client.created) ||
			m.stood(k.name, k.waitedSince, k.to, func(token string, _ int64) bool { return k.client.created(token) })
	case quorum.Absent:
		return m.lackedToken(k.name, k.waitedSince, k.to, anyToken) || len(m.everEntered[k.name]) > 0 // a master that lost an entry
	case quorum.Refused, quorum.Expired:
		return k.client.wasRefused(m.index, k.waitedSince, k.to)
	}
	return true
}

// isRefusal reports whether a reply says that the master did not execute some request: an error, or
// the result of an operation that failed, is refused by the restart guard, or came too late.
func isRefusal(reply any) bool {
	results, ok := reply.([]any)
	if !ok {
		_, failed := reply.(errorReply)
		return failed
	}
	return slices.ContainsFunc(results, func(result any) bool {
		if parts, ok := result.([]any); ok && len(parts) > 0 {
			result = parts[0]
		}
		code, ok := result.(int64)
		return ok && code <= -2 && code != -5 && code != -6 // which are answers
	})
}

// recordRefusal records that a master just refused a request.
func (c *client) recordRefusal(master int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals[master] = append(c.refusals[master], c.world.now())
}

func (c *client) wasRefused(master int, from, to time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.refusals[master], func(at time.Duration) bool { return from <= at && at <= to })
}

// checkError checks that the masters justify what an error says.
func (k *apiCall) checkError(ctx context.Context, who string, err error) {
	w := k.client.world
	w.log("%s acquires %s: %v", who, k.name, sentinels(err))
	if err == nil {
		return
	}
	var failure *quorum.AttemptError
	if !errors.As(err, &failure) {
		w.violation("%s: not an AttemptError: %v", who, err)
		return
	}
	taken, in := errors.Is(err, quorum.ErrTaken), vote.Set(0)
	for i, m := range failure.Masters {
		if m.Outcome == quorum.Taken || m.Outcome == quorum.Blocked {
			in |= vote.Only(k.client.members[i])
		}
	}
	if taken != k.client.system.Blocks(in) {
		w.violation("%s: errors.Is(err, ErrTaken) is %v, but: %v", who, taken, err)
	}
	if taken == errors.Is(err, quorum.ErrNoQuorum) {
		w.violation("%s: not exactly one of ErrTaken and ErrNoQuorum: %v", who, err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		w.violation("%s: reports the end of a context that has not ended: %v", who, err)
	}
	for i, at := range k.client.members {
		if o := failure.Masters[i].Outcome; !k.justifies(w.masters[at], o) {
			w.violation("%s: outcome %v is not justified on master %d at any instant since %v: %v", who, o, at, k.waitedSince, err)
		}
	}
}

// checkSkipped checks that another client's token was stored on a majority. Once says so when it
// leaves the period to that client.
func (k *apiCall) checkSkipped(who string) {
	w := k.client.world
	on := map[string]vote.Set{}
	for i, m := range w.masters {
		seen := map[string]bool{}
		m.hadToken(k.name, k.from, k.to, func(token string) bool {
			if !seen[token] && k.mayBeForeign(token) {
				seen[token] = true
				on[token] |= vote.Only(i)
			}
			return false
		})
	}
	for _, masters := range on {
		if k.client.system.MayHold(masters) {
			return
		}
	}
	w.violation("%s: left the period of %s to a token that no majority has stored since %v", who, k.name, k.from)
}
