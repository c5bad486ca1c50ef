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

// Replies of a master that does all it is asked.
const (
	nilReply  = "$-1\r\n"
	okReply   = "+OK\r\n"
	oneReply  = ":1\r\n"
	helloless = "-ERR unknown command 'hello'\r\n"
)

// fake is a server that says on the wire whatever a test wants: what embedded
// masters, being right, never say.
type fake struct {
	// answer returns the reply to a command, and "" to keep silent.
	answer func(args []string) string

	mu       sync.Mutex // guards all below
	commands [][]string
	conns    []net.Conn
	serving  sync.WaitGroup
	ended    chan struct{} // gets a value whenever a connection has ended
}

// newFake returns a fake that behaves, where its answer is nil or returns
// behaved's reply.
func newFake(t *testing.T, answer func(args []string) string) *fake {
	t.Helper()
	if answer == nil {
		answer = behaved
	}
	f := &fake{answer: answer, ended: make(chan struct{}, 1000)}
	t.Cleanup(f.close)
	return f
}

// behaved answers as a master that grants, keeps and releases everything.
func behaved(args []string) string {
	switch strings.ToLower(args[0]) {
	case "hello":
		return helloless
	case "set":
		return nilReply
	case "eval", "evalsha":
		return oneReply
	}
	return okReply
}

// setUp tells whether a command is one that clients set a connection up with.
func setUp(args []string) bool {
	return slices.Contains([]string{"hello", "auth", "select", "client"}, strings.ToLower(args[0]))
}

func (f *fake) close() {
	f.mu.Lock()
	for _, c := range f.conns {
		_ = c.Close() // its client may have closed it already
	}
	f.mu.Unlock()
	f.serving.Wait()
}

// dial is an Options.Dialer that leads to the fake without a socket.
func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	f.serve(server)
	return client, nil
}

// client returns a client of the fake without a socket. The test closes it.
func (f *fake) client(addr string, change func(*redis.Options)) *redis.Client {
	opts := &redis.Options{
		Addr: addr, Dialer: f.dial, MaxRetries: -1, DialerRetries: 1, Protocol: 2,
		DisableIdentity: true, ContextTimeoutEnabled: true, MaintNotificationsConfig: quiet,
	}
	if change != nil {
		change(opts)
	}
	return redis.NewClient(opts)
}

func (f *fake) serve(c net.Conn) {
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	// A client does not read before all of its pipeline is written, and a connection
	// without a socket has no buffers.
	replies := make(chan string, 1<<12)
	f.serving.Go(func() {
		for reply := range replies {
			if reply == "" {
				continue
			}
			if _, err := io.WriteString(c, reply); err != nil {
				_ = c.Close() // then nothing is read there any more
			}
		}
	})
	f.serving.Go(func() {
		defer func() {
			_ = c.Close() // its client may have closed it already
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

// sent returns the commands that have arrived.
func (f *fake) sent() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

// listen makes the fake reachable through a socket, and returns its address.
func (f *fake) listen(t *testing.T, network string) string {
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

// listenTLS is listen with a certificate that no client has a reason to trust.
func (f *fake) listenTLS(t *testing.T) string {
	t.Helper()
	donor := httptest.NewTLSServer(nil)
	donor.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: donor.TLS.Certificates})
	require.NoError(t, err)
	f.accept(t, l)
	return l.Addr().String()
}

func (f *fake) accept(t *testing.T, l net.Listener) {
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
	t.Cleanup(func() { _ = l.Close() }) // before the fake's own close, which waits for it
}
