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

// TestRepliesMatchRedis sends the same pipelines to a master and to a redis-server, and compares
// all replies until the connection ends.
func TestRepliesMatchRedis(t *testing.T) {
	server := redisproc.Start(t, 1)[0]
	m, _ := start(t)
	for name, commands := range map[string][]string{
		"QUIT ends a pipeline": {"INCR n", "QUIT", "INCR n"},

		"script that fails":        {"EVAL error('it') 0", "EVALSHA " + digest("error('it')") + " 0"},
		"script without number":    {"EVAL return(11) x", "EVALSHA " + digest("return(11)") + " 0"},
		"upper-case digest":        {"SCRIPT LOAD return(7)", "EVALSHA " + strings.ToUpper(digest("return(7)")) + " 0"},
		"upper-case digest exists": {"SCRIPT LOAD return(7)", "SCRIPT EXISTS " + strings.ToUpper(digest("return(7)"))},
		"unknown in transaction":   {"MULTI", "SET a b", "NOSUCH", "EXEC", "GET a"},
		"invalid in transaction":   {"MULTI", "SET a b", "GET", "EXEC", "GET a"},

		"expiry not positive":   {"SET k v PX 0", "SET k v EX -1", "GET k"},
		"expiry too large":      {"SET k v PX 9223372036854775807", "SET k v EX 9223372036854775807", "GET k"},
		"PEXPIRE in the past":   {"SET p v", "PEXPIRE p -1", "GET p", "SET p v", "PTTL p"},
		"PEXPIREAT in the past": {"SET p v", "PEXPIREAT p 1", "GET p", "SET p v", "PTTL p"},
		"PTTL":                  {"SET p v PX 5000000000", "PEXPIRE p 60000000000 LT", "PEXPIRE p 1000 GT", "PERSIST p", "PTTL p", "PTTL none"},

		"INFO replication": {"INFO replication"},
	} {
		batch := ""
		for _, c := range append(commands, "QUIT") {
			batch += command(strings.Fields(c)...)
		}
		require.Equal(t, converse(t, server.Addr(), batch), converse(t, m.Addr(), batch), name)
	}
}

// ids matches what differs between any two servers, and the fields that a master omits from INFO.
var ids = regexp.MustCompile(`\$\d+\r\n# Replication|master_replid:[0-9a-f]{40}|(repl_backlog_\w+:\d+\r\n)+`)

// errorText matches the part of an error that clients do not use to tell errors apart.
var errorText = regexp.MustCompile(`(?m)^-(ERR \w+|\w+) .*\r$`)

func converse(t *testing.T, addr, batch string) string {
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
