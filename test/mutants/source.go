package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is the library's unmutated source.
type source struct {
	root    string
	files   map[string]*file // by path relative to root
	regions map[string]region
}

// file is a Go or Lua file.
type file struct {
	path string // relative to root
	text string // without anchors
}

// line returns the offsets of a line, without its line feed.
func (f *file) line(number int) (start, end int) {
	for range number {
		start += strings.Index(f.text[start:], "\n") + 1
	}
	if length := strings.Index(f.text[start:], "\n"); length >= 0 {
		return start, start + length
	}
	return start, len(f.text)
}

// readSource reads the root module, without its tests, tools and examples.
func readSource(root string) (*source, error) {
	src := &source{root: root, files: map[string]*file{}, regions: map[string]region{}}
	var errs []error
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && src.foreign(path):
			return filepath.SkipDir
		case d.IsDir() || !isSource(path):
			return nil
		}
		errs = append(errs, src.add(path))
		return nil
	})
	return src, errors.Join(append(errs, err)...)
}

// foreign reports whether a directory contains no source of the library.
func (src *source) foreign(path string) bool {
	if path == src.root {
		return false
	}
	if slices.Contains([]string{"test", "tools", "examples"}, src.short(path)) {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	name := filepath.Base(path)
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func isSource(path string) bool {
	return filepath.Ext(path) == ".lua" || filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go")
}

func (src *source) short(path string) string {
	return strings.TrimPrefix(path, src.root+string(filepath.Separator))
}

func (src *source) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f := &file{path: src.short(path)}
	clean, anchors, err := takeAnchors(f.path, string(text))
	if err != nil {
		return err
	}
	f.text = clean
	src.files[f.path] = f
	regions, err := findRegions(f, anchors)
	if err != nil {
		return err
	}
	var errs []error
	for i, a := range anchors {
		if other, double := src.regions[a.name]; double {
			errs = append(errs, fmt.Errorf("duplicate anchor %s in %s and %s", a.name, other.path, f.path))
		}
		src.regions[a.name] = regions[i]
	}
	return errors.Join(errs...)
}
