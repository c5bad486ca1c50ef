package quorumtest_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestOpen(t *testing.T) {
	locks, cluster := quorumtest.Open(t, 3, nil)
	cluster.Master(0).Stop()
	l, err := locks.TryAcquire(t.Context(), job, ttl)
	require.NoError(t, err)
	require.NoError(t, l.Release(t.Context()))
	require.Len(t, cluster.Masters(), 3)
}

// TestOpenInBubble: the Manager's clock is the masters', and nothing is left behind, although a
// client has tried so often to dial that it now waits for its master.
func TestOpenInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks, cluster := quorumtest.Open(t, 5, nil)
		l, err := locks.TryAcquire(t.Context(), job, time.Hour)
		require.NoError(t, err)
		synctest.Wait() // let the other masters, which TryAcquire does not wait for, store the key
		requireLockEndsFirst(t, cluster, l)
		cluster.Master(0).Stop()
		cluster.Master(1).Hang()
		l, err = locks.TryAcquire(t.Context(), job, ttl)
		require.NoError(t, err)
		client := cluster.Master(0).Client()
		for range client.Options().PoolSize {
			require.Error(t, client.Ping(t.Context()).Err())
		}
		require.NoError(t, l.Extend(t.Context(), ttl))
	})
}

func TestOpenUsesOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := &quorum.Options{Prefix: "app:", Fencing: true, RestartGuard: time.Minute, Clock: clock.Runtime()}
		locks, cluster := quorumtest.Open(t, 1, opts)
		l, err := locks.TryAcquire(t.Context(), job, ttl)
		require.NoError(t, err, "the masters vote")
		require.Positive(t, l.Fence())
		_, found := cluster.Master(0).Get("app:" + job)
		require.True(t, found)
		_, err = locks.TryAcquire(t.Context(), job, 2*time.Minute)
		require.ErrorContains(t, err, "restart guard")
		require.NoError(t, locks.Close(), "the test may do so itself")
	})
}

// fatal is a TB that records failures.
type fatal struct {
	messages []string
	cleanups []func()
}

func (*fatal) Helper() {}

func (f *fatal) Cleanup(cleanup func()) { f.cleanups = append(f.cleanups, cleanup) }

func (f *fatal) Errorf(format string, args ...any) {
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func TestOpenFailsTheTest(t *testing.T) {
	for text, call := range map[string]func(quorumtest.TB){
		"quorumtest: cluster needs at least 1 master, got 0":            func(t quorumtest.TB) { quorumtest.Open(t, 0, nil) },
		"quorumtest: quorum: options: AttemptTimeout -1ns is under 1ms": func(t quorumtest.TB) { quorumtest.Open(t, 1, &quorum.Options{AttemptTimeout: -1}) },
		"quorumtest: quorum: options: CloseTimeout -1ns is negative":    func(t quorumtest.TB) { quorumtest.NewFake(t, &quorum.Options{CloseTimeout: -1}) },
	} {
		var f fatal
		done := make(chan struct{})
		go func() {
			defer close(done)
			call(&f)
		}()
		<-done
		assert.Equal(t, []string{text}, f.messages)
		assert.Empty(t, f.cleanups, "nothing is left to clean up")
	}
}
