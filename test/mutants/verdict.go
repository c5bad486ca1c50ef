package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// verdict is the result of one mutant.
type verdict struct {
	*mutant
	passed  []string // tests that passed but should have failed
	err     error    // why the mutant cannot be judged
	output  string
	seconds float64
}

func (v *verdict) caught() bool { return v.err == nil && len(v.passed) == 0 }

func (v *verdict) String() string {
	switch {
	case v.err != nil:
		return "ERROR"
	case v.caught():
		return "caught"
	}
	return "MISSED"
}

// judge runs the tests that must catch the mutant.
func (m *mutant) judge(ctx context.Context, src *source, scratch string) *verdict {
	start := time.Now()
	v := &verdict{mutant: m}
	overlay, err := m.overlay(src, scratch)
	if err == nil {
		err = v.run(ctx, src.root, overlay)
	}
	v.err = err
	v.seconds = time.Since(start).Seconds()
	return v
}

// run runs all tests together. If a test crashes, it runs again those that did not get to run.
func (v *verdict) run(ctx context.Context, root, overlay string) error {
	for left := v.tests; len(left) > 0; {
		t, err := goTest(ctx, root, v.pkg, overlay, left)
		if err != nil {
			return err
		}
		v.output += t.output
		next, err := v.count(t, left)
		switch {
		case err != nil:
			return err
		case len(next) == len(left):
			return fmt.Errorf("%s did not run", strings.Join(left, ", "))
		}
		left = next
	}
	return nil
}

// count records the results of one run, and returns the tests that did not run. A test that was
// still running when its process ended counts as failed: go test's -timeout and panics of other
// goroutines end the process.
func (v *verdict) count(t *testRun, tests []string) (left []string, err error) {
	switch {
	case t.notBuilt:
		return nil, errors.New("the mutant does not compile")
	case t.killed:
		return nil, errors.New("the tests were killed")
	case t.timedOut && !v.hangs:
		return nil, fmt.Errorf("the tests hang; they must fail within %v", testTimeout)
	}
	for _, test := range tests {
		switch t.results[test] {
		case notRun:
			left = append(left, test)
		case passed:
			v.passed = append(v.passed, test)
		case skipped:
			return nil, fmt.Errorf("%s was skipped", test)
		case failed, unfinished:
		}
	}
	return left, nil
}

// overlay writes the variant's files, and a file for go test's -overlay. The compiler then reads
// the variant's files instead of the originals, including those embedded by go:embed.
func (m *mutant) overlay(src *source, scratch string) (path string, err error) {
	files, err := m.apply(src)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(scratch, m.name+"-")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for original, text := range files {
		replace[original] = filepath.Join(dir, fmt.Sprint(len(replace), filepath.Ext(original)))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}
