package main

import (
	"errors"
	"fmt"
	"strings"
)

// verbatim is an edit of the old kind, which breaks when its text is moved or renamed. It
// goes when no mutant of the table has one any more.
type verbatim struct{ file, old, new string }

// replace replaces a text that occurs exactly once in a file.
func replace(file, old, text string) edit { return edit{old: &verbatim{file, old, text}} }

// apply edits one of texts, which have what was changed already.
func (v *verbatim) apply(src *source, texts map[string]string) error {
	text, changed := texts[v.file]
	if !changed {
		f, ok := src.files[v.file]
		if !ok {
			return fmt.Errorf("no such file: %s", v.file)
		}
		text = f.text
	}
	if n := strings.Count(text, v.old); n != 1 {
		return fmt.Errorf("%s has %d of the 1 occurrence wanted of\n%s", v.file, n, v.old)
	}
	if v.old == v.new {
		return errors.New("it changes nothing")
	}
	texts[v.file] = strings.Replace(text, v.old, v.new, 1)
	return nil
}
