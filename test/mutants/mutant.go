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
	rule  string   // what the variant breaks
	edits []edit   // what makes the variant out of the source
	pkg   string   // whose tests are run
	tests []string // each of these must fail
	hangs bool     // a test that runs into the time-out counts as one that fails
	minor bool     // left out with -short
}

// check tells what is wrong with a table: mutants that lack a part, or that do
// not fit the present source, and anchors that no mutant needs.
func check(src *source, table []mutant) error {
	var errs []error
	seen, used := map[string]bool{}, map[string]bool{}
	for i := range table {
		m := &table[i]
		if m.name == "" || m.rule == "" || m.pkg == "" || len(m.edits) == 0 || len(m.tests) == 0 {
			errs = append(errs, fmt.Errorf("mutant %d, %q: it lacks a name, a rule, a package, an edit or a test", i, m.name))
		}
		if seen[m.name] {
			errs = append(errs, fmt.Errorf("%s: there are two mutants of this name", m.name))
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

// checkTests looks for the named tests in the package's sources.
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
