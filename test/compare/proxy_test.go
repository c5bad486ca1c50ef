package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

func dialThrough(t *testing.T, target string, delay time.Duration) (*proxy, net.Conn) {
	t.Helper()
	p, err := newProxy(target, delay)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return p, conn
}

func TestProxyForwardsDataAndEOF(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			p, conn := dialThrough(t, echo(t), delay)
			said := bytes.Repeat([]byte("*1\r\n$4\r\nPING\r\n"), 20_000) // more than fits into a buffer
			go func() {
				_, _ = conn.Write(said) // missing data is detected below
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			heard, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.True(t, bytes.Equal(said, heard))
			require.EqualValues(t, 20_000, p.commands.Load())
			require.NoError(t, p.close())
		})
	}
}

// TestProxyDelaysBothDirections asserts that replies are not early. How late they are depends on
// the machine.
func TestProxyDelaysBothDirections(t *testing.T) {
	const delay = 20 * time.Millisecond
	p, conn := dialThrough(t, echo(t), delay)
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
	require.NoError(t, p.close())
}

// TestProxyDelaysConcurrently sends more lines than consecutive delays would let through before the
// deadline of the connection.
func TestProxyDelaysConcurrently(t *testing.T) {
	p, conn := dialThrough(t, echo(t), 500*time.Millisecond)
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
	require.NoError(t, p.close())
}

func TestProxyCloseEndsConnections(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		p, conn := dialThrough(t, echo(t), delay)
		_, err := conn.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, p.close())
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err)
	}
}

func TestProxyClosesConnectionWithoutMaster(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	p, conn := dialThrough(t, listener.Addr().String(), 0)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, p.close())
}
