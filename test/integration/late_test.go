package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// detour makes a client send SET over a connection that the server has yet to accept, and give it up at once. Whatever
// else it sends takes the connection that was there before, which a server that was stopped reads first.
type detourHook struct {
	t      *testing.T
	master *Master
	direct atomic.Int64 // how many commands took no detour
}

var errGivenUp = errors.New("given up")

// DialHook changes nothing.
func (d *detourHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook diverts SET.
func (d *detourHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "set" {
			d.direct.Add(1)
			return next(ctx, cmd)
		}
		err := d.send(cmd.Args())
		if err == nil {
			err = errGivenUp
		}
		cmd.SetErr(err)
		return err
	}
}

// ProcessPipelineHook changes nothing: one caller alone makes no pipelines.
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

// TestReleaseIsRepeatedWhereItOvertookTheAcquire has a stopped master read the release before the acquire: it answers
// that nothing is there, and only then sets the key. Somebody has to release it again.
func TestReleaseIsRepeatedAfterOvertakingAcquire(t *testing.T) {
	ms := masters(t)[:3]
	admins := dialAll(t, ms)
	var clients []redis.UniversalClient
	for _, m := range ms {
		clients = append(clients, dial(t, m))
	}
	// A client of its own for the one that will hang, patient enough to wait for an answer to the release.
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
	require.NoError(t, admins[0].ConfigResetStat(t.Context()).Err())
	passed := route.direct.Load()

	require.NoError(t, ms[0].Signal(SIGSTOP))
	lock, err := locks.TryAcquire(t.Context(), "late", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Release(t.Context()))
	require.Eventually(t, func() bool { return route.direct.Load() > passed }, waitLimit, time.Millisecond, "no release was sent")
	require.NoError(t, ms[0].Signal(SIGCONT))

	require.Eventually(t, func() bool { return calls(t, admins[0], "set") > 0 }, waitLimit, 5*time.Millisecond,
		"the master never saw the acquire: this test tests nothing")
	requireGoneForGood(t, admins, "late")
	require.NoError(t, locks.Close())
}
