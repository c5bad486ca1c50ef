package integration

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
)

// A link is the network between a client process and a master. It is a proxy that can do what that
// of Docker cannot: be slow, and hold back data without closing connections.
//
// Data that is held back is late, not lost. As with TCP after a partition, it is delivered when the
// fault ends, even if the client has given up long before. So requests are executed late, and
// replies arrive late. Only a cut loses data.
type link struct {
	target   string
	listener net.Listener
	tasks    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	traffic traffic
	changed chan struct{} // closed when traffic changes
	pairs   map[*connPair]struct{}
	random  *rand.Rand
	pending int         // number of request chunks read but not forwarded
	late    []lateChunk // late request chunks
}

// lateChunk is a chunk of requests that reached the master late.
type lateChunk struct {
	sent, arrived clock.Instant
	bytes         []byte
}

// noticeablyLate is longer than a client with retries waits before it repeats a request.
const noticeablyLate = chaosAttemptTimeout / 2

// traffic describes what a link does to data. The zero value forwards everything at once.
type traffic struct {
	cut                       bool          // reset all connections, including new ones
	holdRequests, holdReplies bool          // hold back requests or replies
	delay, maxJitter          time.Duration // per chunk and direction
	straggle                  time.Duration // hold back some request chunks, and their connections, for up to this long
}

// stragglers is the number of request chunks per chunk that straggles. Chunks on other connections,
// such as a retry of the same request, overtake it.
const stragglers = 20

// connPair is a connection of a client and the connection to the master that it is joined to.
type connPair struct {
	client, server net.Conn
	done           chan struct{}
	once           sync.Once
}

func newLink(tb testing.TB, target string, seed, number uint64) *link {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	l := &link{
		target: target, listener: listener,
		changed: make(chan struct{}), pairs: map[*connPair]struct{}{},
		random: rand.New(rand.NewPCG(seed, number)),
	}
	l.tasks.Go(l.accept)
	tb.Cleanup(l.close)
	return l
}

// url returns the URL of the master through this link.
func (l *link) url() string { return "redis://" + l.listener.Addr().String() }

func (l *link) close() {
	_ = l.listener.Close()
	l.set(traffic{cut: true})
	l.tasks.Wait()
}

// set changes the traffic. When it returns after a cut, no earlier data can reach the client
// anymore. The master may still execute what is in its socket.
func (l *link) set(now traffic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traffic = now
	close(l.changed)
	l.changed = make(chan struct{})
	if now.cut {
		for p := range l.pairs {
			p.reset()
		}
	}
}

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.tasks.Go(func() { l.serve(client) })
	}
}

func (l *link) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", l.target, time.Second)
	if err != nil {
		reset(client)
		return
	}
	p := &connPair{client: client, server: server, done: make(chan struct{})}
	if !l.admit(p) {
		p.reset()
		return
	}
	l.tasks.Go(func() { l.pump(p, server, client, func(chunk []byte) bool { return l.passRequest(p, chunk) }) })
	l.pump(p, client, server, func([]byte) bool {
		return l.pass(p, func(t traffic) bool { return t.holdReplies }, false)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

func (l *link) admit(p *connPair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.traffic.cut {
		return false
	}
	l.pairs[p] = struct{}{}
	return true
}

// pump forwards data in one direction until either end closes.
func (l *link) pump(p *connPair, to io.Writer, from io.Reader, pass func(chunk []byte) bool) {
	// Close gracefully, because a reset could discard late data.
	defer p.end(func(c net.Conn) { _ = c.Close() })
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && pass(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passRequest is pass for requests. It records the chunks that it delays.
func (l *link) passRequest(p *connPair, chunk []byte) bool {
	sent := clock.System().Now()
	l.addPending(+1)
	defer l.addPending(-1)
	ok := l.pass(p, func(t traffic) bool { return t.holdRequests }, true)
	if arrived := clock.System().Now(); ok && arrived.Sub(sent) > noticeablyLate {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.late = append(l.late, lateChunk{sent, arrived, slices.Clone(chunk)})
	}
	return ok
}

func (l *link) addPending(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending += n
}

// pendingRequests returns the number of request chunks that are held back.
func (l *link) pendingRequests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// lateRequests returns the requests that reached the master late.
func (l *link) lateRequests() []lateChunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.late)
}

// pass waits as long as the traffic says. It returns false if the connection closes in the
// meantime. A straggling chunk waits its full time even if the traffic changes.
func (l *link) pass(p *connPair, held func(traffic) bool, request bool) bool {
	for {
		l.mu.Lock()
		now, changed := l.traffic, l.changed
		delay := now.delay
		if now.maxJitter > 0 {
			delay += time.Duration(l.random.Int64N(int64(now.maxJitter)))
		}
		if request && now.straggle > 0 && !held(now) && l.random.IntN(stragglers) == 0 {
			delay += now.straggle/4 + time.Duration(l.random.Int64N(int64(now.straggle)*3/4))
		}
		l.mu.Unlock()
		switch {
		case held(now):
			select {
			case <-changed:
				continue
			case <-p.done:
				return false
			}
		case delay > 0:
			select {
			case <-time.After(delay):
			case <-p.done:
				return false
			}
		}
		return true
	}
}

func (p *connPair) reset() { p.end(reset) }

func (p *connPair) end(how func(net.Conn)) {
	p.once.Do(func() {
		close(p.done)
		how(p.client)
		how(p.server)
	})
}

// reset closes a connection so that the other end sees an error instead of EOF.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func TestLinkFaultsHappenAndEnd(t *testing.T) {
	m := masters(t)[0]
	l := newLink(t, m.Addr(), 1, 1)
	c := redis.NewClient(&redis.Options{
		Addr: l.listener.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		ReadTimeout: hangTimeout, PoolSize: 1,
	})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	direct := dial(t, m)
	set := func(key string) error { return c.Set(t.Context(), key, "v", 0).Err() }
	arrived := func(key string) bool { return direct.Exists(t.Context(), key).Val() == 1 }
	require.NoError(t, set("open"))

	l.set(traffic{holdRequests: true})
	require.ErrorIs(t, set("late"), os.ErrDeadlineExceeded)
	require.False(t, arrived("late"))
	l.set(traffic{})
	require.Eventually(t, func() bool { return arrived("late") }, waitLimit, 5*time.Millisecond, "held-back requests must arrive late")
	require.NoError(t, set("open"))

	l.set(traffic{holdReplies: true})
	require.ErrorIs(t, set("unanswered"), os.ErrDeadlineExceeded)
	require.True(t, arrived("unanswered"), "the request must be executed without a reply")
	l.set(traffic{})
	require.NoError(t, set("open"))

	l.set(traffic{delay: hangTimeout / 4})
	start := time.Now()
	require.NoError(t, set("slow"))
	require.GreaterOrEqual(t, time.Since(start), hangTimeout/2, "both directions must be delayed")

	l.set(traffic{straggle: hangTimeout})
	impatient := redis.NewClient(&redis.Options{
		Addr: l.listener.Addr().String(), ReadTimeout: hangTimeout / 20, MaxRetries: 2, MinRetryBackoff: -1, MaxRetryBackoff: -1,
	})
	t.Cleanup(func() { require.NoError(t, impatient.Close()) })
	for i := 0; len(l.lateRequests()) < 4; i++ {
		key := fmt.Sprint("straggler-", i)
		_ = impatient.Set(t.Context(), key, "v", 0).Err() // all tries may be late
		require.NoError(t, direct.Del(t.Context(), key).Err())
	}
	l.set(traffic{})
	require.Eventually(t, func() bool { return l.pendingRequests() == 0 }, waitLimit, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(direct.Keys(t.Context(), "straggler-*").Val()) > 0 },
		waitLimit, 5*time.Millisecond, "a request must arrive after its retry was answered")

	l.set(traffic{cut: true})
	err := set("cut")
	require.Error(t, err)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded))
	require.False(t, arrived("cut"))
	l.set(traffic{})
	require.Eventually(t, func() bool { return set("open") == nil }, waitLimit, 5*time.Millisecond)
}
