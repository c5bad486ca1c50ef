package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// detourHook makes a client send acquires over a connection that the server has not accepted yet,
// and return at once. Other commands use the existing connection, which a resumed server reads
// first.
type detourHook struct {
	t      *testing.T
	master *Master
	direct atomic.Int64 // number of commands sent directly
}

var errSkipped = errors.New("reply not awaited")

// DialHook changes nothing.
func (d *detourHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook diverts acquires.
func (d *detourHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !slices.Contains(cmd.Args(), any("acquire")) {
			d.direct.Add(1)
			return next(ctx, cmd)
		}
		err := d.send(cmd.Args())
		if err == nil {
			err = errSkipped
		}
		cmd.SetErr(err)
		return err
	}
}

// ProcessPipelineHook changes nothing, because a single caller makes no pipelines.
func (d *detourHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *detourHook) send(args []any) error {
	conn, err := net.Dial("tcp", d.master.Addr())
	if err != nil {
		return err
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(args))
	for _, arg := range args {
		word := fmt.Sprint(arg)
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	_, err = conn.Write([]byte(command.String()))
	return err
}

// TestReleaseIsRepeatedAfterOvertakingAcquire makes a stopped master read the release before the
// acquire. It replies that there is no key, and then sets the key. So the library must release the
// key again.
func TestReleaseIsRepeatedAfterOvertakingAcquire(t *testing.T) {
	ms := masters(t)[:3]
	admins := dialAll(t, ms)
	var clients []redis.UniversalClient
	for _, m := range ms {
		clients = append(clients, dial(t, m))
	}
	// The master that hangs gets its own client, which waits long enough for the reply to the
	// release.
	patient := redis.NewClient(&redis.Options{Addr: ms[0].Addr(), ReadTimeout: waitLimit, MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, patient.Close()) })
	route := &detourHook{t: t, master: ms[0]}
	patient.AddHook(route)
	clients[0] = patient

	locks, err := quorum.New(clients, nil)
	require.NoError(t, err)
	defer func() { _ = locks.Close() }()
	warm, err := locks.TryAcquire(t.Context(), "warm", time.Minute)
	require.NoError(t, err)
	require.NoError(t, warm.Release(t.Context()))
	requireGoneForGood(t, admins, "warm")
	recordCommands(t, admins[0])
	passed := route.direct.Load()

	require.NoError(t, ms[0].Signal(SIGSTOP))
	lock, err := locks.TryAcquire(t.Context(), "late", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Release(t.Context()))
	require.Eventually(t, func() bool { return route.direct.Load() > passed }, waitLimit, time.Millisecond, "no release was sent")
	require.NoError(t, ms[0].Signal(SIGCONT))

	require.Eventually(t, func() bool { return received(t, admins[0], "acquire", "late") }, waitLimit, 5*time.Millisecond,
		"the master never received the acquire, so this test tests nothing")
	requireGoneForGood(t, admins, "late")
	require.NoError(t, locks.Close())
}
