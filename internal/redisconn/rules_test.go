package redisconn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

const (
	lock    = "lock"
	queue   = "redlock:aux:queue{lock}"
	records = "redlock:aux:waiters{lock}"
	fences  = "redlock:aux:fence{lock}"
	marker  = "redlock:aux:marker"
)

// ask sends one request, and returns the answer.
func (s *server) ask(request wire.Request) wire.Answer {
	s.t.Helper()
	o := &redisconn.Op{Payload: wire.Call{Request: &request}}
	require.NoError(s.t, s.Send(s.t.Context(), []*redisconn.Op{o}))
	return read(o)
}

// micros returns the server's time.
func (s *server) micros() int64 {
	s.t.Helper()
	now, err := s.client.Time(s.t.Context()).Result()
	require.NoError(s.t, err)
	return now.UnixMicro()
}

// subject returns what the requests of one client are about.
func subject(token string, fencing bool, guard time.Duration) *wire.Subject {
	s := wire.NewSubject(lock, token, fencing, guard)
	return &s
}

// place is a waiter's usual place.
func place(question int64) wire.Place {
	return wire.Place{Ticket: 1, Lease: patience, Grant: patience, Question: question, Retention: patience, Channel: "channel"}
}

// What comes after its deadline gives the token nothing, neither the key nor a place in the queue.
// A token that stands already is answered as if the request were in time.
func TestLateRequestsGiveNothing(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	late := func(request wire.Request) vote.Outcome {
		request.SetDeadline(1)
		return s.ask(request).Outcome
	}
	mine := subject("mine", false, 0)
	require.Equal(t, vote.Held, late(mine.Acquire(patience, 0, 0)), "without a sample there is no limit")
	s.do("DEL", lock)
	requests := map[string]wire.Request{
		"acquire": mine.Acquire(patience, 0, 0), "confirm": mine.Confirm(patience, 0, 0),
		"repair": mine.Repair(patience, 0, 0), "wait": mine.Wait(place(1)),
	}
	for what, request := range requests {
		assert.Equal(t, vote.Expired, late(request), what)
		assert.Empty(t, s.do("KEYS", "*"), what)
	}
	s.do("SET", lock, "another")
	for _, what := range []string{"acquire", "confirm", "repair"} {
		assert.Equal(t, vote.Taken, late(requests[what]), what)
	}
	assert.Equal(t, vote.Expired, late(requests["wait"]))
	assert.Equal(t, int64(0), s.do("EXISTS", queue, records))
	for what, request := range requests {
		s.do("SET", lock, "mine", "PX", 1000*patience.Milliseconds())
		assert.Equal(t, vote.Held, late(request), what)
	}
	assert.Equal(t, vote.Held, s.ask(mine.Extend(patience, 0, 0)).Outcome)
	assert.Equal(t, vote.Absent, late(mine.Release(wire.Anyone, true, 0)), "releases have no deadline")
}

// The longest guard that any client asked for prevails, whoever comes first.
func TestLongestGuardPrevails(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, step := range []struct{ guard, longest time.Duration }{
		{time.Hour, time.Hour}, {time.Second, time.Hour}, {2 * time.Hour, 2 * time.Hour}, {time.Millisecond, 2 * time.Hour},
	} {
		a := s.ask(subject("mine", false, step.guard).Wait(place(1)))
		assert.True(t, a.Quarantined)
		assert.Greater(t, a.Left, step.longest-patience)
		assert.LessOrEqual(t, a.Left, step.longest)
		a = s.ask(subject("mine", false, step.guard).Acquire(time.Millisecond, 0, 0))
		assert.True(t, a.Quarantined)
		assert.Equal(t, fmt.Sprint(step.longest.Milliseconds()), strings.Fields(s.do("GET", marker).(string))[2])
	}
}

// The guard's time starts with the first client that asks, even while another has the lock.
func TestAnyRequestForTheLockStartsTheGuard(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	mine, asks := subject("mine", false, time.Hour), place(1)
	asks.Ticket = 0
	for what, request := range map[string]wire.Request{
		"wait": mine.Wait(place(1)), "ask": mine.Wait(asks), "acquire": mine.Acquire(patience, 0, 0),
	} {
		s.do("FLUSHALL")
		s.do("SET", lock, "another")
		assert.Equal(t, vote.Taken, s.ask(request).Outcome, what)
		assert.Equal(t, int64(1), s.do("EXISTS", marker), what)
	}
}

// The waiter's record says what guard a hand-off must obey. The releasing client may have another,
// or none.
func TestHandOffObeysTheWaitersGuard(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, guards := range []struct{ waiter, leaver time.Duration }{{time.Hour, 0}, {0, time.Hour}, {0, 0}, {time.Hour, time.Hour}} {
		s.do("FLUSHALL")
		s.do("SET", lock, "mine")
		s.ask(subject("waiter", false, guards.waiter).Wait(place(1)))
		a := s.ask(subject("mine", false, guards.leaver).Release(wire.Anyone, false, 0))
		assert.Equal(t, vote.Absent, a.Outcome)
		assert.Equal(t, guards.waiter == 0, a.HandedOn, "%v", guards)
		assert.Equal(t, guards.waiter == 0, s.do("EXISTS", lock) == int64(1))
	}
}

// A record of another format is not honored, neither an older client's nor a newer one's.
func TestRecordsOfOtherFormatsAreIgnored(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	future := s.micros()/1000 + patience.Milliseconds()
	for record, honored := range map[string]bool{
		fmt.Sprintf("2 %d 60000 7 8 0 0 channel", future):     true,
		fmt.Sprintf("1 %d 60000 7 8 0 0 channel", future):     false,
		fmt.Sprintf("3 %d 60000 7 8 0 0 channel", future):     false,
		fmt.Sprintf("22 %d 60000 7 8 0 0 channel", future):    false,
		fmt.Sprintf("%d 60000 channel", future):               false,
		fmt.Sprintf("%d 60000 2 60000 7 8 0 channel", future): false,
		"": false,
	} {
		s.do("SET", lock, "mine")
		s.do("ZADD", queue, 1, "waiter")
		s.do("HSET", records, "waiter", record)
		a := s.ask(subject("mine", false, 0).Release(wire.Anyone, false, 0))
		assert.Equal(t, honored, a.HandedOn, record)
		assert.Equal(t, int64(0), s.do("EXISTS", queue, records), record)
		s.do("DEL", lock)
	}
}

// fenced is a hand-off with fences.
type fenced struct {
	waiter, leaver bool  // with fencing
	stored, next   int64 // relative to the master's time; 0 for none
	named          bool  // the message names next
}

// A hand-off's message names the token, the waiter's latest question that had arrived, how long
// before the grant that was, and the fence if it was stored anew with the grant.
func TestHandOffMessage(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	messages := s.client.Subscribe(t.Context(), "channel")
	defer messages.Close()
	_, err := messages.Receive(t.Context())
	require.NoError(t, err)
	for what, h := range map[string]fenced{
		"proposed":            {true, true, -5e6, 1e6, true},
		"nothing stored":      {true, true, 0, 1e6, true},
		"leaver without":      {true, false, 0, 0, false},
		"waiter without":      {false, true, -5e6, 1e6, false},
		"no proposal":         {true, true, -5e6, 0, false},
		"higher":              {true, true, 5e6, 1e6, false},
		"the same":            {true, true, 1e6, 1e6, false},
		"far from the time":   {true, true, -5e6, 100e6, false},
		"far behind the time": {true, true, 0, -100e6, false},
	} {
		t.Run(what, func(t *testing.T) { s.checkHandOff(t, h, messages) })
	}
}

func (s *server) checkHandOff(t *testing.T, h fenced, messages *redis.PubSub) {
	t.Helper()
	s.do("FLUSHALL")
	now := s.micros()
	at := func(offset int64) int64 {
		if offset == 0 {
			return 0
		}
		return now + offset
	}
	s.do("SET", lock, "mine")
	if h.stored != 0 {
		s.do("SET", fences, at(h.stored))
	}
	s.ask(subject("waiter", h.waiter, 0).Wait(place(6)))
	asked := s.micros()
	s.ask(subject("waiter", h.waiter, 0).Wait(place(7)))
	require.True(t, s.ask(subject("mine", h.leaver, 0).Release(wire.Anyone, false, at(h.next))).HandedOn)
	m, err := messages.ReceiveMessage(t.Context())
	require.NoError(t, err)
	g, ok := wire.ParseGrant(m.Payload)
	require.True(t, ok, m.Payload)
	assert.Equal(t, "waiter", g.Token)
	assert.Equal(t, int64(7), g.Question)
	assert.LessOrEqual(t, g.Age.Microseconds(), s.micros()-asked)
	want := int64(0)
	if h.named {
		want = at(h.next)
	}
	assert.Equal(t, want, g.Fence)
	assert.Equal(t, max(at(h.stored), want), s.storedFence())
}

// storedFence returns the lock's fence, or 0.
func (s *server) storedFence() int64 {
	s.t.Helper()
	fence, err := s.client.Get(s.t.Context(), fences).Int64()
	if err != redis.Nil { //nolint:errorlint // go-redis returns exactly this value
		require.NoError(s.t, err)
	}
	return fence
}

// A lower fence does not replace a higher one, but keeps it stored for longer.
func TestHigherFenceStays(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	now := s.micros()
	for _, proposal := range []int64{now - 1, now, now + 10*patience.Microseconds()} { // the last is too far ahead
		s.do("SET", fences, now, "PX", patience.Milliseconds())
		a := s.ask(subject("mine", true, 0).Acquire(patience, proposal, 2*patience))
		assert.Equal(t, vote.Held, a.Outcome)
		assert.Equal(t, now, a.Fence)
		assert.False(t, a.Anew)
		assert.Equal(t, now, s.storedFence())
		assert.Greater(t, s.do("PTTL", fences), patience.Milliseconds())
	}
	for _, lower := range []int64{now - 2, 9, 99_999_999} { // as strings, the last two are higher
		assert.Equal(t, vote.Held, s.ask(subject("mine", true, 0).Extend(patience, lower, patience)).Outcome)
		assert.Equal(t, now, s.storedFence())
	}
}

// An acquire whose fence cannot be stored grants nothing. A token that stood before stays.
func TestGrantWithoutFenceIsUndone(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, plant := range [][]any{{"LPUSH", fences, "something"}, {"SET", fences, "nonsense"}, {"SET", fences, "9007199254740992"}} {
		s.do(plant...)
		mine := subject("mine", true, 0)
		assert.Equal(t, vote.Refused, s.ask(mine.Acquire(patience, s.micros(), patience)).Outcome, plant)
		assert.Equal(t, int64(0), s.do("EXISTS", lock), plant)
		s.do("SET", lock, "mine")
		assert.Equal(t, vote.Refused, s.ask(mine.Acquire(patience, s.micros(), patience)).Outcome, plant)
		assert.Equal(t, int64(1), s.do("EXISTS", lock), plant)
		s.do("DEL", lock, fences)
	}
}
