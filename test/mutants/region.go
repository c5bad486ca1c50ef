package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

// region is the part of a file to which an anchor's edits apply.
type region struct {
	*file
	start, end int // offsets in the file's text
}

func (r region) text() string { return r.file.text[r.start:r.end] }

// findRegions returns the regions of a file's anchors, in the same order.
func findRegions(f *file, anchors []anchor) ([]region, error) {
	begin := func(int) region { return region{} }
	if len(anchors) > 0 && filepath.Ext(f.path) == ".go" {
		var err error
		if begin, err = f.syntax(); err != nil {
			return nil, err
		}
	}
	regions := make([]region, len(anchors))
	for i, a := range anchors {
		if regions[i] = begin(a.first); regions[i].file == nil {
			regions[i] = f.lines(a)
		}
	}
	return regions, nil
}

// lines returns the region of an anchor in Lua. In Go, it is used if no syntax begins on the
// anchor's line.
func (f *file) lines(a anchor) region {
	start, _ := f.line(a.first)
	_, end := f.line(a.last)
	text := f.text[start:end]
	start += len(text) - len(strings.TrimLeft(text, " \t"))
	return region{f, start, start + len(strings.TrimSpace(text))}
}

// closing matches what may precede the syntax that begins on a line.
var closing = regexp.MustCompile(`^[\s)\]},]*(else\s+)?`)

// syntax returns a function that finds the region of a line: the outermost syntax that begins with
// the line's first word. That is a statement, a clause, a declaration, a field or an element of a
// composite literal. A block is a statement too, such as the block of an else.
func (f *file) syntax() (func(line int) region, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	ends := map[int]int{}
	add := func(n ast.Node) {
		start, end := int(n.Pos()-parsed.FileStart), int(n.End()-parsed.FileStart)
		if _, outer := ends[start]; !outer {
			ends[start] = end
		}
	}
	// Fields and elements include the comma, so that edits can cut them.
	addListed := func(n ast.Node) {
		start, end := int(n.Pos()-parsed.FileStart), int(n.End()-parsed.FileStart)
		if strings.HasPrefix(f.text[end:], ",") {
			end++
		}
		ends[start] = end
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			for _, element := range n.Elts {
				addListed(element)
			}
		case *ast.Field:
			addListed(n)
		case ast.Stmt, ast.Decl, ast.Spec: // clauses are statements
			add(n)
		}
		return true
	})
	return func(line int) region {
		start, end := f.line(line)
		start += len(closing.FindString(f.text[start:end]))
		if end, begins := ends[start]; begins {
			return region{f, start, end}
		}
		return region{}
	}, nil
}
