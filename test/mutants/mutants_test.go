package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTableFitsTheSource: a mutant that does not apply any more, or whose test was
// renamed, is to be noticed by whoever changes the source.
func TestTableFitsTheSource(t *testing.T) {
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	require.NoError(t, check(root, table))
	assert.GreaterOrEqual(t, len(table), 25)
}

func TestBadTablesAreNoticed(t *testing.T) {
	root := t.TempDir()
	write := func(file, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o600))
	}
	write("a.go", "one two two")
	write("a_test.go", "func TestA(t *testing.T) {}")
	good := mutant{name: "good", rule: "one is one", edits: []edit{{"a.go", "one", "three"}}, pkg: ".", tests: []string{"TestA"}}
	require.NoError(t, check(root, []mutant{good}))
	for want, spoil := range map[string]func(m *mutant){
		"lacks":              func(m *mutant) { m.rule = "" },
		"has 0 of the 1":     func(m *mutant) { m.edits = []edit{{"a.go", "four", ""}} },
		"has 2 of the 1":     func(m *mutant) { m.edits = []edit{{"a.go", "two", ""}} },
		"no such file":       func(m *mutant) { m.edits = []edit{{"b.go", "one", ""}} },
		"has no test TestB":  func(m *mutant) { m.tests = append([]string{"TestB"}, m.tests...) },
		"two mutants of thi": func(m *mutant) { m.name = "good" },
	} {
		bad := good
		bad.name = "bad"
		spoil(&bad)
		assert.ErrorContains(t, check(root, []mutant{good, bad}), want)
	}
}

func TestEditsOfOneFileAddUp(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a.go")
	require.NoError(t, os.WriteFile(path, []byte("one two"), 0o600))
	m := mutant{edits: []edit{{"a.go", "one", "1"}, {"a.go", "1 two", "12"}}}
	files, err := m.apply(root)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{path: "12"}, files)
}

// module makes a small one, whose tests can be run for real.
func module(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for file, text := range map[string]string{
		"go.mod": "module example.test/small\n\ngo 1.26\n",
		"a.go":   "package small\n\nfunc One() int { return 1 }\n",
		"a_test.go": `package small

import "testing"

func TestOne(t *testing.T) {
	if One() != 1 {
		t.Error("one is not one")
	}
}

func TestNothing(t *testing.T) {}

func TestSkipped(t *testing.T) { t.Skip() }
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o600))
	}
	return root
}

// TestVerdicts: only a test that ran and failed catches anything.
func TestVerdicts(t *testing.T) {
	root := module(t)
	for what, tt := range map[string]struct {
		becomes string
		tests   []string
		caught  bool
		err     string
	}{
		"caught":                {"return 2", []string{"TestOne"}, true, ""},
		"caught by a crash":     {"panic(1)", []string{"TestOne"}, true, ""},
		"crash of another":      {"func() { go panic(1) }(); select {}", []string{"TestOne"}, true, ""},
		"missed":                {"return 1 + 0", []string{"TestOne"}, false, ""},
		"missed by one":         {"return 2", []string{"TestOne", "TestNothing"}, false, ""},
		"missed after a crash":  {"panic(1)", []string{"TestOne", "TestNothing"}, false, ""},
		"does not compile":      {"return one", []string{"TestOne"}, false, "does not compile"},
		"no such test":          {"return 2", []string{"TestNone"}, false, "did not run"},
		"one test of two":       {"return 2", []string{"TestOne", "TestNone"}, false, "did not run"},
		"skipped":               {"return 2", []string{"TestSkipped"}, false, "was skipped"},
		"does not apply at all": {"", []string{"TestOne"}, false, "does not apply"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			old := "return 1"
			if tt.becomes == "" {
				old = "return one"
			}
			m := mutant{name: "m", rule: "one is one", edits: []edit{{"a.go", old, tt.becomes}}, pkg: ".", tests: tt.tests}
			v := m.judge(context.Background(), root, t.TempDir())
			if tt.err != "" {
				require.ErrorContains(t, v.err, tt.err)
			} else {
				require.NoError(t, v.err)
			}
			assert.Equal(t, tt.caught, v.caught())
		})
	}
}
