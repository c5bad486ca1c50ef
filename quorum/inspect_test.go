package quorum_test

import (
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

func TestInspectState(t *testing.T) {
	for what, tt := range map[string]struct {
		tokens []string // on each master; "" for none
		state  quorum.LockState
		holder string
	}{
		"no token":               {[]string{"", "", "", "", ""}, quorum.StateFree, ""},
		"same token everywhere":  {[]string{"a", "a", "a", "a", "a"}, quorum.StateHeld, "a"},
		"majority":               {[]string{"", "a", "a", "", "a"}, quorum.StateHeld, "a"},
		"majority and rivals":    {[]string{"b", "a", "a", "c", "a"}, quorum.StateHeld, "a"},
		"minority":               {[]string{"a", "", "", "a", ""}, quorum.StateFree, ""},
		"two minorities":         {[]string{"a", "", "b", "", ""}, quorum.StateFree, ""},
		"too few vacant masters": {[]string{"a", "a", "b", "", ""}, quorum.StateSplit, ""},
		"split vote":             {[]string{"a", "a", "b", "b", "c"}, quorum.StateSplit, ""},
		"one master":             {[]string{"a"}, quorum.StateHeld, "a"},
		"half of four":           {[]string{"a", "a", "", ""}, quorum.StateSplit, ""},
		"three of four":          {[]string{"a", "", "a", "a"}, quorum.StateHeld, "a"},
		"three of four vacant":   {[]string{"a", "", "", ""}, quorum.StateFree, ""},
		"any bytes as a token":   {[]string{"\x00", "\x00"}, quorum.StateHeld, "\x00"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, len(tt.tokens), func(b *testbed) {
				for i, token := range tt.tokens {
					if token != "" {
						b.Master(i).Set(name, token, time.Minute)
					}
				}
				before := b.storedTokens()
				i, err := b.Inspect(b.Context(), name)
				require.NoError(b, err)
				assert.Equal(b, name, i.Name)
				assert.Equal(b, tt.state, i.State, "%v", i.State)
				assert.Equal(b, tt.holder, i.Token)
				require.Len(b, i.Masters, len(tt.tokens))
				for n, m := range i.Masters {
					assert.Equal(b, b.Master(n).Addr(), m.Master)
					assert.Equal(b, tt.tokens[n], m.Token)
					assert.NoError(b, m.Err)
				}
				assert.Equal(b, before, b.storedTokens(), "Inspect changes nothing")
			})
		})
	}
}

// TestKeyWithEmptyValueIsNotVacant stores empty values under the lock's key. No attempt can succeed
// on such a master.
func TestKeyWithEmptyValueIsNotVacant(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(0).Set(name, "", 0)
		b.Master(1).Set(name, "", ttl)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.NotEqual(b, quorum.StateFree, i.State)
		assert.NotContains(b, i.String(), b.Master(0).Addr()+": vacant")
	})
}

func TestLockStateString(t *testing.T) {
	for s, want := range map[quorum.LockState]string{
		quorum.StateHeld: "held", quorum.StateFree: "free", quorum.StateSplit: "split", quorum.StateUnknown: "unknown", 200: "LockState(200)",
	} {
		assert.Equal(t, want, s.String())
	}
}

// TestInspectionTTLIsHowLongQuorumLasts gives the holder's keys different TTLs. The holder has a
// quorum only while that many of its keys last.
func TestInspectionTTLIsHowLongQuorumLasts(t *testing.T) {
	const forever = -1
	for what, tt := range map[string]struct{ ttls, want []time.Duration }{
		"equal":                {[]time.Duration{ttl, ttl, ttl}, []time.Duration{ttl}},
		"shorter of two":       {[]time.Duration{3 * ttl, ttl}, []time.Duration{ttl}},
		"median of three":      {[]time.Duration{3 * ttl, ttl, 2 * ttl}, []time.Duration{2 * ttl}},
		"one of three forever": {[]time.Duration{0, ttl, 2 * ttl}, []time.Duration{2 * ttl}},
		"two of three forever": {[]time.Duration{0, ttl, 0}, []time.Duration{forever}},
		"forever":              {[]time.Duration{0}, []time.Duration{forever}},
		"under a second":       {[]time.Duration{7 * time.Millisecond}, []time.Duration{7 * time.Millisecond}},
		"one about to expire":  {[]time.Duration{30 * time.Second, 30 * time.Second, time.Millisecond}, []time.Duration{30 * time.Second}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, len(tt.ttls), func(b *testbed) {
				for i, ttl := range tt.ttls {
					b.Master(i).Set(name, "a", ttl)
				}
				i, err := b.Inspect(b.Context(), name)
				require.NoError(b, err)
				assert.Equal(b, tt.want[0], i.TTL)
				for n, m := range i.Masters {
					want := tt.ttls[n]
					if want == 0 {
						want = forever
					}
					assert.Equal(b, want, m.TTL)
				}
			})
		})
	}
}

func TestInspectionString(t *testing.T) {
	bubble(t, 4, func(b *testbed) {
		b.warmUp(b.Manager)
		for i, ttl := range []time.Duration{ttl, 0} {
			b.Master(i).Set(name, "0123456789abcdefghijkl", ttl)
		}
		b.Master(3).Fail("LOADING soon")
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, `lock "nightly-mail" is unknown; `+
			b.Master(0).Addr()+`: 012345… for 10s; `+
			b.Master(1).Addr()+`: 012345… forever; `+
			b.Master(2).Addr()+`: vacant; `+
			b.Master(3).Addr()+`: LOADING soon`, i.String())
	})
}

func TestInspectWaitsForHungMasterUntilAttemptTimeout(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.hang(1)
		var i *quorum.Inspection
		var err error
		assert.Equal(b, timeout, took(func() { i, err = b.Inspect(b.Context(), name) }))
		require.NoError(b, err)
		assert.Equal(b, quorum.StateHeld, i.State)
		assert.Equal(b, l.Token(), i.Token)
		assert.Error(b, i.Masters[0].Err)
		assert.Empty(b, i.Masters[0].Token)
		assert.Zero(b, i.Masters[0].TTL)
		for _, m := range i.Masters[1:] {
			assert.NoError(b, m.Err)
		}
		b.resume()
	})
}

// TestInspectStateWithUnreachableMaster stops one of three masters. The state is unknown if that
// master could decide it, and known otherwise.
func TestInspectStateWithUnreachableMaster(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(2).Stop()
		b.Master(0).Set(name, "a", ttl)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, quorum.StateUnknown, i.State, "the third master would decide")
		require.ErrorIs(b, i.Masters[2].Err, syscall.ECONNREFUSED)
		b.Master(0).Del(name)
		i, err = b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, quorum.StateFree, i.State)
	})
}

func TestInspectWithoutQuorumReturnsErrNoQuorum(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.hang(2)
		var i *quorum.Inspection
		var err error
		assert.Equal(b, timeout, took(func() { i, err = b.Inspect(b.Context(), name) }))
		assert.Nil(b, i)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 2, requireAttemptError(b, err).Count(quorum.Unknown))
		assert.Equal(b, 1, requireAttemptError(b, err).Count(quorum.Absent))
		b.resume()
	})
}

func TestInspectWithEndedContextSendsNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		_, err := b.Inspect(endedContext(), name)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 3, requireAttemptError(b, err).Count(quorum.Unsent))
		b.assertNoCommands()
		require.NoError(b, b.Manager.Close())
		_, err = b.Inspect(b.Context(), name)
		assertReason(b, err, quorum.ErrClosed)
	})
}

// TestInspectionSaturatesHugeTTL has a master report the longest possible TTL. Redis accepts expiry
// times of up to 292 million years, but a time.Duration holds only 292 years.
func TestInspectionSaturatesHugeTTL(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		f := newFakeServer(b.T, func(args []string) string {
			if isSetup(args) {
				return grantAll(args)
			}
			return "*2\r\n:0\r\n*8\r\n$1\r\na\r\n:9223372036854775807\r\n:0\r\n$0\r\n\r\n:0\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n"
		})
		client := f.client("192.0.2.1:1", nil)
		m, err := quorum.New(append(b.Clients()[:0:0], client), &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		i, err := m.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, time.Duration(math.MaxInt64)/time.Millisecond*time.Millisecond, i.TTL.Truncate(time.Millisecond))
		require.NoError(b, m.Close())
		require.NoError(b, client.Close())
	})
}

// TestQuarantinedMastersDoNotCountAsFree flushes masters under the restart guard. No attempt can
// succeed on a quarantined master.
func TestQuarantinedMastersDoNotCountAsFree(t *testing.T) {
	for what, tt := range map[string]struct {
		quarantined, stopped int
		want                 quorum.LockState
	}{
		"none":                  {0, 0, quorum.StateFree},
		"one":                   {1, 0, quorum.StateFree},
		"two":                   {2, 0, quorum.StateSplit},
		"all":                   {3, 0, quorum.StateSplit},
		"one, and one stopped":  {1, 1, quorum.StateUnknown},
		"two, and one stopped":  {2, 1, quorum.StateSplit},
		"none, and one stopped": {0, 1, quorum.StateFree},
	} {
		t.Run(what, func(t *testing.T) {
			guardedBubble(t, 3, func(b *testbed) {
				for i := range tt.quarantined {
					b.Master(i).FlushAll()
				}
				for i := range tt.stopped {
					b.Master(2 - i).Stop()
				}
				i, err := b.Inspect(b.Context(), name)
				require.NoError(b, err)
				assert.Equal(b, tt.want, i.State, "%v", i)
			})
		})
	}
}
