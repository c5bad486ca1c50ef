package quorumtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Redis 7.0.15 refuses the same commands in all these states except the last, which it does not
// know.
func TestFailRefusesTheCommandsThatRedisRefuses(t *testing.T) {
	type verdicts = map[string]bool // whether a command works
	for text, works := range map[string]verdicts{
		"OOM command not allowed when used memory > 'maxmemory'.": {
			"SET": false, "INCR": false, "DEL": true, "PEXPIRE": true, "GET": true, "PING": true,
			"EVAL reads": true, "EVAL writes": false, "EVAL frees": true, "PUBLISH": true, "INFO": true,
		},
		"READONLY You can't write against a read only replica.": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": true, "PING": true,
			"EVAL reads": true, "EVAL writes": false, "EVAL frees": false, "PUBLISH": true, "INFO": true,
		},
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": true, "PING": false,
			"EVAL reads": true, "EVAL writes": false, "EVAL frees": false, "PUBLISH": true, "INFO": true,
		},
		"LOADING Redis is loading the dataset in memory": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": false, "PING": false,
			"EVAL reads": false, "EVAL writes": false, "EVAL frees": false, "PUBLISH": true, "INFO": true,
		},
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": false, "PING": false,
			"EVAL reads": false, "EVAL writes": false, "EVAL frees": false, "PUBLISH": false, "INFO": false,
		},
		"NOAUTH Authentication required.": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": false, "PING": false,
			"EVAL reads": false, "EVAL writes": false, "EVAL frees": false, "PUBLISH": false, "INFO": false,
		},
		"WHATEVER else": {
			"SET": false, "INCR": false, "DEL": false, "PEXPIRE": false, "GET": false, "PING": false,
			"EVAL reads": false, "EVAL writes": false, "EVAL frees": false, "PUBLISH": false, "INFO": false,
		},
	} {
		code, _, _ := strings.Cut(text, " ")
		t.Run(code, func(t *testing.T) { requireVerdicts(t, text, works) })
	}
}

// requireVerdicts requires that a master with the error text refuses exactly the commands that
// should not work.
func requireVerdicts(t *testing.T, text string, works map[string]bool) {
	t.Helper()
	code, _, _ := strings.Cut(text, " ")
	m, client := start(t)
	// A new client, so that the error also applies to its connection setup.
	fresh := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1})
	defer fresh.Close()
	m.Fail(text)
	for _, client := range []*redis.Client{client, fresh} {
		for name, command := range namedCommands() {
			m.Set("k", "1", time.Minute)
			err := command(t.Context(), client)
			if works[name] {
				require.NoError(t, err, name)
			} else {
				require.ErrorContains(t, err, text, name)
				require.True(t, redis.HasErrorPrefix(err, code), "%s: %v", name, err)
				v, _ := m.Get("k")
				require.Equal(t, "1", v, name)
			}
		}
	}
	m.Fail("")
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
}

func namedCommands() map[string]func(context.Context, *redis.Client) error {
	key := []string{"k"}
	return map[string]func(context.Context, *redis.Client) error{
		"SET":     func(ctx context.Context, c *redis.Client) error { return c.Set(ctx, "k", "2", 0).Err() },
		"INCR":    func(ctx context.Context, c *redis.Client) error { return c.Incr(ctx, "k").Err() },
		"DEL":     func(ctx context.Context, c *redis.Client) error { return c.Del(ctx, "k").Err() },
		"PEXPIRE": func(ctx context.Context, c *redis.Client) error { return c.PExpire(ctx, "k", time.Hour).Err() },
		"GET":     func(ctx context.Context, c *redis.Client) error { return c.Get(ctx, "k").Err() },
		"PING":    func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() },
		"PUBLISH": func(ctx context.Context, c *redis.Client) error { return c.Publish(ctx, "c", "m").Err() },
		"INFO":    func(ctx context.Context, c *redis.Client) error { return c.Info(ctx, "server").Err() },
		"EVAL reads": func(ctx context.Context, c *redis.Client) error {
			return c.Eval(ctx, `redis.call('PING'); return redis.call('GET', KEYS[1])`, key).Err()
		},
		"EVAL writes": func(ctx context.Context, c *redis.Client) error {
			return c.Eval(ctx, `return redis.call('SET', KEYS[1], '2')`, key).Err()
		},
		"EVAL frees": func(ctx context.Context, c *redis.Client) error {
			return c.Eval(ctx, `return redis.call('DEL', KEYS[1])`, key).Err()
		},
	}
}

func TestFullMasterRefusesOnlyFirstWriteOfScript(t *testing.T) {
	m, client := start(t)
	m.Full()
	caught := `local r = redis.pcall('SET', KEYS[1], 'v'); return r.err`
	got, err := client.Eval(t.Context(), caught, []string{"k"}).Text()
	require.NoError(t, err)
	require.Contains(t, got, "OOM ")
	// As on a real server, a script continues once it has written.
	got, err = client.Eval(t.Context(), `redis.call('DEL', KEYS[1]); return redis.call('SET', KEYS[1], 'v')`,
		[]string{"k"}).Text()
	require.NoError(t, err)
	require.Equal(t, "OK", got)
	require.Error(t, client.Eval(t.Context(), `return redis.call('SET', KEYS[1], 'w')`, []string{"k"}).Err())
	requireValue(t, m, "k", "v")
	m.Heal()
	require.NoError(t, client.Set(t.Context(), "k", "w", 0).Err())
}

func TestFailNextCountsOnlyRefusedRequests(t *testing.T) {
	m, client := start(t)
	m.FailNext(2, "OOM no")
	require.ErrorIs(t, client.Get(t.Context(), "k").Err(), redis.Nil)
	require.Error(t, client.Set(t.Context(), "k", "v", 0).Err())
	require.NoError(t, client.Del(t.Context(), "k").Err())
	require.Error(t, client.Eval(t.Context(), `return redis.call('SET', 'k', 'v')`, nil).Err())
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
	m.FailNext(1, "")
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
}

// It must not depend on the state of the connection pool which request fails.
func TestFailNextIgnoresConnectionSetup(t *testing.T) {
	m, _ := start(t)
	for _, text := range []string{"NOAUTH Authentication required.", "BUSY running", "WHATEVER else"} {
		fresh := redis.NewClient(m.Options())
		m.FailNext(1, text)
		require.EqualError(t, fresh.Get(t.Context(), "k").Err(), text)
		require.ErrorIs(t, fresh.Get(t.Context(), "k").Err(), redis.Nil)
		require.NoError(t, fresh.Close())
	}
}

// As in Redis, EXEC fails if a command of the transaction could not be queued.
func TestRefusedCommandAbortsTransaction(t *testing.T) {
	m, client := start(t)
	transact := func() (multi, set, exec error) {
		conn := client.Conn()
		defer conn.Close()
		multi = conn.Do(t.Context(), "MULTI").Err()
		require.NoError(t, conn.Do(t.Context(), "GET", "other").Err())
		set = conn.Do(t.Context(), "SET", "k", "v").Err()
		exec = conn.Do(t.Context(), "EXEC").Err()
		require.ErrorContains(t, conn.Do(t.Context(), "EXEC").Err(), "EXEC without MULTI")
		return multi, set, exec
	}
	m.Full()
	multi, set, exec := transact()
	require.NoError(t, multi)
	require.ErrorContains(t, set, "OOM ")
	require.ErrorContains(t, exec, "EXECABORT ")
	m.Heal()
	multi, set, exec = transact()
	require.NoError(t, errors.Join(multi, set, exec))
	requireValue(t, m, "k", "v")
}

func TestRefusedExecEndsTransaction(t *testing.T) {
	m, client := start(t)
	conn := client.Conn()
	defer conn.Close()
	require.NoError(t, conn.Do(t.Context(), "MULTI").Err())
	require.NoError(t, conn.Do(t.Context(), "SET", "k", "v").Err())
	m.FailNext(1, "BUSY running a script")
	require.EqualError(t, conn.Do(t.Context(), "EXEC").Err(), "EXECABORT Transaction discarded because of: BUSY running a script")
	require.ErrorContains(t, conn.Do(t.Context(), "EXEC").Err(), "EXEC without MULTI")
	require.Empty(t, m.Keys())
	require.NoError(t, conn.Do(t.Context(), "MULTI").Err())
}
