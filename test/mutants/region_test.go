package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write writes files into a new directory.
func write(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return root
}

// read writes files and reads them as the source of a library.
func read(t *testing.T, files map[string]string) *source {
	t.Helper()
	src, err := readSource(write(t, files))
	require.NoError(t, err)
	return src
}

const goRegions = `package small

const ( //mutant:const-block
	a = 1 // one //mutant:const
)

type pair struct { //mutant:type
	x, y int //mutant:field
}

var pairs = []pair{
	{ //mutant:element
		x: 1, //mutant:key-value
		y: 2,
	},
	{1, 2}, // another //mutant:last-element
}

// f has its comment outside.
func f(ch chan int, n int) (sum int) { //mutant:func
	if n == a { //mutant:if
		return 1
	} else if n == 2 { //mutant:else-if
		return 2
	} else { //mutant:else
		return 3
	}
	for i := range n { //mutant:for
		sum += i //mutant:plain,plain-too
	}
	sum = max(
		n, //mutant:argument
		sum)
	sum = max(1, //mutant:long
		sum)
	switch sum { //mutant:switch
	case 1: //mutant:case
		sum++
		sum++
	default: //mutant:default
	}
	select {
	case n = <-ch: //mutant:comm
		sum--
	}
	defer func() { //mutant:defer
		sum = 0
	}() //mutant:nothing
	var b = 3 //mutant:var
	return sum + //mutant:return
		b
}

func g() int { return 3 } //mutant:one-line

func long(
	a int, //mutant:parameter
	b int,
) {
}
`

func TestGoRegions(t *testing.T) {
	src := read(t, map[string]string{"a.go": goRegions})
	want := map[string]string{
		"const-block":  "const (\n\ta = 1 // one\n)",
		"const":        "a = 1",
		"type":         "type pair struct {\n\tx, y int\n}",
		"field":        "x, y int",
		"element":      "{\n\t\tx: 1,\n\t\ty: 2,\n\t},",
		"key-value":    "x: 1,",
		"last-element": "{1, 2},",
		"if":           "if n == a {\n\t\treturn 1\n\t} else if n == 2 {\n\t\treturn 2\n\t} else {\n\t\treturn 3\n\t}",
		"else-if":      "if n == 2 {\n\t\treturn 2\n\t} else {\n\t\treturn 3\n\t}",
		"else":         "{\n\t\treturn 3\n\t}",
		"for":          "for i := range n {\n\t\tsum += i\n\t}",
		"plain":        "sum += i",
		"plain-too":    "sum += i",
		"argument":     "n,",
		"long":         "sum = max(1,\n\t\tsum)",
		"switch":       "switch sum {\n\tcase 1:\n\t\tsum++\n\t\tsum++\n\tdefault:\n\t}",
		"case":         "case 1:\n\t\tsum++\n\t\tsum++",
		"default":      "default:",
		"comm":         "case n = <-ch:\n\t\tsum--",
		"defer":        "defer func() {\n\t\tsum = 0\n\t}()",
		"nothing":      "}()",
		"var":          "var b = 3",
		"return":       "return sum +\n\t\tb",
		"one-line":     "func g() int { return 3 }",
		"parameter":    "a int,",
	}
	for name, text := range want {
		assert.Equal(t, text, src.regions[name].text(), name)
	}
	whole := src.regions["func"].text()
	assert.Regexp(t, `(?s)^func f\(ch chan int, n int\) \(sum int\) \{\n\tif .*\n\}$`, whole)
	assert.NotContains(t, whole, "mutant")
	assert.Len(t, src.regions, len(want)+1)
}

func TestLuaRegions(t *testing.T) {
	src := read(t, map[string]string{"a.lua": `-- A comment of its own.
local function f(a) --mutant:function
  if a then --mutant:if,from
    return '--' --mutant:line
  end --mutant:/if
  return g(a, -- why
    2)  -- and how --mutant:/from
end --mutant:/function
`})
	for name, text := range map[string]string{
		"function": "local function f(a)\n  if a then\n    return '--'\n  end\n  return g(a, -- why\n    2)  -- and how\nend",
		"if":       "if a then\n    return '--'\n  end",
		"line":     "return '--'",
		"from":     "if a then\n    return '--'\n  end\n  return g(a, -- why\n    2)  -- and how",
	} {
		assert.Equal(t, text, src.regions[name].text(), name)
	}
}

// Tests and other modules are not part of the library, and strings contain no comments.
func TestAnchorsAreOnlyFoundInLibrary(t *testing.T) {
	const anchored = "package a\n\nvar a = 1 //mutant:a\n"
	src := read(t, map[string]string{
		"deep/er/a.go": anchored, "a_test.go": anchored, "test/a.go": anchored, "tools/a.go": anchored,
		"examples/a.go": anchored, "other/go.mod": "module other\n", "other/a.go": anchored, "testdata/a.go": anchored,
		"text.go": "package a\n\nconst text = `\n\tx //mutant:a\n`\n",
	})
	assert.Len(t, src.regions, 1)
	assert.Equal(t, "deep/er/a.go", src.regions["a"].path)
}

func TestBadAnchorsAreRejected(t *testing.T) {
	for text, want := range map[string]string{
		"var a = 1 //mutant:a\nvar b = 1 //mutant:a\n": "duplicate anchor a in a.go and a.go",
		"var a = 1 // mutant:a\n":                      "a.go:3: malformed anchor: // mutant:a",
		"var a = 1 //mutant:A\n":                       "malformed anchor",
		"var a = 1 //mutant:a, b\n":                    "malformed anchor",
		"var a = 1 //mutant:a //mutant:b\n":            "malformed anchor",
		"var a = 1 //mutant:/a\n":                      "malformed anchor",
		"//mutant:a\nvar a = 1\n":                      "a.go:3: an anchor must follow code on its line",
		"// a is one. //mutant:a\nvar a = 1\n":         "an anchor must follow code on its line",
		"var a := 1 //mutant:a\n":                      "a.go:3:7: ",
	} {
		_, err := readSource(write(t, map[string]string{"a.go": "package small\n\n" + text}))
		assert.ErrorContains(t, err, want, text)
	}
	for text, want := range map[string]string{
		"a() --mutant:/a\n":                "/a without a matching start",
		"a() --mutant:a\n --mutant:/a\n":   "must follow code on its line",
		"a() -- mutant:a\n":                "malformed anchor",
		"a() --mutant:a\nb() --mutant:a\n": "duplicate anchor",
	} {
		_, err := readSource(write(t, map[string]string{"a.lua": text}))
		assert.ErrorContains(t, err, want, text)
	}
	_, err := readSource(write(t, map[string]string{"a.lua": "a() --mutant:a\n", "b.go": "package b\n\nvar b = 1 //mutant:a\n"}))
	assert.ErrorContains(t, err, "duplicate anchor a in a.lua and b.go")
}
