package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStatOfAnyProgramName(t *testing.T) {
	const rest = " S 7 42 42 0 -1 4194560 1 2 3 4 5 60 700 8000 20 0 1 0 1 2 3"
	for _, name := range []string{"postgres", "a b", "x) R 1 (", ""} {
		s, err := parseStat("42 (" + name + ")" + rest + "\n")
		require.NoError(t, err, name)
		require.Equal(t, procStat{pid: 42, parent: 7, cpu: 8765 * tick}, s, name)
	}
	for _, bad := range []string{"", "42", "42 (x) S 7", "x (y)" + rest, ")42 (" + rest} {
		_, err := parseStat(bad)
		require.Error(t, err, bad)
	}
}

// TestFamilyIsProcessAndChildren looks at this process and a child.
func TestFamilyIsProcessAndChildren(t *testing.T) {
	p, err := startProcess(exec.Command("sleep", "60"))
	require.NoError(t, err)
	members, err := family(os.Getpid())
	require.NoError(t, err)
	parents := map[int]int{}
	for _, s := range members {
		parents[s.pid] = s.parent
	}
	require.Equal(t, os.Getppid(), parents[os.Getpid()])
	require.Equal(t, os.Getpid(), parents[p.pid()])
	require.NoError(t, p.kill())

	_, err = family(p.pid())
	require.Error(t, err, "it has ended")
}

func TestWaitFailsWhenProcessEnds(t *testing.T) {
	p, err := startProcess(exec.Command("sh", "-c", "echo no such port; exit 1"))
	require.NoError(t, err)
	err = p.wait(t.Context(), func(context.Context) error { return errors.New("not ready") })
	require.ErrorContains(t, err, "no such port")
}

func TestStopSendsSignal(t *testing.T) {
	p, err := startProcess(exec.Command("sleep", "60"))
	require.NoError(t, err)
	require.NoError(t, p.stop(os.Interrupt))
	require.Equal(t, "signal: interrupt", p.cmd.ProcessState.String())
}

func TestMajorVersionOfPath(t *testing.T) {
	require.Equal(t, 15, majorVersion("/usr/lib/postgresql/15/bin/initdb"))
	require.Equal(t, 0, majorVersion("/usr/bin/initdb"))
}
