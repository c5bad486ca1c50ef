package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/quorumlock/redlock/internal/freeport"
	"github.com/stretchr/testify/require"
)

func TestPickReturnsUsablePortBelowEphemeralRange(t *testing.T) {
	port, err := freeport.Pick()
	require.NoError(t, err)
	require.Less(t, port, 32768, "the port is in the ephemeral range")

	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
