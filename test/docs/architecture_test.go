package docs

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/quorumlock/redlock"

// layer is a row of the table of packages in ARCHITECTURE.md.
type layer struct {
	mayImport []string // paths inside the module, and short names of other modules
	pure      bool
}

// outside has the modules that the table calls by a short name.
var outside = map[string]string{
	"go-redis": "github.com/redis/go-redis/v9", "miniredis": "github.com/alicebob/miniredis/v2",
	"x/sync": "golang.org/x/sync", "x/sys": "golang.org/x/sys", "goleak": "go.uber.org/goleak",
}

// layers reads the table.
func layers(t *testing.T) map[string]layer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Packages\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	all := map[string]layer{}
	for row := range strings.Lines(section) {
		cells := strings.Split(row, "|") // the first and the last are outside
		if len(cells) != 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		l := layer{
			mayImport: regexp.MustCompile(`[\w/-]+`).FindAllString(cells[3], -1),
			pure:      strings.Contains(cells[4], "yes"),
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			all[name[1]] = l
		}
	}
	require.NotEmpty(t, all)
	return all
}

// production returns the packages of the root module that are neither tests nor examples.
func production(t *testing.T) map[string]*goPackage {
	t.Helper()
	all := map[string]*goPackage{}
	for _, p := range listPackages(t) {
		if path := strings.TrimPrefix(p.ImportPath, modulePath+"/"); !strings.HasPrefix(path, "test/") && !strings.HasPrefix(path, "examples/") {
			all[path] = p
		}
	}
	require.Contains(t, all, "quorum")
	return all
}

// TestImportsFollowTheTable is what keeps the floors apart: an import that is not in the table of
// ARCHITECTURE.md is an arrow that nobody decided on.
func TestImportsFollowTheTable(t *testing.T) {
	table, packages := layers(t), production(t)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(packages)), slices.Collect(maps.Keys(table)), "packages, and rows of the table")
	for path, p := range packages {
		for _, imported := range p.Imports {
			if inside, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
				assert.Contains(t, table[path].mayImport, inside, "%s imports it", path)
			} else if strings.Contains(imported, ".") {
				assert.True(t, mayImportOutside(table[path], imported), "%s imports %s", path, imported)
			}
		}
	}
}

func mayImportOutside(l layer, path string) bool {
	return slices.ContainsFunc(l.mayImport, func(name string) bool {
		prefix, ok := outside[name]
		return ok && (path == prefix || strings.HasPrefix(path, prefix+"/"))
	})
}

// TestFloorsAreApart checks the table itself: no row leads back to itself, and no pure package
// leads to I/O.
func TestFloorsAreApart(t *testing.T) {
	table := layers(t)
	var reaches func(from, to string, seen map[string]bool) bool
	reaches = func(from, to string, seen map[string]bool) bool {
		for _, next := range table[from].mayImport {
			if next == to {
				return true
			}
			if !seen[next] {
				seen[next] = true
				if reaches(next, to, seen) {
					return true
				}
			}
		}
		return false
	}
	for path := range table {
		if strings.HasPrefix(path, "internal/") && len(table[path].mayImport) > 0 && !slices.Contains(table[path].mayImport, path) {
			assert.False(t, reaches(path, path, map[string]bool{}), "%s may import itself by way of others", path)
		}
		assert.False(t, table[path].pure && reaches(path, "internal/redisconn", map[string]bool{}), "%s is pure", path)
	}
}

// TestPurePackagesArePure: no I/O, no goroutine, no mutex, and no clock of their own.
func TestPurePackagesArePure(t *testing.T) {
	impure := []string{"context", "io", "net", "os", "sync", "syscall", "math/rand", "math/rand/v2", "crypto/rand"}
	clocks := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	table := layers(t)
	for path, p := range production(t) {
		if !table[path].pure {
			continue
		}
		for _, imported := range p.Imports {
			assert.NotContains(t, impure, imported, path)
		}
		p.each(t, func(files *token.FileSet, file *ast.File) {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%v: a goroutine in a pure package", files.Position(n.Pos()))
				case *ast.SelectorExpr:
					if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
						t.Errorf("%v: time.%s in a pure package", files.Position(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
		})
	}
}

// TestQuorumUsesGoRedisInConstructorsOnly: package redisconn is the only one that knows how
// go-redis behaves.
func TestQuorumUsesGoRedisInConstructorsOnly(t *testing.T) {
	production(t)["quorum"].each(t, func(files *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "redis" {
					at := files.Position(s.Pos())
					assert.Equal(t, "UniversalClient", s.Sel.Name, "%v", at)
					assert.Contains(t, []string{"manager.go", "options.go"}, filepath.Base(at.Filename), "%v", at)
				}
			}
			return true
		})
	})
}

// maxLines is how long a function may be.
const maxLines = 45

func TestFunctionsAreShort(t *testing.T) {
	for _, p := range listPackages(t) {
		p.each(t, func(files *token.FileSet, file *ast.File) {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1
					assert.LessOrEqual(t, lines, maxLines, "%v: %s", files.Position(f.Pos()), f.Name.Name)
				}
			}
		})
	}
}

// maxCycle is how many types of a package may refer to each other in a circle.
const maxCycle = 5

func TestTypeCyclesAreSmall(t *testing.T) {
	for path, p := range production(t) {
		if path == "internal/sim" { // a test: its world is one thing
			continue
		}
		for _, cycle := range p.typeGraph(t).cycles() {
			assert.LessOrEqual(t, len(cycle), maxCycle, "%s: %s", path, fmt.Sprint(cycle))
		}
	}
}
