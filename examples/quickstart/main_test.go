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
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// asProgram is an environment variable. If it is set, the test binary runs the program.
const asProgram = "QUICKSTART_AS_PROGRAM"

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

// requireEvents checks that the program logged the events, which are regular expressions, in order.
// Each event is a line that starts with its time.
func requireEvents(t *testing.T, printed string, events ...string) {
	t.Helper()
	var logged []string
	for _, line := range strings.Split(printed, "\n") {
		if at := regexp.MustCompile(`^ *\d+\.\d ms  `).FindString(line); at != "" {
			logged = append(logged, strings.TrimPrefix(line, at))
		}
	}
	require.Len(t, logged, len(events), printed)
	for i, event := range events {
		require.Regexp(t, "^"+event, logged[i], printed)
	}
	require.Contains(t, printed, "\nEverything worked as promised.\n")
}

func TestLockSurvivesTwoKilledMasters(t *testing.T) {
	printed, status := runProgram(t)
	require.Zero(t, status, printed)
	requireEvents(t, printed,
		`replica A acquires the lock: stored on 5 of 5 masters, valid for another 2\d\.`,
		`replica B waits 1s in vain: taken on [345] of 5 masters`,
		`two of the five masters are killed`,
		`replica B waits 1s in vain: taken on 3 of 5 masters`,
		`replica A extends the lock: stored on 3 of 5 masters, valid for another 2\d\.`,
		`replica A releases the lock`,
		`replica B acquires the lock, valid for another 2\d\.`,
	)
}

func TestRunsAgainstGivenMasters(t *testing.T) {
	cluster, err := quorumtest.Start(3)
	require.NoError(t, err)
	defer func() { require.NoError(t, cluster.Close()) }()

	for range 2 { // a second run must not be affected by the first
		printed, status := runProgram(t, "-masters", strings.Join(cluster.URLs(), ","))
		require.Zero(t, status, printed)
		require.Contains(t, printed, "on 3 real masters, none of which is killed")
		requireEvents(t, printed,
			`replica A acquires the lock: stored on 3 of 3 masters, valid for another 2\d\.`,
			`replica B waits 1s in vain: taken on [23] of 3 masters`,
			`replica A extends the lock: stored on 3 of 3 masters, valid for another 2\d\.`,
			`replica A releases the lock`,
			`replica B acquires the lock, valid for another 2\d\.`,
		)
	}
	for _, m := range cluster.Masters() {
		require.Empty(t, m.Keys(), "keys left on %v", m)
	}
}

func TestUnreachableMastersExitWithStatus1(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())

	printed, status := runProgram(t, "-masters", "redis://me:hunter2@"+addr)
	require.Equal(t, 1, status, printed)
	require.Contains(t, printed, "quickstart: quorum: acquire")
	require.NotContains(t, printed, "hunter2")
}

func TestPasswordsAreNotPrinted(t *testing.T) {
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
