package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// edit is a change of the region that an anchor marks.
type edit struct {
	anchor string
	change func(region) (splice, error)
}

// splice puts a text in the place of another one.
type splice struct {
	start, end int
	text       string
}

// changes is false also where a mere empty line would be put in.
func (s splice) changes(text string) bool {
	old := text[s.start:s.end]
	return s.text != old && strings.TrimSpace(old+s.text) != ""
}

// sub replaces what the pattern matches, and only once in the region. A dot matches line
// feeds, too. The replacement's $1 and ${1} are what groups matched, so that names can
// come from the source.
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
			return splice{}, fmt.Errorf("%d matches, not 1, of %s", len(matches), pattern)
		}
		text := re.ExpandString(nil, replacement, r.text(), matches[0])
		return splice{r.start + matches[0][0], r.start + matches[0][1], string(text)}, nil
	}}
}

var reference = regexp.MustCompile(`\$(?:\$|(\w+)|\{(\w+)\})`)

// checkGroups objects to what Expand takes for an empty group: $1x is named 1x.
func checkGroups(re *regexp.Regexp, replacement string) error {
	known := map[string]bool{"": true}
	for i, name := range re.SubexpNames() {
		known[name], known[fmt.Sprint(i)] = true, true
	}
	for _, ref := range reference.FindAllStringSubmatch(replacement, -1) {
		if !known[ref[1]+ref[2]] {
			return fmt.Errorf("no group is named as in %s", ref[0])
		}
	}
	return nil
}

// cut removes the region.
func cut(anchor string) edit { return swap(anchor, "") }

// swap puts a text in the region's place; $0 in it is the region.
func swap(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		return splice{r.start, r.end, strings.ReplaceAll(text, "$0", r.text())}, nil
	}}
}

// before puts lines before those of the region.
func before(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		start := strings.LastIndex(r.file.text[:r.start], "\n") + 1
		if strings.TrimSpace(r.file.text[start:r.start]) != "" {
			return splice{}, errors.New("something stands before the region on its line")
		}
		return splice{start, start, text + "\n"}, nil
	}}
}

// after puts lines after those of the region.
func after(anchor, text string) edit {
	return edit{anchor: anchor, change: func(r region) (splice, error) {
		rest, _, _ := strings.Cut(r.file.text[r.end:], "\n")
		if code := strings.TrimSpace(rest); code != "" && !strings.HasPrefix(code, "//") && !strings.HasPrefix(code, "--") {
			return splice{}, errors.New("something stands after the region on its line")
		}
		end := r.end + len(rest)
		return splice{end, end, "\n" + text}, nil
	}}
}

// splice returns what the edit does to the file that has its anchor.
func (e edit) splice(src *source) (*file, splice, error) {
	r, ok := src.regions[e.anchor]
	if !ok {
		return nil, splice{}, fmt.Errorf("there is no anchor %s", e.anchor)
	}
	s, err := e.change(r)
	if err == nil && !s.changes(r.file.text) {
		err = errors.New("it changes nothing")
	}
	if err != nil {
		return nil, splice{}, fmt.Errorf("at anchor %s of %s: %w, in\n%s", e.anchor, r.path, err, r.text())
	}
	return r.file, s, nil
}
