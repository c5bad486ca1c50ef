package quorum_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// link is the network between one client and one master.
type link struct {
	mu      sync.Mutex
	down    bool          // dials are refused
	held    chan struct{} // what the client sends is on its way until this is closed; nil for no delay
	only    string        // only requests that contain this are held
	lost    func(request string) bool
	mute    bool // replies are lost, but not messages
	waiting int  // requests that were held
	open    map[*linkConn]bool
}

// change changes the link's state.
func (l *link) change(to func(l *link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to(l)
}

// lose loses the requests that contain any of the words; all if one of them is "". Without words,
// nothing is lost.
func (l *link) lose(words ...string) {
	l.change(func(l *link) {
		l.lost = func(request string) bool {
			return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(request, word) })
		}
	})
}

// cut ends all connections, and refuses new ones.
func (l *link) cut() {
	l.mu.Lock()
	open := l.open
	l.down, l.open = true, nil
	l.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

// refuse makes dials fail, or succeed again.
func (l *link) refuse(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// hold keeps all that the client sends from now on on its way until deliver is called.
func (l *link) hold() (deliver func()) { return l.holdOnly("") }

// holdOnly is hold for requests that contain a word.
func (l *link) holdOnly(word string) (deliver func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(chan struct{})
	l.held, l.only = held, word
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held == held {
			l.held = nil
		}
		close(held)
	})
}

// awaitHeld waits until a request is held, and holds no others.
func (l *link) awaitHeld() {
	for {
		l.mu.Lock()
		if l.waiting > 0 {
			l.held = nil
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
	}
}

// subscribe makes a Manager listen to the masters' messages.
func (b *testbed) subscribe(m *quorum.Manager) {
	l, err := m.Acquire(b.Context(), "other", ttl, quorum.Exclusive())
	require.NoError(b, err)
	time.Sleep(100 * time.Millisecond)
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
}

// reconnect waits until a Manager's connections to a master that was restarted are new.
func (b *testbed) reconnect(m *quorum.Manager, master int) {
	for answered := 0; answered < 10; {
		if i, err := m.Inspect(b.Context(), name); err == nil && i.Masters[master].Err == nil {
			answered++
		}
	}
}

// barrier returns what a request waits for, and whether it is lost.
func (l *link) barrier(request string) (held <-chan struct{}, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost = l.lost != nil && l.lost(request)
	if strings.Contains(request, l.only) {
		if l.held != nil {
			l.waiting++
		}
		return l.held, lost
	}
	return nil, lost
}

// linkConn is a connection over a link. What was sent arrives also if the client has closed its end
// in the meantime.
type linkConn struct {
	net.Conn
	link       *link
	out        chan linkWrite
	subscribed atomic.Bool
}

type linkWrite struct {
	data []byte
	held <-chan struct{}
}

func (l *link) dialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.mu.Lock()
		down := l.down
		l.mu.Unlock()
		if down {
			return nil, syscall.ECONNREFUSED
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &linkConn{Conn: conn, link: l, out: make(chan linkWrite, 1000)}
		l.change(func(l *link) {
			if l.open == nil {
				l.open = map[*linkConn]bool{}
			}
			l.open[c] = true
		})
		go func() {
			for w := range c.out {
				if w.held != nil {
					<-w.held
				}
				_, _ = conn.Write(w.data)
			}
			_ = conn.Close()
		}()
		return c, nil
	}
}

func (c *linkConn) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "\r\nsubscribe\r\n") {
		c.subscribed.Store(true)
	}
	if held, lost := c.link.barrier(string(p)); !lost {
		c.out <- linkWrite{append([]byte(nil), p...), held}
	}
	return len(p), nil
}

// The client's deadlines are no matter of the network.
func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }
func (c *linkConn) SetDeadline(at time.Time) error   { return c.SetReadDeadline(at) }

func (c *linkConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.link.mu.Lock()
		mute := c.link.mute && !c.subscribed.Load()
		c.link.mu.Unlock()
		if err != nil || !mute {
			return n, err
		}
	}
}

func (c *linkConn) Close() error {
	defer func() { _ = recover() }() // closed twice
	_ = c.SetReadDeadline(time.Now())
	close(c.out)
	return nil
}

// linkedManager returns a Manager of its own, with a link to each master.
func (b *testbed) linkedManager(opts quorum.Options, change func(*redis.Options)) (*quorum.Manager, []*link) {
	var links []*link
	m := b.managerWithClients(opts, func(o *redis.Options) {
		l := &link{}
		links = append(links, l)
		o.Dialer = l.dialer(o.Dialer)
		if change != nil {
			change(o)
		}
	})
	b.Cleanup(func() { _ = m.Close() })
	return m, links
}

// acquireLater calls Acquire in the background.
func (b *testbed) acquireLater(ctx context.Context, m *quorum.Manager, ttl time.Duration, opts ...quorum.AcquireOption) <-chan *quorum.Lock {
	got := make(chan *quorum.Lock, 1)
	go func() {
		l, err := m.Acquire(ctx, name, ttl, opts...)
		if err != nil {
			b.Log(err)
		}
		got <- l
	}()
	return got
}

// refuteBoth waits for a lock and fails the test if it and the other one, which exclude each other,
// can be relied on at once.
func (b *testbed) refuteBoth(other *quorum.Lock, got <-chan *quorum.Lock, within time.Duration) {
	b.Helper()
	select {
	case l := <-got:
		require.NotNil(b, l)
		assert.False(b, l.Validity() > 0 && other.Validity() > 0, "two holders at once: %v and %v", other.Validity(), l.Validity())
	case <-time.After(within):
	}
}
