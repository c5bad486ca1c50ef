package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/quorumlock/redlock/internal/freeport"
	"github.com/stretchr/testify/require"
)

func TestPickedPortCanBeListenedOn(t *testing.T) {
	port, err := freeport.Pick()
	require.NoError(t, err)
	require.Less(t, port, 32768, "in the range of outgoing connections")

	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
