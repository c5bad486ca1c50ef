package quorum_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// patience is far longer than anything here takes. It makes a broken test fail instead of hang.
const patience = 20 * time.Second

// patiently returns a context that ends after patience.
func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens a Manager and closes it when the test ends, unless the test has done so. The default
// of AttemptTimeout is patience.
func open(t *testing.T, opts quorum.Options, urls ...string) *quorum.Manager {
	t.Helper()
	if opts.AttemptTimeout == 0 {
		opts.AttemptTimeout = patience
	}
	m, err := quorum.Open(urls, &opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// embedded starts embedded masters that listen on sockets.
func embedded(t *testing.T, n int) *quorumtest.Cluster {
	t.Helper()
	c, err := quorumtest.Start(n)
	require.NoError(t, err)
	declare(c, "")
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// setupCommands returns the commands that set up the connection.
func setupCommands(commands [][]string) (set []string) {
	for _, args := range commands {
		if !isSetup(args) {
			break
		}
		set = append(set, strings.Join(args, " "))
	}
	return set
}

func TestOpenAppliesURLSettings(t *testing.T) {
	for what, tt := range map[string]struct {
		network, url string // %s is the address
		want         []string
	}{
		"plain":           {"tcp", "redis://%s", []string{"hello 2"}},
		"password":        {"tcp", "redis://:p%%40ss@%s", []string{"hello 2 auth default p@ss", "auth p@ss"}},
		"user":            {"tcp", "redis://me:p%%40ss@%s", []string{"hello 2 auth me p@ss", "auth me p@ss"}},
		"database":        {"tcp", "redis://%s/3", []string{"hello 2", "select 3"}},
		"db":              {"tcp", "redis://%s?db=4", []string{"hello 2", "select 4"}},
		"client name":     {"tcp", "redis://%s?client_name=me", []string{"hello 2", "hello 2 setname me", "client setname me"}},
		"protocol":        {"tcp", "redis://%s?protocol=3", []string{"hello 3"}},
		"TLS":             {"tls", "rediss://%s?skip_verify=true", []string{"hello 2"}},
		"TLS and user":    {"tls", "rediss://me:pass@%s/1?skip_verify=true", []string{"hello 2 auth me pass", "auth me pass", "select 1"}},
		"socket":          {"unix", "unix://%s", []string{"hello 2"}},
		"socket and user": {"unix", "unix://me:pass@%s?db=2", []string{"hello 2 auth me pass", "auth me pass", "select 2"}},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFakeServer(t, nil)
			var addr string
			if tt.network == "tls" {
				addr = f.listenTLS(t)
			} else {
				addr = f.listen(t, tt.network)
			}
			if what != "client name" { // the last two commands are always the same
				hello, _, _ := strings.Cut(tt.want[0][len("hello "):], " ")
				tt.want = append(tt.want, "hello "+hello+" setname redlock:web-3", "client setname redlock:web-3")
			}
			m := open(t, quorum.Options{Owner: "web-3"}, fmt.Sprintf(tt.url, addr))
			l, err := m.TryAcquire(patiently(t), name, ttl)
			require.NoError(t, err)
			require.NoError(t, l.Release(patiently(t)))
			assert.Equal(t, tt.want, setupCommands(f.received()))
			require.NoError(t, m.Close())
		})
	}
}

func TestOpenVerifiesCertificates(t *testing.T) {
	f := newFakeServer(t, nil)
	m := open(t, quorum.Options{}, "rediss://"+f.listenTLS(t))
	_, err := m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	assert.Empty(t, f.received())
}

// errorTexts returns the texts of err and of every error that it wraps.
func errorTexts(err error) []string {
	all := []string{err.Error()}
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, errorTexts(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, errorTexts(inner)...)
		}
	}
	return all
}

// assertHides checks that neither err nor any error that it wraps shows the secret.
func assertHides(t *testing.T, err error, secret string) {
	t.Helper()
	for _, text := range append(errorTexts(err), fmt.Sprintf("%v %+v %s %q", err, err, err, err)) {
		assert.NotContains(t, text, secret)
	}
}

// TestOpenErrorSaysWhatIsWrongWithURL checks that each mistake has a text of its own, and that no
// text shows a part of the URL.
func TestOpenErrorSaysWhatIsWrongWithURL(t *testing.T) {
	const (
		begin    = "it must begin with redis://, rediss:// or unix://"
		misplace = "has a / or ? before an @; in a user or password they must be written as %2F and %3F"
		host     = "has a malformed host; an IPv6 address must be in brackets"
		socket   = "has a host; the path of a socket follows a third slash, as in unix:///run/redis.sock"
	)
	for url, text := range map[string]string{
		"":                                               "is empty",
		"hunter2":                                        "has no scheme; " + begin,
		"://hunter2":                                     "has no scheme; " + begin,
		"hunter2:6379":                                   "has no scheme; " + begin,
		"redis:hunter2:6379":                             "has no scheme; " + begin,
		"hunter2://h":                                    "has an unknown scheme; " + begin,
		"http://me:hunter2@h":                            "has an unknown scheme; " + begin,
		"redis://hunter2@h:1\n":                          "contains a line break or another control character",
		" redis://hunter2@h":                             "begins or ends with a space",
		"redis://me:hunter2@h ":                          "begins or ends with a space",
		"redis://hunter2#x@h:1":                          "contains a #, which must be written as %23",
		"redis://me:hunter2%@h":                          "contains a % that does not begin an escape; it must be written as %25",
		"redis://h:hunter2%zz@h":                         "contains a % that does not begin an escape; it must be written as %25",
		"redis://h?db=1%2":                               "contains a % that does not begin an escape; it must be written as %25",
		"redis://me:hunter2/x@h":                         misplace,
		"redis://:hunter2?x@h:1":                         misplace,
		"redis://hunter2/x@h":                            misplace,
		"redis://hunter2?x@h":                            misplace,
		"redis://hunter2^@h":                             "has a user or password with a character that must be escaped",
		"redis://:hunter2@h:p":                           "has a port that is not a number",
		"redis://h:hunter2":                              "has a port that is not a number",
		"redis://[::1]:hunter2":                          "has a port that is not a number",
		"redis://hunter2:65536":                          "has a port out of range",
		"redis://hunter2:0":                              "has a port out of range",
		"redis://[hunter2":                               host,
		"redis://a@hunter 2":                             host,
		"redis://h/hunter2":                              "has a database that is not a number",
		"redis://h?db=hunter2":                           "has a db that is not a whole number",
		"redis://hunter2/-1":                             "has a database number out of range",
		"redis://hunter2?db=-1":                          "has a database number out of range",
		"redis://h/1/hunter2":                            "has more than a database number in its path",
		"unix://hunter2":                                 socket,
		"unix://hunter2/x":                               socket,
		"unix://:hunter2@":                               "has no path; it must name a socket, as in unix:///run/redis.sock",
		"redis://h?hunter2=1":                            "has an unknown setting in its query",
		"redis://h?=hunter2":                             "has an unknown setting in its query",
		"redis://h?db=1;hunter2":                         "has a ; in its query; it must be written as %3B, or as & between two settings",
		"redis://h?pool_size=1&read_timeout=hunter2":     "has a read_timeout that is not a duration such as 300ms",
		"redis://h?pool_fifo=hunter2":                    "has a pool_fifo that is not true or false",
		"redis://h?pool_size=hunter2":                    "has a pool_size that is not a whole number",
		"redis://hunter2?skip_verify=true":               "has a skip_verify, which only a rediss:// URL may have",
		"rediss://h?skip_verify=hunter2":                 "has a skip_verify that is not true or false",
		"redis://h?client_name=hunter+2":                 "has a client_name with a character that a master does not allow",
		"redis://hunter2?idle_timeout=1":                 "",
		"redis://hunter2?conn_max_idle_time=1":           "",
		"redis://h?idle_timeout=1&conn_max_idle_time=1s": "has settings in its query that exclude each other",
		"redis://hunter2?pool_size=-1":                   "has a pool_size out of range",
		"redis://hunter2?pool_size=4000000000":           "has a pool_size out of range",
		"redis://hunter2?pool_size=2000000000":           "has a pool_size out of range",
		"redis://hunter2?max_active_conns=-4000000000":   "has a max_active_conns out of range",
		"redis://hunter2?max_idle_conns=4000000000":      "has a max_idle_conns out of range",
		"redis://hunter2?min_idle_conns=4000000000":      "has a min_idle_conns out of range",
	} {
		m, err := quorum.Open([]string{"redis://a", url, "redis://b"}, nil)
		if text == "" {
			require.NoError(t, err, url)
			require.NoError(t, m.Close())
			continue
		}
		assert.Nil(t, m)
		require.EqualError(t, err, "quorum: the URL of master 1 "+text, url)
		assertHides(t, err, "hunter2")
		assertReason(t, err, nil)
	}
}

// TestOpenErrorNamesEveryBadURL: whoever corrects a list of masters sees all that is wrong with it.
func TestOpenErrorNamesEveryBadURL(t *testing.T) {
	m, err := quorum.Open([]string{"redis://h/x", "redis://a", ""}, nil)
	assert.Nil(t, m)
	require.EqualError(t, err, "quorum: the URL of master 0 has a database that is not a number\nquorum: the URL of master 2 is empty")
}

// TestOpenRejectsSettingsOutOfRange guards against mistyped numbers. They must not keep a core
// busy, keep a call in flight forever or make every dial fail.
func TestOpenRejectsSettingsOutOfRange(t *testing.T) {
	for name, values := range map[string][]string{
		"pool_size": {"-1", "65537"}, "min_idle_conns": {"4000000000"}, "max_concurrent_dials": {"65537"},
		"max_retries": {"11", "1000000000"}, "protocol": {"1", "4", "-9"},
		"dial_timeout": {"-1", "0"}, "write_timeout": {"0", "9000h"}, "pool_timeout": {"-1ns"},
		"read_timeout":      {"-5s", "9223372037"}, // 9223372037 s overflows a time.Duration
		"min_retry_backoff": {"9223372037"}, "max_retry_backoff": {"9000h"},
		"conn_max_lifetime": {"200000h&conn_max_lifetime_jitter=200000h"}, "max_conn_age": {"200000h"},
		"idle_timeout": {"9223372037"}, "conn_max_idle_time": {"9000h"},
	} {
		for _, value := range values {
			m, err := quorum.Open([]string{"redis://h", "redis://:hunter2@i?" + name + "=" + value}, nil)
			assert.Nil(t, m)
			require.EqualError(t, err, "quorum: the URL of master 1 has a "+name+" out of range", value)
		}
	}
	for _, query := range []string{
		"max_retries=10", "max_retries=0", "max_retries=-1", "max_retries=-9", "min_retry_backoff=-1",
		"read_timeout=1h", "pool_size=65536", "idle_timeout=-1", "conn_max_lifetime=1h&conn_max_lifetime_jitter=1m",
	} {
		m, err := quorum.Open([]string{"redis://h?" + query}, nil)
		require.NoError(t, err, query)
		require.NoError(t, m.Close())
	}
}

// TestOpenedClientsSendPipelinesWithoutRetries guards against a trap of go-redis: with a negative
// number of retries it silently does not send pipelines. A thousand callers make the Manager use
// pipelines.
func TestOpenedClientsSendPipelinesWithoutRetries(t *testing.T) {
	for _, retries := range []string{"-1", "-9"} {
		f := newFakeServer(t, nil)
		m := open(t, quorum.Options{}, "redis://"+f.listen(t, "tcp")+"?max_retries="+retries)
		var group errgroup.Group
		for i := range 1000 {
			group.Go(func() error {
				l, err := m.TryAcquire(patiently(t), fmt.Sprintf("lock-%d", i), ttl)
				if err != nil {
					return err
				}
				return l.Release(patiently(t))
			})
		}
		require.NoError(t, group.Wait())
	}
}

// TestOpenedCallsWaitForConnection limits the number of connections. Calls must wait for one rather
// than fail.
func TestOpenedCallsWaitForConnection(t *testing.T) {
	c := embedded(t, 1)
	c.Master(0).DelayReplies(3*time.Millisecond, quorumtest.Always) // so that several calls are in flight
	m := open(t, quorum.Options{}, c.URLs()[0]+"?max_active_conns=1")
	var group errgroup.Group
	for i := range 50 {
		group.Go(func() error {
			for range 10 {
				l, err := m.TryAcquire(patiently(t), fmt.Sprintf("lock-%d", i), ttl)
				if err != nil {
					return err
				}
				if err := l.Release(patiently(t)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

func TestOpenRejectsInvalidMasters(t *testing.T) {
	for text, urls := range map[string][]string{
		"no masters": nil,
		"masters 0 and 2 have the same address 127.0.0.1:6379": {"redis://:hunter2@localhost", "redis://h", "redis://:hunter2@127.0.0.1:6379/7"},
		"masters 0 and 1 have the same address /run/s":         {"unix://me:hunter2@/run/s", "unix:///run/s?db=1"},
	} {
		m, err := quorum.Open(urls, nil)
		assert.Nil(t, m)
		require.EqualError(t, err, "quorum: "+text)
		assertHides(t, err, "hunter2")
	}
}

// FuzzOpen checks that errors never depend on a secret, wherever it is in the URL: they are the
// same for another one of the same kind.
func FuzzOpen(f *testing.F) {
	for _, seed := range [][2]string{
		{"redis://:", "@h:6379/0"}, {"redis://me:", "@[::1"}, {"rediss://", ":x@h"}, {"unix://u:", "@/s?db=1"},
		{"redis://h:", "/0"}, {"redis://h/", ""}, {"redis://h?db=", ""}, {"redis://h?", "=1"}, {"", "://h"}, {"", ""},
		{"redis://h?client_name=", "&pool_size=-1"}, {"redis://h?client_name=", "&pool_size=99999999999"},
		{"redis://h?pool_size=9&max_active_conns=", ""}, {"redis://h?client_name=", "&protocol=-9&max_retries=-9&dial_timeout=-9s"},
		{"redis://h?client_name=", "&max_concurrent_dials=-1"}, {"redis://h?client_name=", "&max_concurrent_dials=2000000000"},
		{"redis://h?client_name=", "&max_idle_conns=-1"}, {"redis://%", "\x00"}, {"unix://", "@/"}, {"redis://h:1?\xff=", "&;;"},
		{"redis://h?client_name=", "&pipeline_pool_size=-9&pipeline_read_buffer_size=-1"},
		{"redis://me:", "/@h"}, {"redis://me:x?", "@h"}, {"redis://me:", "#@h"}, {"redis://me:", "%@h"}, {"redis://me:", "^@h"},
		{"unix://", "/s"}, {"redis://h:1@", ":99999"}, {"redis://h?skip_verify=1&read_timeout=", "s"}, {"redis://h?db=-", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	const secret, another = "s3zr3t", "q4vw8y"
	f.Fuzz(func(t *testing.T, head, tail string) {
		if strings.Contains(head+tail, "idle") {
			t.Skip("idle connections are dialed at once, to any address in the URL")
		}
		var texts []string
		for _, s := range []string{secret, another} {
			m, err := quorum.Open([]string{head + s + tail}, nil)
			if err == nil {
				require.NoError(t, m.Close())
				return
			}
			assert.Nil(t, m)
			assertHides(t, err, s)
			texts = append(texts, strings.Join(errorTexts(err), "\n"))
		}
		assert.Equal(t, texts[0], texts[1])
	})
}

// TestHungMinorityDoesNotBlockOpenedManager uses the clients that Open makes. The other tests of
// hung masters use clients of quorumtest.
func TestHungMinorityDoesNotBlockOpenedManager(t *testing.T) {
	for what, connected := range map[string]bool{"connected before": true, "not connected": false} {
		t.Run(what, func(t *testing.T) {
			c := embedded(t, 3)
			m := open(t, quorum.Options{AttemptTimeout: time.Hour}, c.URLs()...)
			cycle := func(name string) {
				l, err := m.TryAcquire(patiently(t), name, ttl)
				require.NoError(t, err)
				require.NoError(t, l.Extend(patiently(t), ttl))
				require.NoError(t, l.Release(patiently(t)))
			}
			if connected {
				cycle("before") // its release may still be in flight, so the next cycle uses another name
			}
			c.Master(0).Hang()
			cycle(name)
			c.Master(0).Resume()
			require.NoError(t, m.Close())
			assert.Empty(t, c.Master(0).Keys())
		})
	}
}

// TestOpenedCallsEndAtAttemptTimeout gives clients a read timeout of an hour, so that only
// AttemptTimeout can end the call.
func TestOpenedCallsEndAtAttemptTimeout(t *testing.T) {
	for what, ignored := range map[string]string{"lock command": "evalsha", "connection setup": "hello"} {
		t.Run(what, func(t *testing.T) {
			ignoring := newFakeServer(t, func(args []string) string {
				if strings.EqualFold(args[0], ignored) {
					return ""
				}
				return grantAll(args)
			})
			f := newFakeServer(t, nil)
			m := open(t, quorum.Options{AttemptTimeout: 500 * time.Millisecond, CloseTimeout: 100 * time.Millisecond},
				"redis://"+ignoring.listen(t, "tcp")+"?read_timeout=1h", "redis://"+f.listen(t, "tcp"))
			_, err := m.TryAcquire(patiently(t), name, ttl)
			assertReason(t, err, quorum.ErrNoQuorum)
			select {
			case <-ignoring.ended: // the client has closed the connection
			case <-patiently(t).Done():
				t.Fatal("the call did not end")
			}
		})
	}
}

func TestURLMayShortenTimeouts(t *testing.T) {
	ignoring := newFakeServer(t, func(args []string) string {
		if isSetup(args) {
			return grantAll(args)
		}
		return ""
	})
	m := open(t, quorum.Options{AttemptTimeout: time.Hour, CloseTimeout: 100 * time.Millisecond},
		"redis://"+ignoring.listen(t, "tcp")+"?read_timeout=20ms")
	_, err := m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
	assert.ErrorContains(t, err, "i/o timeout")
}

// logRecorder records what go-redis would log to standard error.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
}

func (l *logRecorder) Printf(_ context.Context, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logRecorder) recorded() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// TestUnreachableMasterIsNotLogged must not run in parallel with other tests, because the logger
// belongs to the whole process.
func TestUnreachableMasterIsNotLogged(t *testing.T) {
	c := embedded(t, 3)
	c.Master(0).Stop()
	var log logRecorder
	redis.SetLogger(&log)
	defer redis.SetLogger(silentLogger{})

	m := open(t, quorum.Options{}, c.URLs()...)
	for range 5 {
		l, err := m.TryAcquire(patiently(t), name, ttl)
		require.NoError(t, err)
		require.NoError(t, l.Extend(patiently(t), ttl))
		_, err = m.Inspect(patiently(t), name)
		require.NoError(t, err)
		require.NoError(t, l.Release(patiently(t)))
	}
	_ = m.Close() // it may report keys left to expire on the stopped master
	assert.Empty(t, log.recorded())

	plain := redis.NewClient(&redis.Options{Addr: c.Master(0).Addr(), DialerRetries: 1, MaxRetries: -1})
	defer func() { _ = plain.Close() }()
	require.Error(t, plain.Ping(patiently(t)).Err())
	assert.NotEmpty(t, log.recorded(), "go-redis logs the failed dial of an ordinary client")
}

func TestCloseClosesOpenedClients(t *testing.T) {
	f := newFakeServer(t, nil)
	m := open(t, quorum.Options{}, "redis://"+f.listen(t, "tcp"))
	_, err := m.TryAcquire(patiently(t), name, ttl)
	require.NoError(t, err)
	select {
	case <-f.ended:
		t.Fatal("closed too early")
	default:
	}
	require.NoError(t, m.Close())
	select {
	case <-f.ended:
	case <-patiently(t).Done():
		t.Fatal("the connection is still open")
	}
	require.ErrorIs(t, m.Close(), quorum.ErrClosed)
}

func TestCloseDoesNotCloseGivenClients(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, b.Manager.Close())
		for _, client := range b.Clients() {
			assert.NoError(b, client.Ping(b.Context()).Err())
		}
	})
}
