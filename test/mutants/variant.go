package main

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// apply returns the files that differ in the variant, by their paths.
func (m *mutant) apply(src *source) (map[string]string, error) {
	files, err := m.change(src)
	if err != nil {
		return nil, fmt.Errorf("%s does not apply: %w", m.name, err)
	}
	absolute := map[string]string{}
	for path, text := range files {
		if filepath.Ext(path) == ".go" {
			if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution); err != nil {
				return nil, fmt.Errorf("%s is not Go: %w", m.name, err)
			}
		}
		absolute[filepath.Join(src.root, path)] = text
	}
	return absolute, nil
}

// change makes all edits of the source as it is, rather than one of another's result:
// each reads as if it were alone.
func (m *mutant) change(src *source) (map[string]string, error) {
	splices := map[*file][]splice{}
	for _, e := range m.edits {
		f, s, err := e.splice(src)
		if err != nil {
			return nil, err
		}
		splices[f] = append(splices[f], s)
	}
	texts := map[string]string{}
	for f, of := range splices {
		var err error
		if texts[f.path], err = compose(f.text, of); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return texts, nil
}

// compose makes splices of one text. Those in the same place keep their order.
func compose(text string, splices []splice) (string, error) {
	slices.SortStableFunc(splices, func(a, b splice) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return min(a.end-a.start, 1) - min(b.end-b.start, 1) // lines before what is replaced
	})
	var b strings.Builder
	done := 0
	for _, s := range splices {
		if s.start < done {
			return "", errors.New("two edits of the mutant overlap")
		}
		b.WriteString(text[done:s.start] + s.text)
		done = s.end
	}
	return b.String() + text[done:], nil
}
