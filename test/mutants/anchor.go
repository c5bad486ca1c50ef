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

// anchor is a comment at the end of a line of the library. It marks where edits apply, and stays
// with the line when code is moved or renamed.
type anchor struct {
	name  string
	first int // the anchor's line, counted from 0
	last  int // in Lua, the line of /name if there is one; otherwise first
}

// A comment that looks like an anchor must be one. Otherwise a misspelled anchor would be a plain
// comment.
var (
	anchorLike = regexp.MustCompile(`(//|--)\s*mutant:.*$`)
	anchorForm = regexp.MustCompile(`^(?://|--)mutant:(/?[a-z0-9-]+(?:,/?[a-z0-9-]+)*)$`)
)

// takeAnchors removes the anchors from a file's text, without moving any line. So edits neither
// match nor leave traces of other mutants.
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
			errs = append(errs, fmt.Errorf("%s:%d: an anchor must follow code on its line", path, i+1))
		}
		if anchors, err = note(anchors, i, mark, filepath.Ext(path) == ".lua"); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, i+1, err))
		}
		lines[i] = strings.TrimRight(code, " \t")
	}
	return strings.Join(lines, "\n"), anchors, errors.Join(errs...)
}

// commentsOf returns, for each line, where a comment begins that extends to the end of the line, or
// -1. In Lua, it mistakes "--" in a string for a comment, which is harmless here.
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
	s.Init(file, []byte(text), nil, scanner.ScanComments) // the parser reports errors later
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

// note adds the names in mark to anchors.
func note(anchors []anchor, line int, mark string, lua bool) ([]anchor, error) {
	form := anchorForm.FindStringSubmatch(mark)
	if form == nil || !lua && strings.Contains(form[1], "/") {
		return anchors, fmt.Errorf("malformed anchor: %s", mark)
	}
	for name := range strings.SplitSeq(form[1], ",") {
		begun, ends := strings.CutPrefix(name, "/")
		if !ends {
			anchors = append(anchors, anchor{name, line, line})
			continue
		}
		i := slices.IndexFunc(anchors, func(a anchor) bool { return a.name == begun && a.first == a.last })
		if i < 0 {
			return anchors, fmt.Errorf("%s without a matching start", name)
		}
		anchors[i].last = line
	}
	return anchors, nil
}
