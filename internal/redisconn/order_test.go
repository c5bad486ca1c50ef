package redisconn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

const order = "redlock:aux:order{lock}"

// entry is an exclusive entry that is kept for long whether it waits or not.
func entry(fence int64) wire.Entry {
	return wire.Entry{Mode: wire.ModeExclusive, Fence: fence, TTL: patience, Lease: patience}
}

// The value of the lock's key is all that is known of a lone entry. A client that lacks a right
// which it needs to enter beside that one must leave the value alone.
func TestClientWithoutRightsDestroysNoEntry(t *testing.T) {
	t.Parallel() // it waits for servers
	for what, rights := range map[string][]any{
		"to a key":     {"~" + lock, "~" + order, "+@all"},
		"to a command": {"~*", "+@all", "-zadd"},
		"to delete":    {"~*", "+@all", "-del"},
	} {
		t.Run(what, func(t *testing.T) {
			s := startServer(t, redis.Options{})
			require.Equal(t, vote.Held, s.ask(subject("mine", false, 0).Admit(entry(5))).Outcome)
			value := s.do("GET", lock)
			s.do(append([]any{"ACL", "SETUSER", "default", "resetkeys", "&*"}, rights...)...)
			a := s.ask(subject("another", false, 0).Admit(entry(6)))
			assert.Equal(t, vote.Refused, a.Outcome)
			require.ErrorContains(t, a.Err, "can't")
			s.do("ACL", "SETUSER", "default", "~*", "+@all")
			assert.Equal(t, value, s.do("GET", lock))
			assert.Equal(t, vote.Held, s.ask(subject("mine", false, 0).Renew(entry(5))).Outcome)
		})
	}
}

// Entries that exclude each other may ask for one place when they move up. The later one gets the
// next.
func TestEntriesThatMoveUpDoNotMeet(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, kinds := range [][2]wire.Mode{
		{wire.ModeExclusive, wire.ModeExclusive}, {wire.ModeExclusive, wire.ModeShared}, {wire.ModePermit(2), wire.ModePermit(2)},
	} {
		s.do("FLUSHALL")
		at := func(mode wire.Mode, fence int64) wire.Entry {
			e := entry(fence)
			e.Mode = mode
			return e
		}
		mine, another := subject("mine", false, 0), subject("another", false, 0)
		require.Equal(t, int64(100), s.ask(mine.Admit(at(kinds[0], 100))).Fence)
		require.Equal(t, int64(200), s.ask(another.Admit(at(kinds[1], 200))).Fence)
		a := s.ask(mine.Admit(at(kinds[0], 200)))
		assert.Greater(t, a.Fence, int64(200), "%v", kinds)
		assert.Less(t, a.Fence, int64(300), "%v", kinds)
		assert.Equal(t, a.Fence, s.ask(mine.Admit(at(kinds[0], 200))).Fence, "%v: it does not move again", kinds)
	}
}

// The entries of holders come down to their own fences, but not to one that is used.
func TestEntriesThatComeDownDoNotMeet(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	permit := func(fence int64) wire.Entry {
		e := entry(fence)
		e.Mode = wire.ModePermit(1)
		return e
	}
	first, mine, another := subject("first", false, 0), subject("mine", false, 0), subject("another", false, 0)
	require.Equal(t, vote.Held, s.ask(first.Admit(permit(50))).Outcome)
	require.Equal(t, vote.Blocked, s.ask(another.Admit(permit(100))).Outcome)
	require.Equal(t, vote.Blocked, s.ask(mine.Admit(permit(200))).Outcome)
	for fence, want := range map[int64]int64{100: 200, 99: 99} {
		s.ask(mine.Renew(permit(200)))
		a := s.ask(mine.Readmit(permit(fence)))
		assert.Equal(t, want, a.Fence, "%d", fence)
	}
}

// onProbation starts a server on which a permit was admitted again. It returns how to repair and
// renew permits there.
func onProbation(t *testing.T) (s *server, readmit, renew func(token string, fence int64) wire.Answer) {
	t.Helper()
	s = startServer(t, redis.Options{})
	permit := func(token string, fence int64) wire.Entry {
		ttl := patience
		if token == "later" {
			ttl = 500 * time.Millisecond
		}
		return wire.Entry{Mode: wire.ModePermit(2), Fence: fence, TTL: ttl, Lease: patience}
	}
	readmit = func(token string, fence int64) wire.Answer {
		t.Helper()
		return s.ask(subject(token, false, 0).Readmit(permit(token, fence)))
	}
	renew = func(token string, fence int64) wire.Answer {
		t.Helper()
		return s.ask(subject(token, false, 0).Renew(permit(token, fence)))
	}
	require.Equal(t, vote.Held, readmit("later", 200).Outcome)
	return s, readmit, renew
}

// For its TTL, a permit that was admitted again counts for nothing, and the one of another holder
// is admitted before it.
func TestPermitOnProbationDoesNotCount(t *testing.T) {
	t.Parallel() // it waits for a server
	_, readmit, renew := onProbation(t)
	require.Equal(t, vote.Overtaken, renew("later", 200).Outcome, "the only one")
	require.Equal(t, vote.Overtaken, readmit("later", 200).Outcome, "it is no news")
	require.Equal(t, vote.Held, readmit("earlier", 100).Outcome)
	require.Equal(t, vote.Overtaken, renew("later", 200).Outcome)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		a := renew("later", 200)
		assert.Equal(c, vote.Held, a.Outcome)
		assert.Equal(c, []string{"earlier"}, a.Before)
	}, patience, 10*time.Millisecond)
}

// A request that is repeated does not put a permit on probation again, because it may count by
// then. Nor does a clock that is set back: nothing is left of the probation.
func TestProbationBeginsOnce(t *testing.T) {
	t.Parallel() // it waits for a server
	s, readmit, renew := onProbation(t)
	records := "redlock:aux:records{" + lock + "}"
	s.do("PERSIST", records) // as if others were waiting
	require.Eventually(t, func() bool { return renew("later", 200).Outcome == vote.Held }, patience, 10*time.Millisecond)
	assert.Equal(t, int64(0), s.do("HEXISTS", records, "later"))
	readmit("later", 200)
	assert.Equal(t, vote.Held, renew("later", 200).Outcome)
	assert.Equal(t, vote.Overtaken, readmit("earlier", 100).Outcome)
}

// Somebody has made the key last forever, and more entries are dead than one call removes.
func TestDeadEntriesDoNotMakeLockVacant(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for i := range 1500 {
		for _, kind := range []string{"order", "leases"} {
			s.do("ZADD", "redlock:aux:"+kind+"{"+lock+"}", i+1, fmt.Sprint("x dead-", i))
		}
	}
	s.do("SET", lock, wire.Ordered)
	assert.Equal(t, vote.Held, s.ask(subject("mine", false, 0).Admit(entry(5))).Outcome)
	assert.Equal(t, vote.Blocked, s.ask(subject("another", false, 0).Admit(entry(6))).Outcome)
}

// On a server without memory, an extension lengthens the lease of one entry among others.
func TestExtensionOfEntryNeedsNoMemory(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	mine, another := subject("mine", false, 0), subject("another", false, 0)
	require.Equal(t, vote.Held, s.ask(mine.Admit(entry(5))).Outcome)
	require.Equal(t, vote.Blocked, s.ask(another.Admit(entry(6))).Outcome)
	s.do("CONFIG", "SET", "maxmemory", "1")
	longer := entry(5)
	longer.TTL = time.Hour
	require.Equal(t, vote.Held, s.ask(mine.Renew(longer)).Outcome)
	s.do("CONFIG", "SET", "maxmemory", "0")
	assert.Greater(t, s.do("PTTL", lock), patience.Milliseconds())
}
