package transcript

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "replace the outputs in transcripts by the current ones")

// dashes separates commands from their output.
const dashes = "----"

// Run runs each transcript in dir as a subtest. Transcripts are files named *.txt. For each one,
// Run calls start once, and then the function that start returned for each command.
func Run(t *testing.T, dir string, start func(t *testing.T) (execute func(*Command) string)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts in %s: %v", dir, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) { check(t, path, start(t)) })
	}
}

// check runs one transcript. It compares the outputs with the expected ones, or rewrites those.
func check(tb testing.TB, path string, execute func(*Command) string) {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	tr := transcript{execute: execute}
	if err := tr.run(string(content)); err != nil {
		tb.Fatalf("%s:%v", path, err)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(tr.rewritten.String()), 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	for _, d := range tr.differences {
		tb.Errorf("%s:%d: %s\n--- want\n%s--- got\n%s", path, d.line, d.command, d.want, d.got)
	}
}

// transcript is the state of a transcript while it runs.
type transcript struct {
	execute     func(*Command) string
	rewritten   strings.Builder
	differences []difference

	commands []string // since the last output
	output   strings.Builder
}

// difference is an output that differs from the expected one.
type difference struct {
	line               int // of the last command
	command, want, got string
}

// run runs the transcript. The error begins with a line number.
func (tr *transcript) run(content string) error {
	lines := strings.SplitAfter(content, "\n")
	outputs := 0
	for n := 0; n < len(lines); n++ {
		line := strings.TrimSpace(lines[n])
		switch {
		case line == dashes && len(tr.commands) == 0:
			return fmt.Errorf("%d: output without a command", n+1)
		case line == dashes:
			outputs++
			n = tr.compare(lines, n)
			continue
		case line != "" && !strings.HasPrefix(line, "#"):
			if err := tr.command(line); err != nil {
				return fmt.Errorf("%d: %w", n+1, err)
			}
		}
		tr.rewritten.WriteString(lines[n])
	}
	switch {
	case len(tr.commands) > 0:
		return fmt.Errorf("%d: no %s after %s", len(lines), dashes, tr.commands[len(tr.commands)-1])
	case outputs == 0:
		return errors.New("1: no commands")
	}
	return nil
}

// command executes one command and appends its output.
func (tr *transcript) command(line string) error {
	tr.commands = append(tr.commands, line)
	c, err := parseCommand(line)
	if err != nil {
		return err
	}
	output, err := c.run(tr.execute)
	for line := range strings.Lines(output) {
		tr.output.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return err
}

// compare compares the output of the last commands with the expected output, which begins after
// line n. It returns the last line of the expected output.
func (tr *transcript) compare(lines []string, n int) int {
	var want strings.Builder
	end := n + 1
	for ; end < len(lines) && strings.TrimSpace(lines[end]) != ""; end++ {
		want.WriteString(strings.TrimRight(lines[end], " \r\n") + "\n")
	}
	got := tr.output.String()
	if got != want.String() {
		command := tr.commands[len(tr.commands)-1]
		tr.differences = append(tr.differences, difference{n, command, want.String(), got})
	}
	tr.rewritten.WriteString(dashes + "\n" + got)
	tr.output.Reset()
	tr.commands = nil
	return end - 1
}
