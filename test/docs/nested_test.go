package docs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOtherModulesUsePublicPackagesOnly: a program of a user's can do what these do. Their tests
// may do more.
func TestOtherModulesUsePublicPackagesOnly(t *testing.T) {
	checked := 0
	for _, place := range []string{"contrib", "examples"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, place), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			checked++
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				assert.False(t, strings.HasPrefix(imported, modulePath+"/internal/"), "%s imports %s", path, imported)
			}
			return nil
		}))
	}
	require.Positive(t, checked)
}
