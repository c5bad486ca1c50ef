package quorumtest_test

import (
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
)

// TestLikeARealServer sends the same to a master and to a redis-server, in one go as a pipeline, and
// compares what they answer until the connection ends.
func TestLikeARealServer(t *testing.T) {
	server := redisproc.Start(t, 1)[0]
	m, _ := start(t)
	for name, commands := range map[string][]string{
		"QUIT ends a pipeline": {"INCR n", "QUIT", "INCR n"},

		"script that raised":       {"EVAL error('it') 0", "EVALSHA " + digest("error('it')") + " 0"},
		"script with no number":    {"EVAL return(11) x", "EVALSHA " + digest("return(11)") + " 0"},
		"digest in capitals":       {"SCRIPT LOAD return(7)", "EVALSHA " + strings.ToUpper(digest("return(7)")) + " 0"},
		"capital digests exist":    {"SCRIPT LOAD return(7)", "SCRIPT EXISTS " + strings.ToUpper(digest("return(7)"))},
		"unknown in a transaction": {"MULTI", "SET a b", "NOSUCH", "EXEC", "GET a"},
		"wrong in a transaction":   {"MULTI", "SET a b", "GET", "EXEC", "GET a"},

		"expiry of nothing":         {"SET k v PX 0", "SET k v EX -1", "GET k"},
		"expiry beyond all numbers": {"SET k v PX 9223372036854775807", "SET k v EX 9223372036854775807", "GET k"},
		"PEXPIRE of the past":       {"SET p v", "PEXPIRE p -1", "GET p", "SET p v", "PTTL p"},
		"PEXPIREAT of the past":     {"SET p v", "PEXPIREAT p 1", "GET p", "SET p v", "PTTL p"},
		"PTTL":                      {"SET p v PX 5000000000", "PEXPIRE p 60000000000 LT", "PEXPIRE p 1000 GT", "PERSIST p", "PTTL p", "PTTL none"},

		"INFO replication": {"INFO replication"},
	} {
		batch := ""
		for _, c := range append(commands, "QUIT") {
			batch += command(strings.Fields(c)...)
		}
		require.Equal(t, conversation(t, server.Addr(), batch), conversation(t, m.Addr(), batch), name)
	}
}

// ids are what no two servers have in common; what follows is what a master leaves out of INFO.
var ids = regexp.MustCompile(`\$\d+\r\n# Replication|master_replid:[0-9a-f]{40}|(repl_backlog_\w+:\d+\r\n)+`)

// errorText is what clients do not tell errors apart by.
var errorText = regexp.MustCompile(`(?m)^-(ERR \w+|\w+) .*\r$`)

func conversation(t *testing.T, addr, batch string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(c, batch)
	require.NoError(t, err)
	replies, err := io.ReadAll(c)
	require.NoError(t, err)
	return errorText.ReplaceAllString(ids.ReplaceAllString(string(replies), ""), "-$1")
}
