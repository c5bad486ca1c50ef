package docs

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
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
	Module                  *struct{ Main bool }
}

// listOnce lists the root module's packages and all that they import, with export data.
var listOnce = sync.OnceValues(func() (all []*goPackage, err error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports,Module", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(goPackage)
		if err := decoder.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

// listPackages returns the root module's packages.
func listPackages(t *testing.T) []*goPackage {
	t.Helper()
	all, err := listOnce()
	require.NoError(t, err)
	return slices.DeleteFunc(slices.Clone(all), func(p *goPackage) bool { return p.Module == nil || !p.Module.Main })
}

// each parses the package's files, tests excepted.
func (p *goPackage) each(t *testing.T, do func(*token.FileSet, *ast.File)) {
	t.Helper()
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
		require.NoError(t, err)
		do(files, file)
	}
}

// graph tells which types of a package refer to which, by their names.
type graph map[string]map[string]bool

// typeGraph finds, for each type, the types whose names, fields, methods or constants its
// declaration and its methods mention.
func (p *goPackage) typeGraph(t *testing.T) graph {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
		require.NoError(t, err)
		parsed = append(parsed, file)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(files, "gc", exportData)}
	pkg, err := config.Check(p.ImportPath, files, parsed, info)
	require.NoError(t, err)
	g, owners := graph{}, fieldOwners(pkg)
	refer := func(from string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if to := ownerOf(pkg, owners, info.Uses[id]); to != "" && to != from {
					g.add(from, to)
				}
			}
			return true
		})
	}
	for _, file := range parsed {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv != nil {
					refer(receiver(decl.Recv.List[0].Type), decl)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if declared, ok := spec.(*ast.TypeSpec); ok {
						refer(declared.Name.Name, declared)
					}
				}
			}
		}
	}
	return g
}

func exportData(path string) (io.ReadCloser, error) {
	all, err := listOnce()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.ImportPath == path {
			return os.Open(p.Export)
		}
	}
	return nil, os.ErrNotExist
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// fieldOwners returns the types that the package's fields belong to.
func fieldOwners(pkg *types.Package) map[types.Object]string {
	owners := map[types.Object]string{}
	for _, name := range pkg.Scope().Names() {
		if structure, ok := pkg.Scope().Lookup(name).Type().Underlying().(*types.Struct); ok {
			for field := range structure.Fields() {
				owners[field] = name
			}
		}
	}
	return owners
}

// ownerOf returns the type that something named belongs to, "" if that is none of the package's.
func ownerOf(pkg *types.Package, fields map[types.Object]string, o types.Object) string {
	if o == nil || o.Pkg() != pkg {
		return ""
	}
	of := func(t types.Type) string {
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		if named, ok := t.(*types.Named); ok && named.Obj().Pkg() == pkg {
			return named.Obj().Name()
		}
		return ""
	}
	switch o := o.(type) {
	case *types.TypeName:
		return o.Name()
	case *types.Const:
		return of(o.Type())
	case *types.Func:
		if r := o.Signature().Recv(); r != nil {
			return of(r.Type())
		}
	case *types.Var:
		return fields[o.Origin()]
	}
	return ""
}

func (g graph) add(from, to string) {
	if g[from] == nil {
		g[from] = map[string]bool{}
	}
	g[from][to] = true
}

// reachable returns what from leads to.
func (g graph) reachable(from string) map[string]bool {
	seen, next := map[string]bool{}, []string{from}
	for len(next) > 0 {
		last := next[len(next)-1]
		next = next[:len(next)-1]
		for to := range g[last] {
			if !seen[to] {
				seen[to] = true
				next = append(next, to)
			}
		}
	}
	return seen
}

// cycles returns the sets of types that all lead to each other.
func (g graph) cycles() (all [][]string) {
	reach, done := map[string]map[string]bool{}, map[string]bool{}
	for from := range g {
		reach[from] = g.reachable(from)
	}
	for from := range g {
		if done[from] || !reach[from][from] {
			continue
		}
		var cycle []string
		for to := range reach[from] {
			if reach[to][from] {
				cycle = append(cycle, to)
				done[to] = true
			}
		}
		slices.Sort(cycle)
		all = append(all, cycle)
	}
	return all
}
