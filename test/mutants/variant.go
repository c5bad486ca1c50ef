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

// apply returns the text of the files that differ in the variant, by absolute path.
func (m *mutant) apply(src *source) (map[string]string, error) {
	files, err := m.change(src)
	if err != nil {
		return nil, fmt.Errorf("%s does not apply: %w", m.name, err)
	}
	absolute := map[string]string{}
	for path, text := range files {
		if filepath.Ext(path) == ".go" {
			if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution); err != nil {
				return nil, fmt.Errorf("%s is not valid Go: %w", m.name, err)
			}
		}
		absolute[filepath.Join(src.root, path)] = text
	}
	return absolute, nil
}

// change applies all edits to the unmutated source, so that no edit sees the result of another.
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

// compose applies splices to one text. Splices at the same offset keep their order.
func compose(text string, splices []splice) (string, error) {
	slices.SortStableFunc(splices, func(a, b splice) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return min(a.end-a.start, 1) - min(b.end-b.start, 1) // insertions before replacements
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
