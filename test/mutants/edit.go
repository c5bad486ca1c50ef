package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// edit is a change to the region that an anchor marks.
type edit struct {
	anchor string
	change func(region) (splice, error)
}

// splice replaces a part of a file's text.
type splice struct {
	start, end int
	text       string
}

// changes reports whether the splice changes the text. A new blank line is no change.
func (s splice) changes(text string) bool {
	old := text[s.start:s.end]
	return s.text != old && strings.TrimSpace(old+s.text) != ""
}

// sub replaces the only match of pattern in the region. In pattern, a dot also matches line feeds.
// In replacement, $1 and ${1} stand for the groups of pattern, so that edits can reuse names from
// the source.
func sub(anchor, pattern, replacement string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		re, err := regexp.Compile("(?s:" + pattern + ")")
		if err != nil {
			return splice{}, err
		}
		if err := checkGroups(re, replacement); err != nil {
			return splice{}, err
		}
		matches := re.FindAllStringSubmatchIndex(r.text(), -1)
		if len(matches) != 1 {
			return splice{}, fmt.Errorf("%d matches of %s, want 1", len(matches), pattern)
		}
		text := re.ExpandString(nil, replacement, r.text(), matches[0])
		return splice{r.start + matches[0][0], r.start + matches[0][1], string(text)}, nil
	}}
}

var reference = regexp.MustCompile(`\$(?:\$|(\w+)|\{(\w+)\})`)

// checkGroups rejects unknown groups, which Expand replaces by nothing. For example, $1x is a group
// named 1x.
func checkGroups(re *regexp.Regexp, replacement string) error {
	known := map[string]bool{"": true}
	for i, name := range re.SubexpNames() {
		known[name], known[fmt.Sprint(i)] = true, true
	}
	for _, ref := range reference.FindAllStringSubmatch(replacement, -1) {
		if !known[ref[1]+ref[2]] {
			return fmt.Errorf("unknown group %s", ref[0])
		}
	}
	return nil
}

// cut removes the region.
func cut(anchor string) edit { return swap(anchor, "") }

// swap replaces the region by text. In text, $0 stands for the region.
func swap(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		return splice{r.start, r.end, strings.ReplaceAll(text, "$0", r.text())}, nil
	}}
}

// before inserts lines before those of the region.
func before(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		start := strings.LastIndex(r.file.text[:r.start], "\n") + 1
		if strings.TrimSpace(r.file.text[start:r.start]) != "" {
			return splice{}, errors.New("code precedes the region on its line")
		}
		return splice{start, start, text + "\n"}, nil
	}}
}

// after inserts lines after those of the region.
func after(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		rest, _, _ := strings.Cut(r.file.text[r.end:], "\n")
		if code := strings.TrimSpace(rest); code != "" && !strings.HasPrefix(code, "//") && !strings.HasPrefix(code, "--") {
			return splice{}, errors.New("code follows the region on its line")
		}
		end := r.end + len(rest)
		return splice{end, end, "\n" + text}, nil
	}}
}

// splice returns the edit's splice, and the file to which it applies.
func (e edit) splice(src *source) (*file, splice, error) {
	r, ok := src.regions[e.anchor]
	if !ok {
		return nil, splice{}, fmt.Errorf("unknown anchor %s", e.anchor)
	}
	s, err := e.change(r)
	if err == nil && !s.changes(r.file.text) {
		err = errors.New("the edit changes nothing")
	}
	if err != nil {
		return nil, splice{}, fmt.Errorf("anchor %s in %s: %w:\n%s", e.anchor, r.path, err, r.text())
	}
	return r.file, s, nil
}
