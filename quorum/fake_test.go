package quorum_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Replies of a master that grants everything.
const (
	okReply  = "+OK\r\n"
	oneReply = ":1\r\n"
	noHello  = "-ERR unknown command 'hello'\r\n"
)

// fakeServer is a server that gives any reply a test wants. Embedded masters always reply
// correctly, so they cannot stand in for a broken server.
type fakeServer struct {
	// answer returns the reply to a command, or "" for no reply.
	answer func(args []string) string

	mu       sync.Mutex // guards the fields below
	commands [][]string
	conns    []net.Conn
	closed   bool // no more connections are served
	serving  sync.WaitGroup
	ended    chan struct{} // receives a value for each connection that ends
}

// newFakeServer returns a fakeServer that replies with answer, or with grantAll if answer is nil.
func newFakeServer(t *testing.T, answer func(args []string) string) *fakeServer {
	t.Helper()
	if answer == nil {
		answer = grantAll
	}
	f := &fakeServer{answer: answer, ended: make(chan struct{}, 1000)}
	t.Cleanup(f.close)
	return f
}

// grantAll replies like a master that grants, extends and releases everything.
func grantAll(args []string) string {
	switch strings.ToLower(args[0]) {
	case "hello":
		return noHello
	case "eval", "evalsha":
		return scriptReply(args, granted)
	}
	return okReply
}

// isSetup reports whether clients send the command to set up a connection.
func isSetup(args []string) bool {
	return slices.Contains([]string{"hello", "auth", "select", "client"}, strings.ToLower(args[0]))
}

func (f *fakeServer) close() {
	f.mu.Lock()
	f.closed = true
	for _, c := range f.conns {
		_ = c.Close() // the client may have closed it already
	}
	f.mu.Unlock()
	f.serving.Wait()
}

// dial is an Options.Dialer that connects to the fakeServer without a socket.
func (f *fakeServer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	f.serve(server)
	return client, nil
}

// client returns a client that connects to the fakeServer without a socket. The test closes it.
func (f *fakeServer) client(addr string, change func(*redis.Options)) *redis.Client {
	opts := &redis.Options{
		Addr: addr, Dialer: f.dial, MaxRetries: -1, DialerRetries: 1, Protocol: 2,
		DisableIdentity: true, ContextTimeoutEnabled: true, MaintNotificationsConfig: quiet,
	}
	if change != nil {
		change(opts)
	}
	return redis.NewClient(opts)
}

// serve replies to the client at the other end of c. After close it closes c: a client dials in the
// background, and may do so after it was closed itself.
func (f *fakeServer) serve(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = c.Close() // which the client notices
		return
	}
	f.conns = append(f.conns, c)
	// A client writes its whole pipeline before it reads. A net.Pipe has no buffer, so the replies
	// need one.
	replies := make(chan string, 1<<12)
	f.serving.Go(func() {
		for reply := range replies {
			if reply == "" {
				continue
			}
			if _, err := io.WriteString(c, reply); err != nil {
				_ = c.Close() // which also ends the reader below
			}
		}
	})
	f.serving.Go(func() {
		defer func() {
			_ = c.Close() // the client may have closed it already
			close(replies)
			f.ended <- struct{}{}
		}()
		for r := bufio.NewReader(c); ; {
			args, err := readCommand(r)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.commands = append(f.commands, args)
			f.mu.Unlock()
			replies <- f.answer(args)
		}
	})
}

func readCommand(r *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		var size int
		if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(r, arg); err != nil {
			return nil, err
		}
		args[i] = string(arg[:size])
	}
	return args, nil
}

// received returns the commands received so far.
func (f *fakeServer) received() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

// listen makes the fakeServer listen on a socket, and returns its address.
func (f *fakeServer) listen(t *testing.T, network string) string {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, addr)
	require.NoError(t, err)
	f.accept(t, l)
	return l.Addr().String()
}

// listenTLS is like listen, with a certificate that clients have no reason to trust.
func (f *fakeServer) listenTLS(t *testing.T) string {
	t.Helper()
	donor := httptest.NewTLSServer(nil)
	donor.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: donor.TLS.Certificates})
	require.NoError(t, err)
	f.accept(t, l)
	return l.Addr().String()
}

func (f *fakeServer) accept(t *testing.T, l net.Listener) {
	t.Helper()
	f.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.serve(c)
		}
	})
	t.Cleanup(func() { _ = l.Close() }) // runs before f.close, which waits for the loop above
}
