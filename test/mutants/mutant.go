package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one wrong variant of the algorithm.
type mutant struct {
	name  string
	rule  string   // the rule that the variant breaks
	edits []edit   // the changes that turn the source into the variant
	pkg   string   // the package of the tests
	tests []string // the tests that must fail
	hangs bool     // a test that times out counts as failed
	minor bool     // skipped with -short
}

// check returns an error if the table is bad: a mutant lacks a part or does not fit the current
// source, or no mutant uses an anchor.
func check(src *source, table []mutant) error {
	var errs []error
	seen, used := map[string]bool{}, map[string]bool{}
	for i := range table {
		m := &table[i]
		if m.name == "" || m.rule == "" || m.pkg == "" || len(m.edits) == 0 || len(m.tests) == 0 {
			errs = append(errs, fmt.Errorf("mutant %d, %q: lacks a name, rule, package, edit or test", i, m.name))
		}
		if seen[m.name] {
			errs = append(errs, fmt.Errorf("%s: duplicate mutant", m.name))
		}
		seen[m.name] = true
		for _, e := range m.edits {
			used[e.anchor] = true
		}
		if _, err := m.apply(src); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, m.checkTests(src.root))
	}
	for _, name := range slices.Sorted(maps.Keys(src.regions)) {
		if !used[name] {
			errs = append(errs, fmt.Errorf("%s: no mutant uses the anchor %s", src.regions[name].path, name))
		}
	}
	return errors.Join(errs...)
}

// checkTests checks that the package's sources contain the mutant's tests.
func (m *mutant) checkTests(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, m.pkg, "*_test.go"))
	if err != nil {
		return err
	}
	var sources strings.Builder
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sources.Write(source)
	}
	var errs []error
	for _, test := range m.tests {
		if !strings.Contains(sources.String(), "func "+test+"(t *testing.T)") {
			errs = append(errs, fmt.Errorf("%s: %s has no test %s", m.name, m.pkg, test))
		}
	}
	return errors.Join(errs...)
}
