package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const two = `package small

func f(a, b int) int {
	if a < b { //mutant:less
		return a // the lesser //mutant:lesser
	} else if a == b { //mutant:equal
		return 0
	}
	return b //mutant:greater
}
`

// made applies edits to two, and returns the result.
func made(t *testing.T, edits ...edit) (string, error) {
	t.Helper()
	src := read(t, map[string]string{"a.go": two})
	files, err := (&mutant{name: "m", edits: edits}).apply(src)
	return files[filepath.Join(src.root, "a.go")], err
}

func TestEdits(t *testing.T) {
	for what, tt := range map[string]struct {
		edits []edit
		want  string
	}{
		"sub": {
			[]edit{sub("less", `(\w+) < (\w+)`, "${2} < $1")},
			"\tif b < a {\n\t\treturn a // the lesser\n\t} else if a == b {\n\t\treturn 0\n\t}\n\treturn b\n",
		},
		"dot matches line feeds": {
			[]edit{sub("less", `return a.*0`, "return 1")},
			"\tif a < b {\n\t\treturn 1\n\t}\n\treturn b\n",
		},
		"cut": {[]edit{cut("less")}, "\t\n\treturn b\n"},
		"lines before and after, in the table's order": {
			[]edit{after("less", "\ta++"), before("less", "\ta--"), before("less", "\tb--"), after("less", "\tb++")},
			"\ta--\n\tb--\n\tif a < b {\n\t\treturn a // the lesser\n\t} else if a == b {\n\t\treturn 0\n\t}\n\ta++\n\tb++\n\treturn b\n",
		},
		"after a comment": {
			[]edit{after("lesser", "\t\tpanic(a)")},
			"\tif a < b {\n\t\treturn a // the lesser\n\t\tpanic(a)\n\t} else if a == b {\n\t\treturn 0\n\t}\n\treturn b\n",
		},
		"swap": {
			[]edit{swap("greater", "if a > b {\n\t\t$0\n\t}\n\treturn b + 1")},
			"\tif a < b {\n\t\treturn a // the lesser\n\t} else if a == b {\n\t\treturn 0\n\t}\n\tif a > b {\n\t\treturn b\n\t}\n\treturn b + 1\n",
		},
		"edits add up, also in nested regions": {
			[]edit{cut("greater"), sub("less", "<", ">"), sub("lesser", `a$`, "b"), before("lesser", "\t\ta++"), sub("less", "== b", "== 0")},
			"\tif a > b {\n\t\ta++\n\t\treturn b // the lesser\n\t} else if a == 0 {\n\t\treturn 0\n\t}\n\t\n",
		},
		"insertion before replacement": {
			[]edit{swap("greater", "return a"), before("greater", "\ta++")},
			"\tif a < b {\n\t\treturn a // the lesser\n\t} else if a == b {\n\t\treturn 0\n\t}\n\ta++\n\treturn a\n",
		},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := made(t, tt.edits...)
			require.NoError(t, err)
			assert.Equal(t, "package small\n\nfunc f(a, b int) int {\n"+tt.want+"}\n", got)
		})
	}
}

func TestBadEditsAreRejected(t *testing.T) {
	for what, tt := range map[string]struct {
		edits []edit
		want  string
	}{
		"missing":            {[]edit{cut("none")}, "unknown anchor none"},
		"no match":           {[]edit{sub("less", "a > b", "")}, "0 matches of a > b, want 1"},
		"outside the region": {[]edit{sub("lesser", "b", "c")}, "0 matches"},
		"text of an anchor":  {[]edit{sub("less", "mutant", "")}, "0 matches"},
		"two matches":        {[]edit{sub("less", "return", "goto")}, "2 matches of return, want 1"},
		"bad pattern":        {[]edit{sub("less", "(", "")}, "error parsing regexp"},
		"unknown group":      {[]edit{sub("less", "(a) <", "$1x <")}, "unknown group $1x"},
		"unchanged by sub":   {[]edit{sub("less", "(a) <", "$1 <")}, "the edit changes nothing"},
		"unchanged by swap":  {[]edit{swap("less", "$0")}, "the edit changes nothing"},
		"blank line":         {[]edit{before("less", "\t")}, "the edit changes nothing"},
		"overlap":            {[]edit{cut("less"), sub("lesser", "a", "b")}, "two edits of the mutant overlap"},
		"insertion in a cut": {[]edit{cut("less"), before("lesser", "a++")}, "two edits of the mutant overlap"},
		"same edit twice":    {[]edit{cut("greater"), cut("greater")}, "two edits of the mutant overlap"},
		"before an else":     {[]edit{before("equal", "a++")}, "code precedes the region"},
		"syntax error":       {[]edit{sub("lesser", "return", "return return")}, "m is not valid Go: a.go:5:"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := made(t, tt.edits...)
			require.ErrorContains(t, err, tt.want)
			assert.ErrorContains(t, err, "m ", "the error names the mutant")
		})
	}
}

// Mutants still apply after code was moved and renamed.
func TestMutantsSurviveRefactoring(t *testing.T) {
	m := mutant{name: "m", edits: []edit{sub("less", `if (\w+) < (\w+) `, "if $1 <= $2 ")}}
	for path, text := range map[string]string{
		"a.go":       two,
		"moved/b.go": "package moved\n\nfunc g(x, y int) int {\n\tx++\n\tif x < y { //mutant:less\n\t\treturn x\n\t}\n\treturn y\n}\n",
	} {
		src := read(t, map[string]string{path: text})
		files, err := m.apply(src)
		require.NoError(t, err)
		assert.Regexp(t, `if (a <= b|x <= y) \{\n`, files[filepath.Join(src.root, path)])
	}
}
