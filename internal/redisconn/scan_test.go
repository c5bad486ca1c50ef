package redisconn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
)

// scanHook is a client's hook that sees each SCAN, and may fail it.
type scanHook func(ctx context.Context, n int64) error

func (scanHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h scanHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	var n atomic.Int64
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "scan" {
			if err := h(ctx, n.Add(1)); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (scanHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func all(string) bool { return true }

// scan returns how many keys Scan visits, and how many pages.
func (s *server) scan(wanted func(string) bool) (keys, pages int, err error) {
	s.t.Helper()
	seen := map[string]bool{}
	err = s.Scan(s.t.Context(), "", wanted, func(page []string) bool {
		pages++
		for _, key := range page {
			seen[key] = true
		}
		return true
	})
	return len(seen), pages, err
}

// A page that fails is tried again, unless it is the first. Several failures in a row end the scan.
func TestFailedPagesAreRepeated(t *testing.T) {
	t.Parallel() // it waits for a server
	errLate := errors.New("late")
	for what, tt := range map[string]struct {
		fails func(n int64) bool
		err   error
	}{
		"none":         {func(int64) bool { return false }, nil},
		"the first":    {func(n int64) bool { return n == 1 }, errLate},
		"the second":   {func(n int64) bool { return n == 2 }, nil},
		"two in a row": {func(n int64) bool { return n == 2 || n == 3 }, nil},
		"every other":  {func(n int64) bool { return n%2 == 0 }, nil},
		"three":        {func(n int64) bool { return n >= 2 && n <= 4 }, errLate},
	} {
		t.Run(what, func(t *testing.T) {
			s := startServer(t, redis.Options{})
			for i := range 1000 {
				s.do("SET", fmt.Sprint("lock-", i), "token", "PX", patience.Milliseconds())
			}
			client := s.connect(&redis.Options{Addr: s.client.Options().Addr, MaxRetries: -1, MaintNotificationsConfig: quiet})
			client.AddHook(scanHook(func(_ context.Context, n int64) error {
				if tt.fails(n) {
					return errLate
				}
				return nil
			}))
			s.Master = redisconn.Masters([]redis.UniversalClient{client}, clock.Runtime(), patience)[0]
			keys, _, err := s.scan(all)
			require.ErrorIs(t, err, tt.err)
			if tt.err == nil {
				assert.Equal(t, 1000, keys)
			}
		})
	}
}

// Scan looks only at keys that are wanted, and ends when its caller does.
func TestScanLooksAtWhatIsWanted(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for i := range 300 {
		s.do("SET", fmt.Sprint("lock-", i), "token", "PX", patience.Milliseconds())
	}
	s.do("CONFIG", "RESETSTAT")
	keys, pages, err := s.scan(func(key string) bool { return strings.HasSuffix(key, "7") })
	require.NoError(t, err)
	assert.Equal(t, 30, keys)
	assert.Greater(t, pages, 2)
	stats := s.do("INFO", "commandstats").(string)
	assert.Contains(t, stats, "cmdstat_pttl:calls=30,")
	assert.Contains(t, stats, "cmdstat_strlen:calls=30,")
	pages = 0
	require.NoError(t, s.Scan(t.Context(), "", all, func([]string) bool { pages++; return false }))
	assert.Equal(t, 1, pages)
}

// A client that ignores its context must not keep anybody, and few calls may be stuck in it.
func TestStuckCallsAsideAreBounded(t *testing.T) {
	release := make(chan struct{})
	var stuck atomic.Int64
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaintNotificationsConfig: quiet})
	client.AddHook(scanHook(func(context.Context, int64) error {
		stuck.Add(1)
		<-release
		return errors.New("released")
	}))
	m := redisconn.Masters([]redis.UniversalClient{client}, clock.Runtime(), time.Millisecond)[0]
	for range 20 {
		err := m.Scan(t.Context(), "", all, nil)
		require.EqualError(t, err, "no answer within 1ms")
	}
	assert.EqualValues(t, 4, stuck.Load())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Scan(ctx, "", all, nil), context.Canceled)
	close(release)
	require.NoError(t, client.Close())
}
