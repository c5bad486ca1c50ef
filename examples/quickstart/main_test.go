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

// asProgram makes the test binary be the program.
const asProgram = "QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	leaktest.Main(m)
}

// program runs the quick start as a process of its own and returns all that it
// printed, and its exit status.
func program(t *testing.T, args ...string) (printed string, status int) {
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

// requireStory checks that the events, regular expressions, are told one after
// the other, each on a line of its own that begins with its time.
func requireStory(t *testing.T, printed string, events ...string) {
	t.Helper()
	var told []string
	for _, line := range strings.Split(printed, "\n") {
		if at := regexp.MustCompile(`^ *\d+\.\d ms  `).FindString(line); at != "" {
			told = append(told, strings.TrimPrefix(line, at))
		}
	}
	require.Len(t, told, len(events), printed)
	for i, event := range events {
		require.Regexp(t, "^"+event, told[i], printed)
	}
	require.Contains(t, printed, "\nAll as promised.\n")
}

func TestEmbeddedMasters(t *testing.T) {
	printed, status := program(t)
	require.Zero(t, status, printed)
	requireStory(t, printed,
		`replica A takes it; it is on 5 of the 5 masters, valid for another 2\d\.`,
		`replica B has waited 1s in vain: taken, say [345] of the 5 masters`,
		`two of the five masters are killed`,
		`replica B has waited 1s in vain: taken, say 3 of the 5 masters`,
		`replica A extends it; it is on 3 of the 5 masters, valid for another 2\d\.`,
		`replica A releases it`,
		`replica B takes it, valid for another 2\d\.`,
	)
}

func TestMastersOfOnesOwn(t *testing.T) {
	cluster, err := quorumtest.Start(3)
	require.NoError(t, err)
	defer func() { require.NoError(t, cluster.Close()) }()

	for range 2 { // reruns do not get in each other's way
		printed, status := program(t, "-masters", strings.Join(cluster.URLs(), ","))
		require.Zero(t, status, printed)
		require.Contains(t, printed, "on 3 masters of yours, all of which are left alive")
		requireStory(t, printed,
			`replica A takes it; it is on 3 of the 3 masters, valid for another 2\d\.`,
			`replica B has waited 1s in vain: taken, say [23] of the 3 masters`,
			`replica A extends it; it is on 3 of the 3 masters, valid for another 2\d\.`,
			`replica A releases it`,
			`replica B takes it, valid for another 2\d\.`,
		)
	}
	for _, m := range cluster.Masters() {
		require.Empty(t, m.Keys(), "left behind on %v", m)
	}
}

func TestMastersOfOnesOwnThatAreDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())

	printed, status := program(t, "-masters", "redis://me:hunter2@"+addr)
	require.Equal(t, 1, status, printed)
	require.Contains(t, printed, "quickstart: not as promised: quorum: acquire")
	require.NotContains(t, printed, "hunter2")
}

func TestArgumentsAreNotEchoed(t *testing.T) {
	for _, args := range [][]string{
		{"redis://me:hunter2@127.0.0.1:1"},
		{"-masters", "redis://me:hunter2@127.0.0.1:port"},
		{"-masters", "127.0.0.1:1?hunter2"},
	} {
		printed, status := program(t, args...)
		require.NotZero(t, status, printed)
		require.NotEmpty(t, printed)
		require.NotContains(t, printed, "hunter2")
	}
}
