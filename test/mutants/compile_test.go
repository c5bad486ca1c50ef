package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// listed is a package, as go list prints it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
}

// TestMutantsCompile type-checks every mutant, because a rename may leave one behind whose text
// mentions the old name. Running all of them would show that only minutes later. There are no
// goroutines in that for the race detector to look at, and it would take three times as long.
func TestMutantsCompile(t *testing.T) {
	if withRaceDetector {
		t.Skip("without -race only")
	}
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	src, err := readSource(root)
	require.NoError(t, err)
	packages := list(t, root)
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for i := range table {
		variant, err := table[i].apply(src)
		require.NoError(t, err)
		for _, p := range packages {
			if changed(p, variant) {
				typeCheck(t, table[i].name, files, imports, p, variant)
			}
		}
	}
}

// list lists the module's packages and all that they import.
func list(t *testing.T, root string) (packages []*listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		err := decoder.Decode(p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

// changed tells whether a variant changes one of the package's Go files.
func changed(p *listed, variant map[string]string) bool {
	for _, name := range p.GoFiles {
		if _, ok := variant[filepath.Join(p.Dir, name)]; ok && p.Module != nil && p.Module.Main {
			return true
		}
	}
	return false
}

func typeCheck(t *testing.T, mutant string, files *token.FileSet, imports types.Importer, p *listed, variant map[string]string) {
	t.Helper()
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		var text any
		if changed, ok := variant[path]; ok {
			text = changed
		}
		file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
		require.NoError(t, err, mutant)
		parsed = append(parsed, file)
	}
	config := types.Config{Importer: imports, Error: func(err error) { t.Errorf("%s does not compile: %v", mutant, err) }}
	_, _ = config.Check(p.ImportPath, files, parsed, nil) // Error is told of each
}
