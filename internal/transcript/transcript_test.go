package transcript_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/transcript"
)

// recorder is a testing.TB that records failures instead of failing the test.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// execute implements a few commands.
func execute(c *transcript.Command) string {
	switch c.Name {
	case "echo":
		return strings.Join(c.Args, "\n")
	case "blank":
		return "a\n\nb"
	case "trailing":
		return "a  \nb\n"
	case "add":
		return fmt.Sprint(c.IntArg(0) + c.Int("to", 1))
	case "double":
		return fmt.Sprint(2*c.DurationArg(0), 2*c.Duration("other", time.Second))
	case "option":
		return c.Option("value", "none")
	}
	c.Fatalf("unknown command")
	return ""
}

// failuresOf runs a transcript and returns its failures.
func failuresOf(t *testing.T, content string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.txt")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		transcript.Check(r, path, execute)
	}()
	<-done
	for i := range r.failures {
		r.failures[i] = strings.TrimPrefix(r.failures[i], path+":")
	}
	return r.failures
}

func TestTranscriptsThatPass(t *testing.T) {
	for name, content := range map[string]string{
		"output":               "echo a b\n----\na\nb\n",
		"no output":            "echo\n----\n",
		"no output, then some": "echo\n----\n\necho a\n----\na\n",
		"no final newline":     "echo a\n----\na",
		"several commands":     "echo a\necho b\n----\na\nb\n",
		"comments":             "# first\n\necho a\n# in between\necho b\n----\na\nb\n\n# last\n",
		"output with #":        "echo # b\n----\n#\nb\n",
		"options":              "add 1 to=2\nadd 1\noption value=a=b\noption\n----\n3\n2\na=b\nnone\n",
		"empty option":         "option value=\n----\n",
		"durations":            "double 1.5s other=2m\ndouble 1ms\n----\n3s 4m0s\n2ms 2s\n",
		"trailing blanks":      "trailing\n----\na\nb  \n",
	} {
		t.Run(name, func(t *testing.T) { assert.Empty(t, failuresOf(t, content)) })
	}
}

func TestTranscriptsThatFail(t *testing.T) {
	for name, test := range map[string]struct{ content, failure string }{
		"wrong output":      {"\necho a\n----\nb\n", "2: echo a\n--- want\nb\n--- got\na\n"},
		"less output":       {"echo a\n----\na\nb\n", "1: echo a\n--- want\na\nb\n--- got\na\n"},
		"more output":       {"echo a b\n----\na\n", "1: echo a b\n--- want\na\n--- got\na\nb\n"},
		"no command":        {"# nothing\n", "1: no commands"},
		"empty":             {"", "1: no commands"},
		"output of nothing": {"echo\n----\n\n----\n", "4: output without a command"},
		"unfinished":        {"echo a\n", "2: no ---- after echo a"},
		"blank line":        {"blank\n----\n", "1: blank: output contains a blank line"},
		"unknown command":   {"echo\n----\n\nwhat\n----\n", "4: what: unknown command"},
		"missing argument":  {"add\n----\n", "1: add: missing argument 1"},
		"invalid number":    {"add one\n----\n", `1: add: strconv.Atoi: parsing "one": invalid syntax`},
		"invalid duration":  {"double 1\n----\n", `1: double: time: missing unit in duration "1"`},
		"misspelled option": {"add 1 too=2\n----\n2\n", "1: add: unknown option too"},
		"duplicate option":  {"add 1 to=2 to=3\n----\n", "1: duplicate option to"},
		"invalid number in an option": {
			"add 1 to=two\n----\n", `1: add: strconv.Atoi: parsing "two": invalid syntax`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, []string{test.failure}, failuresOf(t, test.content))
		})
	}
	assert.Len(t, failuresOf(t, "echo a\n----\n\necho a\n----\na\n\necho b\n----\n"), 2,
		"outputs after a difference are compared too")
}

func TestPanicsOtherThanFatalfPropagate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.txt")
	require.NoError(t, os.WriteFile(path, []byte("boom\n----\n"), 0o600))
	assert.PanicsWithValue(t, "boom", func() {
		transcript.Check(t, path, func(*transcript.Command) string { panic("boom") })
	})
}

func TestRunStartsEachTranscriptOnce(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt", "ignored.md"} {
		content := fmt.Sprintf("echo %s\n----\n%s\n", name, name)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	var ran []string
	starts := 0
	transcript.Run(t, dir, func(*testing.T) func(*transcript.Command) string {
		starts++
		return func(c *transcript.Command) string {
			ran = append(ran, c.Arg(0))
			return c.Arg(0)
		}
	})
	assert.Equal(t, []string{"a.txt", "b.txt"}, ran)
	assert.Equal(t, 2, starts, "one start for each transcript")
}

// -rewrite replaces the outputs and leaves everything else unchanged.
func TestRewriteReplacesOnlyOutputs(t *testing.T) {
	content := "# one\n\necho a b\n----\nwrong\n\n# two\necho\n----\nwrong\n\n\n  echo c\n----\nc\n"
	want := "# one\n\necho a b\n----\na\nb\n\n# two\necho\n----\n\n\n  echo c\n----\nc\n"
	path := filepath.Join(t.TempDir(), "test.txt")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	require.NoError(t, flag.Set("rewrite", "true"))
	defer func() { require.NoError(t, flag.Set("rewrite", "false")) }()
	transcript.Check(t, path, execute)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}
