// Package docs checks the README and the package documentation against the code.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(text)
}

// TestQuickStartMatchesExample compares the quick start in the README with the example, which is
// compiled and whose output is checked.
func TestQuickStartMatchesExample(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```\n").FindAllStringSubmatch(readme(t), -1)
	require.Len(t, blocks, 1, "Go blocks in the README")

	path := filepath.Join(root, "quorum", "example_test.go")
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.ParseComments)
	require.NoError(t, err)
	example, ok := file.Scope.Lookup("Example").Decl.(*ast.FuncDecl)
	require.True(t, ok)
	body := string(source[files.Position(example.Body.Lbrace).Offset+1 : files.Position(example.Body.Rbrace).Offset])
	body, _, found := strings.Cut(body, "\t// Output:")
	require.True(t, found, "the example has no checked output")

	var lines []string
	for line := range strings.SplitSeq(strings.Trim(body, "\n"), "\n") {
		lines = append(lines, strings.TrimPrefix(line, "\t"))
	}
	require.Equal(t, strings.Join(lines, "\n")+"\n", blocks[0][1])
}

// rows returns the names in the first column of the table under a heading.
func rows(t *testing.T, heading string) (names []string) {
	t.Helper()
	_, section, found := strings.Cut(readme(t), "\n## "+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}

// declarations calls do for every top-level declaration of package quorum.
func declarations(t *testing.T, do func(ast.Spec)) {
	t.Helper()
	paths, err := fs.Glob(os.DirFS(root), "quorum/*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			if group, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range group.Specs {
					do(spec)
				}
			}
		}
	}
}

func TestReadmeListsEveryOption(t *testing.T) {
	var fields []string
	declarations(t, func(spec ast.Spec) {
		declared, ok := spec.(*ast.TypeSpec)
		if !ok || declared.Name.Name != "Options" {
			return
		}
		for _, field := range declared.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				if name.IsExported() {
					fields = append(fields, name.Name)
				}
			}
		}
	})
	require.NotEmpty(t, fields)
	require.Equal(t, fields, rows(t, "Options"))
}

func TestReadmeListsEveryError(t *testing.T) {
	var sentinels []string
	declarations(t, func(spec ast.Spec) {
		values, ok := spec.(*ast.ValueSpec)
		if !ok {
			return
		}
		for _, name := range values.Names {
			if strings.HasPrefix(name.Name, "Err") {
				sentinels = append(sentinels, name.Name)
			}
		}
	})
	require.NotEmpty(t, sentinels)
	require.ElementsMatch(t, sentinels, rows(t, "Errors"))
}

// TestReadmeLinksExist checks the links to files.
func TestReadmeLinksExist(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(readme(t), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		if !strings.Contains(link[1], "://") {
			require.FileExists(t, filepath.Join(root, link[1]))
		}
	}
}

func TestSafetyArgumentNamesExistingTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "quorum", "doc.go"))
	require.NoError(t, err)
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text), -1)
	require.NotEmpty(t, named)
	tests := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, test := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			tests[test[1]] = true
		}
		return err
	}))
	for _, test := range named {
		require.True(t, tests[test], test)
	}
}
