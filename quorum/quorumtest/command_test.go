package quorumtest_test

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestReadCommand(t *testing.T) {
	r := bufio.NewReader(strings.NewReader(command("SET", "k", "a\r\nb", "") + "*0\r\n" + command("PING")))
	for _, want := range [][]string{{"SET", "k", "a\r\nb", ""}, nil, {"PING"}} {
		got, err := quorumtest.ReadCommand(r)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := quorumtest.ReadCommand(r)
	require.ErrorIs(t, err, io.EOF)
}

func TestReadCommandRejectsMalformedInput(t *testing.T) {
	for _, bad := range []string{
		"PING\r\n", "*-1\r\n", "*x\r\n", "*1\n$4\r\nPING\r\n", "*1\r\n:4\r\n", "*1\r\n$-1\r\n",
		"*1\r\n$4\r\nPINGxx", "*1\r\n$4\r\nPI", "*9999999\r\n", "*1\r\n$999999999999\r\n",
		"*" + strings.Repeat("1", 10_000),
	} {
		_, err := quorumtest.ReadCommand(bufio.NewReader(strings.NewReader(bad)))
		require.Error(t, err, bad)
	}
}

func FuzzReadCommand(f *testing.F) {
	f.Add(command("SET", "k", "v"))
	f.Add("*1\r\n$-1\r\n")
	f.Add("*1048576\r\n$536870912\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		args, err := quorumtest.ReadCommand(bufio.NewReader(strings.NewReader(s)))
		if err != nil {
			return
		}
		again, err := quorumtest.ReadCommand(bufio.NewReader(strings.NewReader(command(args...))))
		if err != nil || !slices.Equal(args, again) {
			t.Fatalf("%q became %q, %v", args, again, err)
		}
	})
}

func TestMalformedInputClosesOnlyThatConnection(t *testing.T) {
	m, client := start(t)
	c, err := m.Dial(t.Context(), "", "")
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\n")
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, client.Ping(t.Context()).Err())
}
