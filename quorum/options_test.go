package quorum_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// assertNoCommands checks that no master has executed a command.
func (b *testbed) assertNoCommands() {
	b.Helper()
	synctest.Wait()
	for i, m := range b.Masters() {
		assert.Zero(b, m.Commands(), "master %d", i)
	}
}

func TestInvalidOptionsAreRejected(t *testing.T) {
	for text, opts := range map[string]quorum.Options{
		"AttemptTimeout -1s is under 1ms":               {AttemptTimeout: -time.Second},
		"AttemptTimeout 999.999µs is under 1ms":         {AttemptTimeout: time.Millisecond - 1},
		"MinBackoff -1ns is negative":                   {MinBackoff: -1},
		"MaxBackoff -1ns is under MinBackoff 16ms":      {MaxBackoff: -1},
		"MaxBackoff 1ms is under MinBackoff 2ms":        {MinBackoff: 2 * time.Millisecond, MaxBackoff: time.Millisecond},
		"MaxPendingReleases -1 is negative":             {MaxPendingReleases: -1},
		"LockDelay -1ns is negative":                    {LockDelay: -1},
		"RestartGuard -1s is negative":                  {RestartGuard: -time.Second},
		"RestartGuard 1.5ms is not in whole":            {RestartGuard: 1500 * time.Microsecond},
		"CloseTimeout -1ns is negative":                 {CloseTimeout: -1},
		"drift factor outside [0, 1)":                   {Drift: clock.Drift{Factor: 1}},
		"negative fixed drift":                          {Drift: clock.Drift{Fixed: -1}},
		`Prefix begins with "redlock:aux:"`:             {Prefix: "redlock:aux:"},
		`Prefix begins with "redlock:aux:", which is`:   {Prefix: "redlock:aux:of-mine:"},
		"drift factor outside [0, 1)\nquorum: options:": {Drift: clock.Drift{Factor: math.NaN()}, MaxPendingReleases: -1},
	} {
		t.Run(text, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				m, err := quorum.New(b.Clients(), &opts)
				assert.Nil(b, m)
				require.ErrorContains(b, err, "quorum: options: "+text)
				m, same := quorum.Open(b.URLs(), &opts)
				assert.Nil(b, m)
				require.EqualError(b, same, err.Error())
				assertReason(b, err, nil)
				b.assertNoCommands()
			})
		})
	}
}

func TestNilAndZeroOptionsAreDefaults(t *testing.T) {
	for what, opts := range map[string]*quorum.Options{"nil": nil, "zero": {}} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				m, err := quorum.New(b.Clients(), opts)
				require.NoError(b, err)
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				assert.GreaterOrEqual(b, b.mastersStoring(l.Token()), 2, "the key is the name alone")
				assert.LessOrEqual(b, l.Validity(), window)
				assert.Positive(b, l.Validity())
				require.NoError(b, l.Release(b.Context()))
				require.NoError(b, m.Close())
			})
		})
	}
}

// TestBackoffDefaultAdaptsToOtherBound sets one bound of the backoff beyond the default of the
// other.
func TestBackoffDefaultAdaptsToOtherBound(t *testing.T) {
	for _, opts := range []quorum.Options{{MaxBackoff: 1}, {MinBackoff: time.Hour}} {
		bubble(t, 1, func(b *testbed) {
			m, err := quorum.New(b.Clients(), &opts)
			require.NoError(b, err, "the default of the other bound adapts")
			require.NoError(b, m.Close())
		})
	}
}

func TestNewCopiesOptionsAndClients(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		opts := &quorum.Options{Prefix: "a:", Clock: b.clock}
		clients := b.Clients()
		m, err := quorum.New(clients, opts)
		require.NoError(b, err)
		*opts = quorum.Options{Prefix: "b:", AttemptTimeout: -1}
		clear(clients)
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		for _, master := range b.Masters() {
			assert.Equal(b, []string{"a:" + name}, master.Keys())
		}
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, m.Close())
	})
}

// methods are Manager's methods that take a name, most of them with a TTL.
var methods = map[string]func(b *testbed, name string, ttl time.Duration) error{
	"TryAcquire": func(b *testbed, name string, ttl time.Duration) error {
		_, err := b.TryAcquire(b.Context(), name, ttl)
		return err
	},
	"Acquire": func(b *testbed, name string, ttl time.Duration) error {
		_, err := b.Acquire(b.Context(), name, ttl)
		return err
	},
	"Inspect": func(b *testbed, name string, _ time.Duration) error {
		_, err := b.Inspect(b.Context(), name)
		return err
	},
}

func TestInvalidNamesAreRejected(t *testing.T) {
	for _, tt := range []struct{ prefix, name, text string }{
		{"", "", "empty name"},
		{"redlock:", "", "empty name"},
		{"", "redlock:aux:", "is reserved for auxiliary keys"},
		{"", "redlock:aux:x", "is reserved for auxiliary keys"},
		{"redlock:", "aux:x", "is reserved for auxiliary keys"},
		{"redlock:au", "x:", "is reserved for auxiliary keys"},
	} {
		t.Run(fmt.Sprintf("%q+%q", tt.prefix, tt.name), func(t *testing.T) {
			bubbleWith(t, 3, quorum.Options{Prefix: tt.prefix}, func(b *testbed) {
				for what, call := range methods {
					err := call(b, tt.name, ttl)
					require.ErrorContains(b, err, tt.text, what)
					assert.True(b, strings.HasPrefix(err.Error(), "quorum: "), "%s: %v", what, err)
					assertReason(b, err, nil)
				}
				b.assertNoCommands()
			})
		})
	}
}

func TestInvalidTTLsAreRejected(t *testing.T) {
	for text, ttl := range map[string]time.Duration{
		"TTL 0s is under 1ms":                                0,
		"TTL -10s is under 1ms":                              -10 * time.Second,
		"TTL -2562047h47m16.854775808s is under 1ms":         math.MinInt64,
		"TTL 999.999µs is under 1ms":                         time.Millisecond - 1,
		"TTL 1ms leaves no validity after a drift of 2.01ms": time.Millisecond,
		"TTL 2ms leaves no validity after a drift of 2.02ms": 2 * time.Millisecond,
		"TTL 2.999ms leaves no validity after a drift of":    3*time.Millisecond - time.Microsecond,
	} {
		t.Run(text, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				for _, call := range []string{"TryAcquire", "Acquire"} {
					err := methods[call](b, name, ttl)
					require.ErrorContains(b, err, `quorum: acquire "`+name+`": `+text, call)
					assertReason(b, err, nil)
				}
				b.assertNoCommands()

				l := b.acquire()
				synctest.Wait()
				before := b.Master(0).Commands()
				err := l.Extend(b.Context(), ttl)
				require.ErrorContains(b, err, `quorum: extend "`+name+`": `+text)
				assertReason(b, err, nil)
				synctest.Wait()
				assert.Equal(b, before, b.Master(0).Commands())
				assert.Equal(b, window, l.Validity())
			})
		})
	}
}

func TestShortestAndLongestTTL(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), "short", 3*time.Millisecond)
		require.NoError(b, err)
		assert.Equal(b, 970*time.Microsecond, l.Validity())
		l, err = b.TryAcquire(b.Context(), "long", math.MaxInt64)
		require.NoError(b, err)
		assert.Greater(b, l.Validity(), 289*365*24*time.Hour)
	})
}

func TestTTLIsTruncatedToMilliseconds(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l, err := b.TryAcquire(b.Context(), name, ttl+999*time.Microsecond)
		require.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, window, l.Validity(), "masters do not count fractions of a millisecond")
		for _, m := range b.Masters() {
			assert.Equal(b, ttl, m.TTL(name))
		}
		require.NoError(b, l.Extend(b.Context(), 2*ttl+999*time.Microsecond))
		synctest.Wait()
		assert.Equal(b, 2*ttl-2*ttl/100-2*time.Millisecond, l.Validity())
		for _, m := range b.Masters() {
			assert.Equal(b, 2*ttl, m.TTL(name))
		}
	})
}

func TestNamesMayBeAnyBytes(t *testing.T) {
	for _, name := range []string{
		"\x00", "\n", "a\r\nb", "\xff\xfe\xfd", " ", "{}", "}{", "{tag}", "{tag}rest", "a}b", "%s%d", "ключ",
		"redlock:aux", "redlock:auxiliary", strings.Repeat("x", 1<<16),
	} {
		for _, prefix := range []string{"", "p\x00:"} {
			t.Run(fmt.Sprintf("%q+%.20q", prefix, name), func(t *testing.T) {
				bubbleWith(t, 3, quorum.Options{Prefix: prefix}, func(b *testbed) {
					l, err := b.TryAcquire(b.Context(), name, ttl)
					require.NoError(b, err)
					assert.Equal(b, name, l.Name())
					require.NoError(b, l.Extend(b.Context(), ttl))
					synctest.Wait()
					for _, m := range b.Masters() {
						token, _ := m.Get(prefix + name)
						assert.Equal(b, l.Token(), token)
						assert.Len(b, m.Keys(), 1)
					}
					i, err := b.Inspect(b.Context(), name)
					require.NoError(b, err)
					assert.Equal(b, l.Token(), i.Token)
					_, err = b.TryAcquire(b.Context(), name, ttl)
					assertReason(b, err, quorum.ErrTaken)
					require.NoError(b, l.Release(b.Context()))
					synctest.Wait()
					for _, m := range b.Masters() {
						assert.Empty(b, m.Keys())
					}
				})
			})
		}
	}
}

// quiet keeps go-redis from resolving addresses before they are used.
var quiet = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func client(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: quiet})
}

func cluster(addrs ...string) *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, MaintNotificationsConfig: quiet})
}

// uncomparable is a wrapped client that cannot be a map key.
type uncomparable struct {
	redis.UniversalClient
	_ []string
}

// TestNewRejectsAutoPipeliner guards the tracking of what was sent. An AutoPipeliner encodes a
// request to estimate its size, so encoding would no longer mean that the request was sent.
func TestNewRejectsAutoPipeliner(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: "h:1", MaintNotificationsConfig: quiet})
	defer func() { assert.NoError(t, c.Close()) }()
	batching, err := c.AutoPipeline()
	require.NoError(t, err)
	defer func() { assert.NoError(t, batching.Close()) }()
	_, err = quorum.New([]redis.UniversalClient{batching}, nil)
	assert.ErrorContains(t, err, "master 0 is a *redis.AutoPipeliner")
}

// numbered returns n clients with different addresses.
func numbered(n int) (clients []redis.UniversalClient) {
	for i := range n {
		clients = append(clients, client(fmt.Sprintf("h:%d", i+1)))
	}
	return clients
}

func TestNewRejectsInvalidMasters(t *testing.T) {
	twice := client("h:1")
	type masters = []redis.UniversalClient
	for what, tt := range map[string]struct {
		masters masters
		text    string // the error; "" if the masters are valid
	}{
		"none":                   {nil, "no masters"},
		"empty":                  {masters{}, "no masters"},
		"too many":               {numbered(65), "65 masters, but at most 64 can be used"},
		"nil":                    {masters{client("h:1"), nil}, "master 1 is nil"},
		"typed nil":              {masters{(*redis.Client)(nil), client("h:1")}, "master 0 is nil"},
		"typed nil cluster":      {masters{client("h:1"), client("h:2"), (*redis.ClusterClient)(nil)}, "master 2 is nil"},
		"typed nil ring":         {masters{(*redis.Ring)(nil)}, "master 0 is nil"},
		"same client":            {masters{twice, client("h:2"), twice}, "masters 0 and 2 are the same client"},
		"same address":           {masters{client("h:1"), client("h:1")}, "masters 0 and 1 have the same address h:1"},
		"same except for case":   {masters{client("REDIS-a:1"), client("redis-A:1")}, "masters 0 and 1 have the same address redis-a:1"},
		"localhost":              {masters{client("h:1"), client("LocalHost:1"), client("127.0.0.1:1")}, "masters 1 and 2 have the same"},
		"IPv6 localhost":         {masters{client("[::1]:1"), client("127.0.0.1:1")}, "masters 0 and 1 have the same"},
		"default address":        {masters{client(""), client("127.0.0.1:6379")}, "masters 0 and 1 have the same"},
		"same socket":            {masters{client("/run/a.sock"), client("/run/a.sock")}, "same address /run/a.sock"},
		"node of a cluster":      {masters{cluster("h:1", "h:2"), client("h:2")}, "masters 0 and 1 have the same address h:2"},
		"overlapping clusters":   {masters{cluster("h:1", "h:2"), cluster("h:2", "h:3")}, "masters 0 and 1 have the same address h:2"},
		"wrapped nil":            {masters{(*uncomparable)(nil)}, "master 0 is nil"},
		"sockets differ in case": {masters{client("/run/a.sock"), client("/run/A.sock")}, ""},
		"ports differ":           {masters{client("localhost:1"), client("127.0.0.1:2")}, ""},
		"wrapped by value":       {masters{uncomparable{UniversalClient: client("h:1")}, uncomparable{UniversalClient: client("h:2")}}, ""},
		"cluster of one address": {masters{cluster("h:1", "H:1"), client("h:2")}, ""},
		"as many as possible":    {numbered(64), ""},
	} {
		t.Run(what, func(t *testing.T) {
			m, err := quorum.New(tt.masters, nil)
			if tt.text == "" {
				require.NoError(t, err)
				require.NoError(t, m.Close())
				return
			}
			assert.Nil(t, m)
			require.ErrorContains(t, err, tt.text)
			assert.True(t, strings.HasPrefix(err.Error(), "quorum: "), "%v", err)
			assertReason(t, err, nil)
		})
	}
}

// FuzzOptions checks that New either rejects options or returns a Manager whose methods return.
func FuzzOptions(f *testing.F) {
	f.Add("", 0.0, int64(0), int64(0), int64(0), int64(0), 0, int64(0))
	f.Add("app:", 0.5, int64(time.Millisecond), int64(time.Second), int64(time.Second), int64(time.Minute), 3, int64(time.Second))
	f.Add("redlock:aux:", -1.0, int64(-1), int64(1), int64(5), int64(4), -1, int64(-1))
	f.Fuzz(func(t *testing.T, prefix string, factor float64, fixed, attempt, minBackoff, maxBackoff int64, pendingReleases int, closeTimeout int64) {
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		defer client.Close()
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{
			Prefix: prefix, Drift: clock.Drift{Factor: factor, Fixed: time.Duration(fixed)},
			AttemptTimeout: time.Duration(attempt), MinBackoff: time.Duration(minBackoff), MaxBackoff: time.Duration(maxBackoff),
			MaxPendingReleases: pendingReleases, CloseTimeout: time.Duration(closeTimeout),
		})
		if err != nil {
			assert.Nil(t, m)
			assert.Contains(t, err.Error(), "quorum: ")
			return
		}
		assert.False(t, attempt < 0 || minBackoff < 0 || maxBackoff < 0 || pendingReleases < 0 || closeTimeout < 0 || fixed < 0 || factor < 0, "a negative value was accepted")
		_, err = m.TryAcquire(endedContext(), "name", time.Hour)
		assert.Error(t, err)
		assert.NoError(t, m.Close())
	})
}
