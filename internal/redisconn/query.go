package redisconn

import (
	"cmp"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// queryProblem returns what is wrong with a setting in the query of a URL, or "". It tries each one
// out by itself, so it knows as many settings as go-redis does.
func queryProblem(u *url.URL) string {
	if strings.Contains(u.RawQuery, ";") {
		return "has a ; in its query; it must be written as %3B, or as & between two settings"
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		value := values[len(values)-1] // the one that go-redis uses
		switch {
		case !accepts(name, "") && strings.Contains(name, "@"):
			return misplacedAt
		case !accepts(name, ""):
			return "has an unknown setting in its query"
		case name == "skip_verify" && u.Scheme != "rediss":
			return "has a skip_verify, which only a rediss:// URL may have"
		case !accepts(name, value):
			return "has a " + name + " that is not " + valueOf(name)
		}
	}
	return ""
}

// accepts reports whether go-redis accepts a value of a setting. It accepts an empty value of every
// setting that it knows.
func accepts(name, value string) bool {
	_, err := redis.ParseURL("rediss://h?" + url.Values{name: {value}}.Encode())
	return err == nil
}

// valueOf says what values a setting can have, judging by those that go-redis accepts.
func valueOf(name string) string {
	switch {
	case accepts(name, "1s"):
		return "a duration such as 300ms"
	case accepts(name, "true"):
		return "true or false"
	}
	return "a whole number"
}

const (
	// maxConnections is more than any pool needs. go-redis panics if the size of a pool is negative
	// or huge, and fills a semaphore of that size at once.
	maxConnections = 1 << 16
	// maxRetries is how often a call may be repeated. There is no pause between tries, so more
	// tries would only keep a core busy while a master is down.
	maxRetries = 10
	// maxSetting is longer than anyone would want to wait, and far from overflowing.
	maxSetting = 365 * 24 * time.Hour
	// minProtocol and maxProtocol are the versions of RESP that go-redis speaks.
	minProtocol, maxProtocol = 2, 3
)

// setting is a number that a URL can set, and its range.
type setting struct {
	names           []string // in the query
	value, min, max int64
}

// settings returns all settings of o that have a range. ParseURL turns a negative or zero duration
// into -1, which means none in go-redis.
func settings(o *redis.Options) []setting {
	// Without a timeout a dial fails at once, and so does a call that has to wait for a connection.
	// A subscription's handshake with a master that hangs never ends.
	timeout := func(d time.Duration, names ...string) setting { return setting{names, int64(d), 0, int64(maxSetting)} }
	pause := func(d time.Duration, names ...string) setting { return setting{names, int64(d), -1, int64(maxSetting)} }
	size := func(n int, names ...string) setting { return setting{names, int64(n), 0, maxConnections} }
	return []setting{
		{[]string{"db"}, int64(o.DB), 0, math.MaxInt32},
		{[]string{"protocol"}, int64(cmp.Or(o.Protocol, minProtocol)), minProtocol, maxProtocol},
		size(o.PoolSize, "pool_size"),
		size(o.MinIdleConns, "min_idle_conns"),
		size(o.MaxIdleConns, "max_idle_conns"),
		size(o.MaxActiveConns, "max_active_conns"),
		size(o.MaxConcurrentDials, "max_concurrent_dials"),
		{[]string{"max_retries"}, int64(o.MaxRetries), math.MinInt64, maxRetries}, //mutant:url-retries
		timeout(o.DialTimeout, "dial_timeout"),
		timeout(o.ReadTimeout, "read_timeout"),
		timeout(o.WriteTimeout, "write_timeout"),
		timeout(o.PoolTimeout, "pool_timeout"),
		pause(o.MinRetryBackoff, "min_retry_backoff"),
		pause(o.MaxRetryBackoff, "max_retry_backoff"),
		pause(o.ConnMaxIdleTime, "conn_max_idle_time", "idle_timeout"),
		pause(o.ConnMaxLifetime, "conn_max_lifetime", "max_conn_age"),
		pause(o.ConnMaxLifetimeJitter, "conn_max_lifetime_jitter"),
	}
}

// settingProblem returns what is wrong with a setting whose value go-redis accepts, or "".
func settingProblem(o *redis.Options, query url.Values) string {
	for _, s := range settings(o) {
		if s.value >= s.min && s.value <= s.max {
			continue
		}
		name := s.names[0]
		for _, n := range s.names {
			if query.Has(n) {
				name = n
			}
		}
		if name == "db" {
			return "has a database number out of range"
		}
		return "has a " + name + " out of range"
	}
	if strings.ContainsFunc(o.ClientName, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "has a client_name with a character that a master does not allow"
	}
	return ""
}
