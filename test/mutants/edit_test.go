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

// made returns what edits make of two.
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
		"a dot matches line feeds": {
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
		"edits of one file add up, also one region in another": {
			[]edit{cut("greater"), sub("less", "<", ">"), sub("lesser", `a$`, "b"), before("lesser", "\t\ta++"), sub("less", "== b", "== 0")},
			"\tif a > b {\n\t\ta++\n\t\treturn b // the lesser\n\t} else if a == 0 {\n\t\treturn 0\n\t}\n\t\n",
		},
		"lines before what is replaced": {
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

func TestBadEditsAreNoticed(t *testing.T) {
	for what, tt := range map[string]struct {
		edits []edit
		want  string
	}{
		"missing":            {[]edit{cut("none")}, "there is no anchor none"},
		"no match":           {[]edit{sub("less", "a > b", "")}, "0 matches, not 1, of a > b"},
		"outside the region": {[]edit{sub("lesser", "b", "c")}, "0 matches"},
		"anchors are unseen": {[]edit{sub("less", "mutant", "")}, "0 matches"},
		"two matches":        {[]edit{sub("less", "return", "goto")}, "2 matches, not 1, of return"},
		"bad pattern":        {[]edit{sub("less", "(", "")}, "error parsing regexp"},
		"group that is no":   {[]edit{sub("less", "(a) <", "$1x <")}, "no group is named as in $1x"},
		"unchanged by sub":   {[]edit{sub("less", "(a) <", "$1 <")}, "it changes nothing"},
		"unchanged by swap":  {[]edit{swap("less", "$0")}, "it changes nothing"},
		"no lines":           {[]edit{before("less", "\t")}, "it changes nothing"},
		"overlap":            {[]edit{cut("less"), sub("lesser", "a", "b")}, "two edits of the mutant overlap"},
		"lines in what goes": {[]edit{cut("less"), before("lesser", "a++")}, "two edits of the mutant overlap"},
		"twice the same":     {[]edit{cut("greater"), cut("greater")}, "two edits of the mutant overlap"},
		"before an else":     {[]edit{before("equal", "a++")}, "something stands before the region"},
		"syntax":             {[]edit{sub("lesser", "return", "return return")}, "m is not Go: a.go:5:"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := made(t, tt.edits...)
			require.ErrorContains(t, err, tt.want)
			assert.ErrorContains(t, err, "m ", "the mutant is named")
		})
	}
}

// TestMutantsSurviveARefactoring: code that moves and is renamed takes them along.
func TestMutantsSurviveARefactoring(t *testing.T) {
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
