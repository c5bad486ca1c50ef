package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

// region is the piece of a file that an anchor's edits work in.
type region struct {
	*file
	start, end int // in file's text
}

func (r region) text() string { return r.file.text[r.start:r.end] }

// findRegions returns those of a file's anchors, in their order.
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

// lines is the region of an anchor in Lua, and in Go where nothing begins on the line.
func (f *file) lines(a anchor) region {
	start, _ := f.line(a.first)
	_, end := f.line(a.last)
	text := f.text[start:end]
	start += len(text) - len(strings.TrimLeft(text, " \t"))
	return region{f, start, start + len(strings.TrimSpace(text))}
}

// closing is what may stand on a line before that which begins on it.
var closing = regexp.MustCompile(`^[\s)\]},]*(else\s+)?`)

// syntax returns a function that gives the region of what begins with the first word of
// a line: the outermost of statements, clauses, declarations, fields and elements of
// composite literals. A block is a statement, such as that of an else.
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
	// Fields and elements include the comma, so that they can be cut out.
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
