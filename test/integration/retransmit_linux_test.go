package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// inNamespace runs the calling test again in a process of its own, in a network namespace of its
// own, and returns false. In that process it returns true. Packet filters there affect nothing
// else.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "REDLOCK_TEST_NAMESPACE"
	if os.Getenv(inside) != "" {
		loopbackUp(t)
		return true
	}
	required := os.Getenv("REQUIRE_DOCKER") == "1"
	if _, err := exec.LookPath("iptables"); err != nil || os.Getuid() != 0 {
		if required {
			t.Fatalf("REQUIRE_DOCKER=1, but packets cannot be filtered: %v, user %d", err, os.Getuid())
		}
		t.Skip("packets cannot be filtered without iptables and root (set REQUIRE_DOCKER=1 to fail instead)")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := again.CombinedOutput()
	t.Logf("%s", output)
	require.NoError(t, err)
	return false
}

// loopbackUp turns on the loopback interface of a new network namespace.
func loopbackUp(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(socket)) }()
	loopback, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	require.NoError(t, unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, loopback))
	loopback.SetUint16(loopback.Uint16() | unix.IFF_UP)
	require.NoError(t, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback))
}

// filter adds (-A) or deletes (-D) a rule that drops what a local port sends.
func filter(t *testing.T, action string, port int) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "iptables", action, "OUTPUT", "-p", "tcp", "--sport", strconv.Itoa(port),
		"-j", "DROP").CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// TestRetransmittedAcquireChangesNothing makes the kernel deliver the first try of an acquire after
// everything else: the client's second try on another connection has been answered, and the lock
// was released. The client is a stock one that repeats what is not answered in time. The kernel
// keeps retransmitting what the client had written before it gave the connection up.
func TestRetransmittedAcquireChangesNothing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	proc := redisproc.Start(t, 1)[0]
	admin := redis.NewClient(&redis.Options{Addr: proc.Addr()})
	defer func() { require.NoError(t, admin.Close()) }()
	var port atomic.Int64 // of the client's latest connection
	client := redis.NewClient(&redis.Options{
		Addr: proc.Addr(), ReadTimeout: 200 * time.Millisecond, MaxRetries: 1, PoolSize: 1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				port.Store(int64(conn.LocalAddr().(*net.TCPAddr).Port))
			}
			return conn, err
		},
	})
	defer func() { require.NoError(t, client.Close()) }()
	locks, err := quorum.New([]redis.UniversalClient{client}, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, locks.Close()) }()
	warm, err := locks.TryAcquire(t.Context(), "warm", time.Minute)
	require.NoError(t, err)
	require.NoError(t, warm.Release(t.Context()))
	recordCommands(t, admin)

	first := int(port.Load())
	filter(t, "-A", first)
	lock, err := locks.TryAcquire(t.Context(), "late", time.Hour)
	require.NoError(t, err)
	require.NotEqual(t, first, int(port.Load()), "repeated on another connection")
	require.NoError(t, lock.Release(t.Context()))
	time.Sleep(2 * time.Second) // past the deadline of the acquire
	require.Equal(t, 1, receivedTimes(t, admin, "acquire", "late"))
	filter(t, "-D", first)

	require.Eventually(t, func() bool { return receivedTimes(t, admin, "acquire", "late") == 2 }, waitLimit, time.Millisecond,
		"the kernel never delivered the first try, so this test tests nothing")
	for range 100 {
		require.Zero(t, admin.Exists(t.Context(), "late").Val(), fmt.Sprint("a key for an hour, of ", lock))
		time.Sleep(10 * time.Millisecond)
	}
	assert.Zero(t, locks.Stats().Masters[0].PendingReleases)
}
