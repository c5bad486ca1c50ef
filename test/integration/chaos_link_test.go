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

// A link is the network between one client process and one master: a proxy that can do what Docker's cannot, which is
// to be slow and to swallow what is sent without closing anything.
//
// What a hole swallows is not lost but late: it is delivered when the hole is gone, as TCP does after a partition, also
// when the client has long given up. So requests are carried out late, and answers arrive late. A cut loses them.
type link struct {
	target   string
	listener net.Listener
	tasks    sync.WaitGroup

	mu      sync.Mutex // guards all below
	traffic traffic
	changed chan struct{} // closed at each change of traffic
	pairs   map[*connPair]struct{}
	random  *rand.Rand
	pending int         // chunks of requests that were read, and have yet to be passed on
	late    []lateChunk // of requests
}

// lateChunk is what a client sent, and what reached the master long after.
type lateChunk struct {
	sent, arrived clock.Instant
	bytes         []byte
}

// noticeablyLate is longer than a client waits that repeats what was not answered.
const noticeablyLate = chaosAttemptTimeout / 2

// traffic is what becomes of bytes on a link. The zero value lets them pass.
type traffic struct {
	cut                       bool          // connections are reset, new ones too
	holdRequests, holdReplies bool          // these are held back: a hole
	delay, maxJitter          time.Duration // of each chunk, in each direction
	straggle                  time.Duration // some chunks of requests are held back for up to this long, each with its connection
}

// stragglers is how many chunks of requests there are for each that straggles. What comes on other connections
// overtakes it, such as the second try of what it asks for.
const stragglers = 20

// pair is one connection: the client's, and the one to the master that it is joined with.
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

// url returns where a client reaches the master by this link.
func (l *link) url() string { return "redis://" + l.listener.Addr().String() }

func (l *link) close() {
	_ = l.listener.Close()
	l.set(traffic{cut: true})
	l.tasks.Wait()
}

// set changes what becomes of the traffic. When a cut returns, nothing that was under way can arrive any more at the
// client; what the master has in its socket it may yet carry out.
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

// pump moves bytes one way until either end closes.
func (l *link) pump(p *connPair, to io.Writer, from io.Reader, pass func(chunk []byte) bool) {
	// In good order: a reset could take what is late with it.
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

// passRequest is pass for what a client sends, and takes down what becomes late by it.
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

// underway returns how many chunks of requests are held back yet.
func (l *link) pendingRequests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// lateRequests returns what reached the master late.
func (l *link) lateRequests() []lateChunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.late)
}

// pass waits for as long as the traffic is to wait. It returns false if the connection is closed meanwhile. What
// straggles does so for its time, whatever else becomes of the traffic.
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

// reset closes a connection so that its other end learns of an error, not of an end in good order.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// TestChaosLink shows that each kind of bad network really happens, and really ends.
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
	require.Eventually(t, func() bool { return arrived("late") }, waitLimit, 5*time.Millisecond, "what a hole swallows is late")
	require.NoError(t, set("open"))

	l.set(traffic{holdReplies: true})
	require.ErrorIs(t, set("unanswered"), os.ErrDeadlineExceeded)
	require.True(t, arrived("unanswered"), "carried out, and nobody told so")
	l.set(traffic{})
	require.NoError(t, set("open"))

	l.set(traffic{delay: hangTimeout / 4})
	began := time.Now()
	require.NoError(t, set("slow"))
	require.GreaterOrEqual(t, time.Since(began), hangTimeout/2, "there and back")

	l.set(traffic{straggle: hangTimeout})
	impatient := redis.NewClient(&redis.Options{
		Addr: l.listener.Addr().String(), ReadTimeout: hangTimeout / 20, MaxRetries: 2, MinRetryBackoff: -1, MaxRetryBackoff: -1,
	})
	t.Cleanup(func() { require.NoError(t, impatient.Close()) })
	for i := 0; len(l.lateRequests()) < 4; i++ {
		key := fmt.Sprint("straggler-", i)
		_ = impatient.Set(t.Context(), key, "v", 0).Err() // with bad luck none of the tries arrives in time
		require.NoError(t, direct.Del(t.Context(), key).Err())
	}
	l.set(traffic{})
	require.Eventually(t, func() bool { return l.pendingRequests() == 0 }, waitLimit, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(direct.Keys(t.Context(), "straggler-*").Val()) > 0 },
		waitLimit, 5*time.Millisecond, "a first try arrives after a second one that was answered")

	l.set(traffic{cut: true})
	err := set("cut")
	require.Error(t, err)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded))
	require.False(t, arrived("cut"))
	l.set(traffic{})
	require.Eventually(t, func() bool { return set("open") == nil }, waitLimit, 5*time.Millisecond)
}
