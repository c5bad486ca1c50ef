package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/leaktest"
)

// asProgram is an environment variable. If it is set, the test binary runs the program.
const asProgram = "SERVICE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	leaktest.Main(m)
}

// program returns the program as a separate process, which is not yet started.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// runProgram returns everything that the program printed, and its exit status.
func runProgram(t *testing.T, args ...string) (printed string, status int) {
	t.Helper()
	cmd := program(t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// requireLines checks that the program printed lines that match, in this order, and possibly others
// between them.
func requireLines(t *testing.T, printed string, lines ...string) {
	t.Helper()
	rest := strings.Split(printed, "\n")
	for _, line := range append(lines, `Everything worked as promised\.`) {
		found := false
		for len(rest) > 0 && !found {
			found = regexp.MustCompile(`^( *\d+\.\d ms  )?` + line + `$`).MatchString(rest[0])
			rest = rest[1:]
		}
		require.True(t, found, "no line %s in\n%s", line, printed)
	}
}

func TestDemonstrationShowsWaitsHoldsAndLosses(t *testing.T) {
	t.Parallel()
	printed, status := runProgram(t)
	require.Zero(t, status, printed)
	requireLines(t, printed,
		`three requests for alice and one for bob, all at once: .*`,
		`a long report for carol is being built; her lock is held by web-1:8080 since [0-9TZ:-]+, expires in [12]\S*s, 0 waiting`,
		`another request for carol waits in vain, and gets a 409 Conflict`,
		`three of the five masters are stopped`,
		`the replicas are not ready`,
		`carol's lock is lost, so her report is stopped; dave's cannot even begin`,
		`the masters are back, and a report for carol is built`,
		`web-1:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"} 3`,
		`web-2:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"} 3`,
		`web-2:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="no_quorum"} 1`,
		`web-2:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="wait_exceeded"} 1`,
		`web-1:8080  redlock_acquire_wait_seconds_sum{lock="user",outcome="acquired"} \d\.\d+`,
		`web-1:8080  redlock_hold_seconds_count{lock="user",outcome="lost_expired"} 1`,
		`web-1:8080  redlock_hold_seconds_count{lock="user",outcome="released"} 2`,
		`web-2:8080  redlock_hold_seconds_count{lock="user",outcome="released"} 3`,
		`web-1:8080  redlock_hold_seconds_sum{lock="user",outcome="lost_expired"} \d\.\d+`,
		`web-1:8080  redlock_losses_total{lock="user",reason="expired"} 1`,
		`web-1:8080  redlock_renewals_failed_total{lock="user"} \d+`,
		`web-1:8080  redlock_master_stops_total{master="\S+"} 1`,
	)
	require.Regexp(t, `log: level=ERROR msg="lock lost" lock=user:carol-\w{8} token=[\w-]{6}…@web-1:8080 `, printed)
}

func TestRunsAgainstGivenMasters(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	for range 2 { // a second run must not be affected by the first
		printed, status := runProgram(t, "-masters", strings.Join(cluster.URLs(), ","))
		require.Zero(t, status, printed)
		requireLines(t, printed,
			`Two replicas build reports, .* on 5 real masters, none of which is stopped\.`,
			`three requests for alice and one for bob, all at once: .*`,
			`web-1:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"} 2`,
			`web-2:8080  redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"} 2`,
			`web-1:8080  redlock_hold_seconds_count{lock="user",outcome="released"} 2`,
			`web-2:8080  redlock_hold_seconds_count{lock="user",outcome="released"} 2`,
		)
		require.NotContains(t, printed, "redlock_losses_total")
	}
	for _, m := range cluster.Masters() {
		for _, key := range m.Keys() {
			require.NotRegexp(t, "^user:", key, "keys left on %v", m)
		}
	}
}

func TestServesUntilItIsTerminated(t *testing.T) {
	t.Parallel()
	cmd := program(t, "-listen", "127.0.0.1:0", "-owner", "web-9:8080")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	var posted errgroup.Group
	var got response
	posted.Go(func() (err error) {
		got, err = send(t.Context(), "POST", url+"/users/alice/reports?pages=50")
		return err
	})
	require.Eventually(t, func() bool {
		lock, err := send(t.Context(), "GET", url+"/users/alice/lock")
		return err == nil && strings.HasPrefix(lock.body, "held by web-9:8080 since ")
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, posted.Wait())
	require.Equal(t, response{http.StatusCreated, "report 1", ""}, got)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}

func TestUnreachableMastersExitWithStatus1(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())

	printed, status := runProgram(t, "-masters", "redis://me:hunter2@"+addr)
	require.Equal(t, 1, status, printed)
	require.Contains(t, printed, "service: GET /readyz: got 503")
	require.NotContains(t, printed, "hunter2")
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"redis://me:hunter2@127.0.0.1:1"},
		{"-masters", "redis://me:hunter2@127.0.0.1:port"},
		{"-masters", "127.0.0.1:1?hunter2"},
		{"-listen", "127.0.0.1:0", "-masters", "redis://me:hunter2@127.0.0.1:port"},
	} {
		printed, status := runProgram(t, args...)
		require.NotZero(t, status, printed)
		require.NotEmpty(t, printed)
		require.NotContains(t, printed, "hunter2")
	}
}
