package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sentBytes is a stream that contains sentCommands commands.
const sentBytes = "*1\r\n$4\r\nPING\r\n" +
	"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n" + // a value that looks like a command
	"*2\r\n$3\r\nGET\r\n$0\r\n\r\n" +
	"*0\r\n" + // an empty array is no command
	"PING\r\n" + // inline
	"\r\n" +
	"*4\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n1\r\n$1\r\nk\r\n"

const sentCommands = 5

func counted(pieces ...string) (n int) {
	c := &respCounter{commands: func() { n++ }}
	for _, piece := range pieces {
		_, _ = c.Write([]byte(piece)) // never fails
	}
	return n
}

func TestRespCounterCountsCommandsInAnyPieces(t *testing.T) {
	require.Equal(t, sentCommands, counted(sentBytes))
	require.Equal(t, sentCommands, counted(strings.Split(sentBytes, "")...))
	for i := range sentBytes {
		require.Equal(t, sentCommands, counted(sentBytes[:i], sentBytes[i:]), "split after %d bytes", i)
	}
}

func TestRespCounterCountsOnlyCompleteCommands(t *testing.T) {
	const command = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
	for i := range command {
		require.Zero(t, counted(command[:i]), "%q", command[:i])
	}
}

// FuzzRespCounter looks for streams on which the counter panics, or whose count depends on where
// they are split.
func FuzzRespCounter(f *testing.F) {
	f.Add(sentBytes, 17)
	f.Add("*2\r\n$-1\r\n$x\r\n*", 3)
	f.Add("*\r\n$\r\n", 1)
	f.Fuzz(func(t *testing.T, stream string, at int) {
		at = max(0, min(at, len(stream)))
		require.Equal(t, counted(stream), counted(stream[:at], stream[at:]))
	})
}
