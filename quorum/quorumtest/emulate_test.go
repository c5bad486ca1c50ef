package quorumtest_test

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestLegacySetRefusesNXWithGET(t *testing.T) {
	m, client := start(t)
	setNXGet := func() error {
		return client.Do(t.Context(), "set", "k", "v", "px", 1000, "nx", "get").Err()
	}
	inScript := `return redis.call('SET', KEYS[1], 'v', 'NX', 'GET')`

	m.LegacySet(true)
	require.EqualError(t, setNXGet(), "ERR syntax error")
	require.ErrorContains(t, client.Eval(t.Context(), inScript, []string{"k"}).Err(), "ERR syntax error")
	require.Empty(t, m.Keys())
	require.NoError(t, client.Do(t.Context(), "SET", "NX", "GET", "PX", 1000).Err()) // NX is the key, GET the value
	require.NoError(t, client.Do(t.Context(), "SET", "k", "v", "NX").Err())
	require.NoError(t, client.Do(t.Context(), "SET", "k", "v", "GET").Err())
	require.Contains(t, client.Info(t.Context(), "server").Val(), "redis_version:6.")

	m.FlushAll()
	m.LegacySet(false)
	require.ErrorIs(t, setNXGet(), redis.Nil)
	requireValue(t, m, "k", "v")
	require.NotContains(t, client.Info(t.Context(), "server").Val(), "redis_version:6.")
}

func TestInfoSections(t *testing.T) {
	m, client := start(t)
	want := "run_id:" + m.RunID() + "\r\n"
	require.Len(t, m.RunID(), 40)
	require.Contains(t, client.Info(t.Context()).Val(), want)
	require.Contains(t, client.Info(t.Context(), "server").Val(), want)
	inScript, err := client.Eval(t.Context(), `return redis.call('INFO', 'server')`, nil).Text()
	require.NoError(t, err)
	require.Contains(t, inScript, want)
	require.Equal(t, "noeviction", client.InfoMap(t.Context(), "memory").Val()["Memory"]["maxmemory_policy"])
	require.Empty(t, client.Info(t.Context(), "no-such-section").Val())
}

func TestInfoReplication(t *testing.T) {
	m, client := start(t)
	want := map[string]string{
		"role":                  "master",
		"connected_slaves":      "0",
		"master_failover_state": "no-failover",
		"master_replid":         m.ReplicationID(),
		"master_replid2":        strings.Repeat("0", 40),
		"master_repl_offset":    "0",
		"second_repl_offset":    "-1",
	}
	require.Regexp(t, "^[0-9a-f]{40}$", m.ReplicationID())
	require.NotEqual(t, m.RunID(), m.ReplicationID())
	for _, args := range [][]string{{"replication"}, {"REPLICATION"}, {}, {"all"}, {"default"}, {"everything"}} {
		require.Equal(t, want, client.InfoMap(t.Context(), args...).Val()["Replication"], args)
	}
	text := client.Info(t.Context(), "replication").Val()
	require.True(t, strings.HasPrefix(text, "# Replication\r\nrole:master\r\n"), text)

	for _, memory := range []quorumtest.Memory{quorumtest.KeepMemory, quorumtest.LoseMemory} {
		before := m.ReplicationID()
		require.NoError(t, m.Restart(memory))
		require.NotEqual(t, before, m.ReplicationID())
		requireEventually(t, func() bool {
			return client.InfoMap(t.Context(), "replication").Val()["Replication"]["master_replid"] == m.ReplicationID()
		})
	}
}

// As in Redis 7, each section is returned once, in a fixed order. Redis 6.2 accepts only one
// section.
func TestInfoWithSeveralSections(t *testing.T) {
	m, client := start(t)
	ask := func(sections ...any) (string, error) {
		return client.Do(t.Context(), append([]any{"INFO"}, sections...)...).Text()
	}
	heads := func(text string) (names []string) {
		for _, section := range strings.Split(text, "\r\n\r\n") {
			name, _, _ := strings.Cut(section, "\r\n")
			names = append(names, name)
		}
		return names
	}
	for _, sections := range [][]any{
		{"server", "memory", "replication"}, {"Replication", "SERVER", "memory", "server", "no-such-section"}, {"server", "all"},
	} {
		text, err := ask(sections...)
		require.NoError(t, err)
		require.Equal(t, []string{"# Server", "# Memory", "# Replication"}, heads(text), sections)
	}
	inScript := `return redis.call('INFO', 'server', 'replication')`
	text, err := client.Eval(t.Context(), inScript, nil).Text()
	require.NoError(t, err)
	require.Equal(t, []string{"# Server", "# Replication"}, heads(text))

	m.LegacySet(true)
	_, err = ask("server", "replication")
	require.EqualError(t, err, "ERR syntax error")
	require.ErrorContains(t, client.Eval(t.Context(), inScript, nil).Err(), "ERR syntax error")
	text, err = ask("replication")
	require.NoError(t, err)
	require.Contains(t, text, m.ReplicationID())
}

func TestBlockingCommandsAreRefused(t *testing.T) {
	_, client := start(t)
	require.ErrorContains(t, client.BLPop(t.Context(), time.Second, "l").Err(), "no blocking commands")
	require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []string{"a", "b"}}).Err())
	read := &redis.XReadArgs{Streams: []string{"s", "0"}, Block: time.Second}
	require.ErrorContains(t, client.XRead(t.Context(), read).Err(), "no blocking commands")
	read.Block = -1
	require.NoError(t, client.XRead(t.Context(), read).Err())
}

// The wanted texts are prefixes of the replies of Redis 7.0.15, which end with the SHA-1 digest of
// the script.
func TestScriptErrorsHaveTheFormOfRedis7(t *testing.T) {
	m, client := start(t)
	m.Set("word", "v", 0)
	for script, want := range map[string]string{
		`return redis.call('INCR', 'word')`: "ERR value is not an integer or out of range script: " +
			"883e20b3bb8d733147d29165d16aba5c1ce16e23, on @user_script:1.",
		`return redis.call('LPUSH', 'word', 1)`: "WRONGTYPE Operation against a key holding the wrong kind of value script: ",
		`error('boom')`:                         "ERR user_script:1: boom script: ",
		`return redis.call('NOSUCH')`:           "ERR Unknown Redis command called from script script: ",
		`return redis.error_reply('MINE own')`:  "MINE own",
		`this is no Lua`:                        "ERR Error compiling script (new function): ",
	} {
		err := client.Eval(t.Context(), script, nil).Err()
		require.Error(t, err, script)
		require.Truef(t, len(err.Error()) >= len(want) && err.Error()[:len(want)] == want,
			"%s\ngot  %s\nwant %s", script, err, want)
	}
	text, err := client.Eval(t.Context(), `return '-ERR Error compiling script (new function): :1: x stack traceback: '`, nil).Text()
	require.NoError(t, err)
	require.Contains(t, text, "stack traceback")
}

// A server keeps a script that it could compile, whatever the outcome.
func TestFailedScriptStaysLoaded(t *testing.T) {
	m, client := start(t)
	for _, script := range []string{`error('it')`, `return redis.call('SET', KEYS[1], 'v')`} {
		m.Full()
		err := client.Eval(t.Context(), script, []string{"k"}).Err()
		require.Error(t, err)
		require.EqualError(t, client.EvalSha(t.Context(), digest(script), []string{"k"}).Err(), err.Error())
		m.Heal()
	}
	require.NoError(t, client.EvalSha(t.Context(), digest(`return redis.call('SET', KEYS[1], 'v')`), []string{"k"}).Err())

	const notLua = `this is no Lua`
	require.Error(t, client.Eval(t.Context(), notLua, nil).Err())
	require.ErrorContains(t, client.EvalSha(t.Context(), digest(notLua), nil).Err(), "NOSCRIPT")
	m.FailNext(1, "LOADING no")
	require.ErrorContains(t, client.Eval(t.Context(), `return 5`, nil).Err(), "LOADING")
	require.ErrorContains(t, client.EvalSha(t.Context(), digest(`return 5`), nil).Err(), "NOSCRIPT")
}

func TestScriptDigestsIgnoreCase(t *testing.T) {
	_, client := start(t)
	capital := strings.ToUpper(digest(`return 7`))
	require.NoError(t, client.ScriptLoad(t.Context(), `return 7`).Err())
	require.Equal(t, []bool{true}, client.ScriptExists(t.Context(), capital).Val())
	require.EqualValues(t, 7, client.EvalSha(t.Context(), capital, nil).Val())
}

func digest(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// miniredis would keep such an expiry, and delete the next value of the key.
func TestUnsupportedExpiryIsRefused(t *testing.T) {
	m, client := start(t)
	m.Set("k", "v", 0)
	for _, command := range []string{
		"SET k w PX 0", "SET k w EX -1", "SETEX k 0 w", "PSETEX k 0 w", "GETEX k PX 0", // refused by Redis too
		"SET k w PX 9223372036854775807", "SET k w EX 9223372036854775807", "EXPIRE k 9223372036854775807",
		"PEXPIRE k 9223372036854775807", "PEXPIREAT k 9223372036854775807", "GETEX k EX 9223372036854775807",
		"PEXPIRE k 10000000000000", "SET k w PX 10000000000000", // 317 years, too long for a time.Duration
		"SET k w PXAT 1", "SET k w EXAT 1", "GETEX k PXAT 1",
	} {
		var args []any
		for _, arg := range strings.Fields(command) {
			args = append(args, arg)
		}
		require.ErrorContains(t, client.Do(t.Context(), args...).Err(), "ERR invalid expire time in '", command)
	}
	require.Equal(t, []string{"k"}, m.Keys())
	require.Zero(t, m.TTL("k"))
	requireValue(t, m, "k", "v")

	for _, command := range []string{
		"SET PX 0", "SET k PX NX GET", "SET k PXAT", "SET k v PX 9223372036854", "PEXPIRE k 9223372036854", "PEXPIRE k 1000 GT", "GETEX k PERSIST",
	} {
		var args []any
		for _, arg := range strings.Fields(command) {
			args = append(args, arg)
		}
		require.NoError(t, client.Do(t.Context(), args...).Err(), command)
	}
	require.NoError(t, client.Do(t.Context(), "PEXPIRE", "k", "-1").Err()) // deletes the key, like EXPIREAT in the past
	require.NoError(t, client.Do(t.Context(), "SET", "other", "v", "PXAT", time.Now().Add(time.Hour).UnixMilli()).Err())
	require.Greater(t, m.TTL("other"), 50*time.Minute)
}
