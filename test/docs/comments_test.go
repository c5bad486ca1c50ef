package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxColumns is how wide a comment may be, with four columns to a tab.
const maxColumns = 100

// prose matches a line that is nothing but a comment; wide matches those that may be wider: code in
// a comment, directives, and addresses.
var (
	prose = regexp.MustCompile(`^\s*(//|--)`)
	wide  = regexp.MustCompile(`//\t|://|^\s*//(go:|nolint|mutant:)`)
)

func TestCommentsHaveOneWidth(t *testing.T) {
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".lua" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		number, output := 0, false // an example's output is as wide as it is
		for line := range strings.Lines(string(text)) {
			number++
			line = strings.TrimRight(line, "\n")
			output = prose.MatchString(line) && (output || strings.HasSuffix(line, "// Output:"))
			if !prose.MatchString(line) || wide.MatchString(line) || output {
				continue
			}
			columns := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			assert.LessOrEqual(t, columns, maxColumns, "%s:%d: %s", path, number, line)
		}
		return nil
	}))
}
