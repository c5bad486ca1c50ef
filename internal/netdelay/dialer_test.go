package netdelay_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/netdelay"
)

// TestDialerDelaysBothDirections asserts that replies are complete and not early.
func TestDialerDelaysBothDirections(t *testing.T) {
	const delay = 5 * time.Millisecond
	d, err := netdelay.NewDialer(delay)
	require.NoError(t, err)
	conn, err := d.Dial(t.Context(), "tcp", echo(t))
	require.NoError(t, err)
	for _, size := range []int{1, 100_000} {
		said := bytes.Repeat([]byte("x"), size)
		start := time.Now()
		_, err := conn.Write(said)
		require.NoError(t, err)
		heard := make([]byte, size)
		_, err = io.ReadFull(conn, heard)
		require.NoError(t, err)
		require.Equal(t, said, heard)
		require.GreaterOrEqual(t, time.Since(start), 2*delay)
	}
	require.NoError(t, conn.Close())
	_, err = conn.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	d.Close()
}

func TestDialerFailsWithoutServer(t *testing.T) {
	d, err := netdelay.NewDialer(time.Millisecond)
	require.NoError(t, err)
	_, err = d.Dial(t.Context(), "tcp", "127.0.0.1:0")
	require.Error(t, err)
	d.Close()
}
