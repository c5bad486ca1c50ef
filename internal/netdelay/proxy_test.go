package netdelay_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/netdelay"
)

// echo starts a server that echoes everything until the test ends.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c) // one connection at a time
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	return listener.Addr().String()
}

func dialThrough(t *testing.T, target string, delay time.Duration, tap func() io.Writer) (*netdelay.Proxy, net.Conn) {
	t.Helper()
	p, err := netdelay.New(target, delay, tap)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return p, conn
}

func TestProxyForwardsDataAndEOF(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			var tapped bytes.Buffer
			p, conn := dialThrough(t, echo(t), delay, func() io.Writer { return &tapped })
			said := bytes.Repeat([]byte("*1\r\n$4\r\nPING\r\n"), 20_000) // more than fits into a buffer
			go func() {
				_, _ = conn.Write(said) // missing data is detected below
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			heard, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.True(t, bytes.Equal(said, heard))
			require.NoError(t, p.Close())
			require.True(t, bytes.Equal(said, tapped.Bytes()), "the tap is shown what the client sends")
		})
	}
}

// TestProxyDelaysBothDirections asserts that replies are not early. How late they are depends on
// the machine.
func TestProxyDelaysBothDirections(t *testing.T) {
	const delay = 20 * time.Millisecond
	p, conn := dialThrough(t, echo(t), delay, nil)
	answers := bufio.NewReader(conn)
	for range 3 {
		start := time.Now()
		_, err := conn.Write([]byte("x\n"))
		require.NoError(t, err)
		answer, err := answers.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "x\n", answer)
		require.GreaterOrEqual(t, time.Since(start), 2*delay)
	}
	require.NoError(t, p.Close())
}

// TestProxyDelaysConcurrently sends more lines than consecutive delays would let through before the
// deadline of the connection.
func TestProxyDelaysConcurrently(t *testing.T) {
	p, conn := dialThrough(t, echo(t), 500*time.Millisecond, nil)
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	answers := bufio.NewReader(conn)
	for range 30 {
		_, err := conn.Write([]byte("x\n"))
		require.NoError(t, err)
		time.Sleep(time.Millisecond) // so that each line is a separate packet
	}
	for range 30 {
		_, err := answers.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, p.Close())
}

func TestProxyCloseEndsConnections(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		p, conn := dialThrough(t, echo(t), delay, nil)
		_, err := conn.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, p.Close())
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err)
	}
}

func TestProxyClosesConnectionWithoutMaster(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	p, conn := dialThrough(t, listener.Addr().String(), 0, nil)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, p.Close())
}
