package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// testTimeout is go test's -timeout. It is much longer than the slowest test takes.
const testTimeout = time.Minute

// result is the result of a test.
type result uint8

const (
	notRun result = iota
	unfinished
	passed
	skipped
	failed
)

// testRun is one run of go test.
type testRun struct {
	results  map[string]result // by test name
	notBuilt bool
	timedOut bool
	killed   bool
	output   string
}

// event is an event printed by go test -json; see go doc test2json.
type event struct {
	Action, Test, Output string
}

// goTest runs tests of a package. overlay is a file for go test's -overlay, or empty.
func goTest(ctx context.Context, root, pkg, overlay string, tests []string) (*testRun, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*testTimeout) // includes compilation
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-vet=off",
		// Do not optimize code that runs only once.
		"-gcflags=-N -l", "-ldflags=-w",
		"-overlay="+overlay, "-timeout="+testTimeout.String(),
		"-run=^("+strings.Join(tests, "|")+")$", "./"+pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("go test of %s: %w", pkg, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return parse(stdout.Bytes(), stderr.String())
}

// parse parses the output of go test -json.
func parse(stdout []byte, stderr string) (*testRun, error) {
	t := &testRun{results: map[string]result{}, output: stderr}
	events := json.NewDecoder(bytes.NewReader(stdout))
	for events.More() {
		var e event
		if err := events.Decode(&e); err != nil {
			return nil, fmt.Errorf("go test -json printed %q: %w", stdout, err)
		}
		t.note(e)
	}
	return t, nil
}

func (t *testRun) note(e event) {
	t.output += e.Output
	switch {
	case e.Action == "build-fail":
		t.notBuilt = true
	case strings.HasPrefix(e.Output, "panic: test timed out after "):
		t.timedOut = true
	case strings.HasPrefix(e.Output, "signal: "):
		t.killed = true
	}
	if e.Test == "" {
		return
	}
	if r, ends := map[string]result{"run": unfinished, "pass": passed, "skip": skipped, "fail": failed}[e.Action]; ends {
		t.results[e.Test] = r
	}
}
