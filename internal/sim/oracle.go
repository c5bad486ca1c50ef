package sim

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// What a client is told is checked against what was so on the masters, which know
// nothing of each other and forget what is over. So each keeps, beside its model,
// when which token stood there.

// stretch is a time in which a token stood on a master, by true time.
type interval struct {
	token       string
	from, until time.Duration
}

// endless is the end of a stretch whose key does not expire.
const forever = time.Duration(math.MaxInt64)

// note keeps what stands under a key from now on. The caller holds mu.
func (m *master) record(key string) {
	now, past := m.world.now(), m.history[key]
	e, there := m.model.keys[key]
	until := forever
	if e.expires != 0 {
		until = time.Duration(float64(e.expires) / m.rate)
	}
	there = there && until > now // an older copy, which a master came back with, may be over by now
	if n := len(past); n > 0 && past[n-1].until > now {
		last := &past[n-1]
		if there && e.value == last.token {
			last.until = until
			return
		}
		last.until = now
	}
	if there {
		m.history[key] = append(past, interval{token: e.value, from: now, until: until})
	}
}

// noteAll is note for whatever may have changed. The caller holds mu.
func (m *master) recordAll() {
	for i := range m.world.cfg.Names {
		m.record(m.world.lockName(i))
	}
}

// keyOf returns the key that a command of the library is about.
func keyOf(args []any) string {
	if i := 1; len(args) > 3 {
		if args[0] != "set" {
			i = 3 // the first of a script's
		}
		key, _ := args[i].(string)
		return key
	}
	return ""
}

// stood tells whether any token that is one of those wanted stood under key at
// some instant of the time given.
func (m *master) hadToken(key string, from, to time.Duration, wanted func(token string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.history[key], func(s interval) bool {
		return s.from <= to && s.until >= from && wanted(s.token)
	})
}

// lacked tells whether none of the tokens that are wanted stood under key at some
// time of that given. Between two stretches there may have been one without length:
// a batch's commands are carried out at one instant.
func (m *master) lackedToken(key string, from, to time.Duration, wanted func(token string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(m.history[key], func(s interval) bool {
		return s.from <= from && s.until > to && wanted(s.token)
	})
}

// standsUntil returns until when token stands under key by now, 0 if it does not.
func (m *master) storedUntil(key, token string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	past := m.history[key]
	if n := len(past); n > 0 && past[n-1].token == token && past[n-1].until > m.world.now() {
		return past[n-1].until
	}
	return 0
}

// call is one call of a client that makes attempts to take a lock.
type apiCall struct {
	client      *client
	name        string
	from, to    time.Duration
	waitedSince time.Duration // when the first began of those that it may have waited behind
	tokens      int           // made while it was under way; the client's mu guards it
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

// end is called at the instant when the call has returned.
func (k *apiCall) end() {
	k.to = k.client.world.now()
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	k.client.openCalls = slices.DeleteFunc(k.client.openCalls, func(o *apiCall) bool { return o == k })
}

// tokens is a client's source of tokens. It keeps which calls were under way when
// each was made: one of them made it.
type tokenSource struct {
	random
	client *client
}

// Read is part of io.Reader.
func (t tokenSource) Read(p []byte) (int, error) {
	n, err := t.random.Read(p)
	c := t.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creators[base64.RawURLEncoding.EncodeToString(p)] = slices.Clone(c.openCalls)
	for _, k := range c.openCalls {
		k.tokens++
	}
	return n, err
}

// perhapsOwn tells whether the call may have made a token that stands under its
// name.
func (k *apiCall) mayOwn(token string) bool {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	return slices.Contains(k.client.creators[token], k)
}

// made tells whether the client made a token.
func (c *client) created(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.creators[token]
	return ok
}

// foreign tells whether another call may have made a token that stands under the
// call's name.
func (k *apiCall) mayBeForeign(token string) bool {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	creators := k.client.creators[token]
	return !slices.Contains(creators, k) ||
		slices.ContainsFunc(creators, func(creator *apiCall) bool { return creator != k && creator.name == k.name })
}

// rival tells whether it may be another than that of the attempt which the call
// failed with: an earlier attempt's counts too.
func (k *apiCall) mayBeRival(token string) bool { return k.mayBeForeign(token) || k.attempts() > 1 }

func (k *apiCall) attempts() int {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	return k.tokens
}

func anyToken(string) bool { return true }

// was tells whether a master was at some instant of the call as its outcome says.
// Who gives up waiting behind another call of its process is told what that one
// was told. What is unknown or was not sent, nobody can have been told wrong.
func (k *apiCall) justifies(m *master, o quorum.Outcome) bool {
	switch o {
	case quorum.Taken:
		return m.hadToken(k.name, k.waitedSince, k.to, k.mayBeRival)
	case quorum.Held:
		return m.hadToken(k.name, k.waitedSince, k.to, k.client.created)
	case quorum.Absent:
		return m.lackedToken(k.name, k.waitedSince, k.to, anyToken)
	case quorum.Refused:
		return k.client.wasRefused(m.index, k.waitedSince, k.to)
	}
	return true
}

// refusal tells whether a reply says that the master does not do what it was
// asked to: an error, or what the acquire script says under the restart guard.
func isRefusal(reply any) bool {
	if parts, ok := reply.([]any); ok {
		return len(parts) > 0 && parts[0] == int64(-2)
	}
	_, failed := reply.(errorReply)
	return failed
}

// refused keeps that a master just refused something.
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

// judge checks that an error says what is so.
func (k *apiCall) checkError(ctx context.Context, who string, err error) {
	w := k.client.world
	w.log("%s takes %s: %v", who, k.name, sentinels(err))
	if err == nil {
		return
	}
	var failure *quorum.AttemptError
	if !errors.As(err, &failure) {
		w.violation("%s: no AttemptError: %v", who, err)
		return
	}
	taken, quorumOf := errors.Is(err, quorum.ErrTaken), w.cfg.Masters/2+1
	if enough := failure.Count(quorum.Taken) > w.cfg.Masters-quorumOf; taken != enough {
		w.violation("%s: taken is %v, but: %v", who, taken, err)
	}
	if taken == errors.Is(err, quorum.ErrNoQuorum) {
		w.violation("%s: neither or both of taken and no quorum: %v", who, err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		w.violation("%s: tells of the end of a context that has not ended: %v", who, err)
	}
	for i, m := range w.masters {
		if o := failure.Masters[i].Outcome; !k.justifies(m, o) {
			w.violation("%s: %v is not so on master %d at any instant since %v: %v", who, o, i, k.waitedSince, err)
		}
	}
}

// judgeGivenUp checks that another's token stood on a majority, as Once says when
// it leaves the period to another.
func (k *apiCall) checkSkipped(who string) {
	w := k.client.world
	on := map[string]int{}
	for _, m := range w.masters {
		seen := map[string]bool{}
		m.hadToken(k.name, k.from, k.to, func(token string) bool {
			if !seen[token] && k.mayBeForeign(token) {
				seen[token] = true
				on[token]++
			}
			return false
		})
	}
	for _, n := range on {
		if n > w.cfg.Masters/2 {
			return
		}
	}
	w.violation("%s: gave %s up to a token that stood on no majority since %v", who, k.name, k.from)
}

// judgeLoss checks that a lock which is lost really is.
func (h *hold) checkLoss(err error) {
	w, now := h.client.world, h.client.world.now()
	expired := errors.Is(err, quorum.ErrExpired) || errors.Is(err, quorum.ErrHoldLimit)
	if expired && now < h.until-clockRounding {
		w.violation("%s: %s is over by %v, %v before its window closes", h.who, h.lock.Name(), err, h.until-now)
	}
	if !errors.Is(err, quorum.ErrDenied) {
		return
	}
	// The question that it is denied by may have been put before the last that
	// was confirmed.
	since, lacking := max(h.from, h.confirmed-callTimeout-patience-w.cfg.longestFreeze()), 0
	for _, m := range w.masters {
		if m.lackedToken(h.lock.Name(), since, now, func(token string) bool { return token == h.lock.Token() }) {
			lacking++
		}
	}
	if lacking <= w.cfg.Masters/2 {
		w.violation("%s: denied, but since %v its token was missing from %d of %d masters only: %v",
			h.who, since, lacking, w.cfg.Masters, err)
	}
}

// rounding is what clocks of different rates may disagree by about one instant.
const clockRounding = 10 * time.Nanosecond
