package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The author of a change must notice if a mutant no longer applies, or if its test was renamed.
func TestTableFitsTheSource(t *testing.T) {
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	src, err := readSource(root)
	require.NoError(t, err)
	require.NoError(t, check(src, table))
	assert.GreaterOrEqual(t, len(table), 25)
}

func TestBadTablesAreRejected(t *testing.T) {
	src := read(t, map[string]string{
		"a.go":      "package small\n\nvar one = 1 //mutant:one\n",
		"a_test.go": "func TestA(t *testing.T) {}",
	})
	good := mutant{name: "good", rule: "one is one", edits: []edit{sub("one", "1", "3")}, pkg: ".", tests: []string{"TestA"}}
	require.NoError(t, check(src, []mutant{good}))
	for want, spoil := range map[string]func(m *mutant){
		"lacks":                  func(m *mutant) { m.rule = "" },
		"0 matches":              func(m *mutant) { m.edits = []edit{sub("one", "4", "")} },
		"unknown anchor two":     func(m *mutant) { m.edits = []edit{cut("two")} },
		"has no test TestB":      func(m *mutant) { m.tests = append([]string{"TestB"}, m.tests...) },
		"good: duplicate mutant": func(m *mutant) { m.name = "good" },
	} {
		bad := good
		bad.name = "bad"
		spoil(&bad)
		assert.ErrorContains(t, check(src, []mutant{good, bad}), want)
	}
	assert.ErrorContains(t, check(src, nil), "a.go: no mutant uses the anchor one")
}

// module returns the source of a small module with real tests.
func module(t *testing.T) *source {
	t.Helper()
	return read(t, map[string]string{
		"go.mod": "module example.test/small\n\ngo 1.26\n",
		"a.go":   "package small\n\nfunc One() int { return 1 } //mutant:one\n",
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
	})
}

// Only a test that runs and fails catches a mutant.
func TestVerdicts(t *testing.T) {
	src := module(t)
	for what, tt := range map[string]struct {
		becomes string
		tests   []string
		caught  bool
		err     string
	}{
		"caught":                     {"return 2", []string{"TestOne"}, true, ""},
		"caught by a crash":          {"panic(1)", []string{"TestOne"}, true, ""},
		"crash of another goroutine": {"func() { go panic(1) }(); select {}", []string{"TestOne"}, true, ""},
		"missed":                     {"return 1 + 0", []string{"TestOne"}, false, ""},
		"missed by one":              {"return 2", []string{"TestOne", "TestNothing"}, false, ""},
		"missed after a crash":       {"panic(1)", []string{"TestOne", "TestNothing"}, false, ""},
		"does not compile":           {"return one", []string{"TestOne"}, false, "does not compile"},
		"no such test":               {"return 2", []string{"TestNone"}, false, "did not run"},
		"one of two did not run":     {"return 2", []string{"TestOne", "TestNone"}, false, "did not run"},
		"skipped":                    {"return 2", []string{"TestSkipped"}, false, "was skipped"},
		"does not apply at all":      {"", []string{"TestOne"}, false, "does not apply"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			old := "return 1"
			if tt.becomes == "" {
				old = "return one"
			}
			m := mutant{name: "m", rule: "one is one", edits: []edit{sub("one", old, tt.becomes)}, pkg: ".", tests: tt.tests}
			v := m.judge(context.Background(), src, t.TempDir())
			if tt.err != "" {
				require.ErrorContains(t, v.err, tt.err)
			} else {
				require.NoError(t, v.err)
			}
			assert.Equal(t, tt.caught, v.caught())
		})
	}
}
