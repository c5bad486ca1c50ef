package main

import (
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// anchor is a comment at the end of a line of the library, which tells edits where to
// work. It goes along when the line is moved to another file, or what it names renamed.
type anchor struct {
	name  string
	first int // the line it stands at, counted from 0
	last  int // in Lua the line of /name, if there is one; otherwise first
}

// Whatever looks like an anchor must be one: a misspelled one would be a plain comment.
var (
	anchorLike = regexp.MustCompile(`(//|--)\s*mutant:.*$`)
	anchorForm = regexp.MustCompile(`^(?://|--)mutant:(/?[a-z0-9-]+(?:,/?[a-z0-9-]+)*)$`)
)

// takeAnchors returns a file's text without its anchors, and with every line where it
// was. What edits match, and what they leave, has no trace of other mutants then.
func takeAnchors(path, text string) (clean string, anchors []anchor, err error) {
	var errs []error
	lines := strings.Split(text, "\n")
	for i, comment := range commentsOf(path, text, lines) {
		if comment < 0 {
			continue
		}
		at := anchorLike.FindStringIndex(lines[i][comment:])
		if at == nil {
			continue
		}
		code, mark := lines[i][:comment+at[0]], lines[i][comment+at[0]:]
		if strings.TrimSpace(code[:comment]) == "" {
			errs = append(errs, fmt.Errorf("%s:%d: an anchor stands at the end of a line of code", path, i+1))
		}
		if anchors, err = note(anchors, i, mark, filepath.Ext(path) == ".lua"); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, i+1, err))
		}
		lines[i] = strings.TrimRight(code, " \t")
	}
	return strings.Join(lines, "\n"), anchors, errors.Join(errs...)
}

// commentsOf tells where in each line a comment begins that lasts to its end, or -1. In
// Lua it takes a string for a comment, too, which does no harm here.
func commentsOf(path, text string, lines []string) []int {
	starts := make([]int, len(lines))
	for i, line := range lines {
		starts[i] = -1
		if filepath.Ext(path) == ".lua" {
			starts[i] = strings.Index(line, "--")
		}
	}
	if filepath.Ext(path) == ".lua" || !strings.Contains(text, "mutant:") {
		return starts
	}
	file := token.NewFileSet().AddFile(path, -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, scanner.ScanComments) // errors are the parser's to tell
	for {
		pos, tok, literal := s.Scan()
		switch {
		case tok == token.EOF:
			return starts
		case tok == token.COMMENT && strings.HasPrefix(literal, "//"):
			line := file.PositionFor(pos, false).Line
			starts[line-1] = file.Offset(pos) - file.Offset(file.LineStart(line))
		}
	}
}

// note adds the names of a mark to anchors.
func note(anchors []anchor, line int, mark string, lua bool) ([]anchor, error) {
	form := anchorForm.FindStringSubmatch(mark)
	if form == nil || !lua && strings.Contains(form[1], "/") {
		return anchors, fmt.Errorf("this is no anchor: %s", mark)
	}
	for name := range strings.SplitSeq(form[1], ",") {
		begun, ends := strings.CutPrefix(name, "/")
		if !ends {
			anchors = append(anchors, anchor{name, line, line})
			continue
		}
		i := slices.IndexFunc(anchors, func(a anchor) bool { return a.name == begun && a.first == a.last })
		if i < 0 {
			return anchors, fmt.Errorf("%s ends what did not begin", name)
		}
		anchors[i].last = line
	}
	return anchors, nil
}
