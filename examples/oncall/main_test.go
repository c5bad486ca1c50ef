package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// asProgram is an environment variable. If it is set, the test binary runs the program.
const asProgram = "ONCALL_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	leaktest.Main(m)
}

// runProgram runs the program as a separate process. It returns everything that the program
// printed, and its exit status.
func runProgram(t *testing.T, args ...string) (printed string, status int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// story is what each of the three says, as regular expressions, in order. One does not wait for the
// other.
var story = map[string][]string{
	"operator": {
		`one lock is older than 1s: "oncall-\w{8}:nightly-mail", held by web-1:4711 since \d\d:\d\d:\d\d \([12]\.\d+s\), expires in [123](\.\d+)?s, 1 waiting`,
		`redis-cli GET oncall-\w{8}:nightly-mail: "[\w-]{30}@web-1:4711"`,
		`breaks the lock; web-1:4711 will find out within 1s`,
		`no lock stands anymore`,
	},
	"web-1:4711": {
		`holds the lock`,
		`the lock was broken, so the job stops`,
		`quorum: do "oncall-\w{8}:nightly-mail": lock lost: a majority of the masters stores another token or none; the function returned: context canceled`,
	},
	"web-1:4711: event": { // delivered at about the same time
		`lock lost lock=oncall-\w{8}:nightly-mail token=[\w-]{6}…@web-1:4711 held=\S+ error=quorum: lock lost: a majority of the masters stores another token or none`,
	},
	"web-2:4712": {
		`holds the lock`,
		`the job is done`,
	},
}

// requireStory checks that the program printed the story, with the time of each event.
func requireStory(t *testing.T, printed string) {
	t.Helper()
	told := map[string][]string{}
	line := regexp.MustCompile(`(?m)^ *\d+\.\d ms  (operator|web-\d:\d+(?:: event)?): (.*)$`)
	for _, m := range line.FindAllStringSubmatch(printed, -1) {
		told[m[1]] = append(told[m[1]], m[2])
	}
	for who, events := range story {
		require.Len(t, told[who], len(events), printed)
		for i, event := range events {
			require.Regexp(t, "^"+event+"$", told[who][i], printed)
		}
	}
	require.Less(t, strings.Index(printed, "operator: breaks"), strings.Index(printed, "web-2:4712: holds"), printed)
	require.Contains(t, printed, "\nEverything worked as promised.\n")
}

func TestOperatorBreaksLockOfJobThatHangs(t *testing.T) {
	t.Parallel()
	printed, status := runProgram(t)
	require.Zero(t, status, printed)
	require.Contains(t, printed, "on 5 embedded masters.")
	requireStory(t, printed)
}

func TestRunsAgainstGivenMasters(t *testing.T) {
	t.Parallel()
	cluster, err := quorumtest.Start(3)
	require.NoError(t, err)
	defer func() { require.NoError(t, cluster.Close()) }()
	for _, m := range cluster.Masters() {
		m.Set("another", "lock", time.Hour) // it must not be broken
	}
	for range 2 { // a second run must not be affected by the first
		printed, status := runProgram(t, "-masters", strings.Join(cluster.URLs(), ","))
		require.Zero(t, status, printed)
		require.Contains(t, printed, "on 3 real masters.")
		requireStory(t, printed)
	}
	for _, m := range cluster.Masters() {
		for _, key := range m.Keys() {
			require.NotRegexp(t, "^oncall-", key, "left on %v", m)
		}
		require.Contains(t, m.Keys(), "another")
	}
}

// TestRunsOnRealServers: what redis-cli would print is what a server stores.
func TestRunsOnRealServers(t *testing.T) {
	t.Parallel()
	var urls []string
	for _, m := range redisproc.Start(t, 3) {
		urls = append(urls, m.URL())
	}
	printed, status := runProgram(t, "-masters", strings.Join(urls, ","))
	require.Zero(t, status, printed)
	requireStory(t, printed)
}

func TestUnreachableMastersExitWithStatus1(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())

	printed, status := runProgram(t, "-masters", "redis://me:hunter2@"+addr)
	require.Equal(t, 1, status, printed)
	require.Contains(t, printed, "oncall: quorum: check: ")
	require.NotContains(t, printed, "hunter2")
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"redis://me:hunter2@127.0.0.1:1"},
		{"-masters", "redis://me:hunter2@127.0.0.1:port"},
		{"-masters", "127.0.0.1:1?hunter2"},
	} {
		printed, status := runProgram(t, args...)
		require.NotZero(t, status, printed)
		require.NotEmpty(t, printed)
		require.NotContains(t, printed, "hunter2")
	}
}
