package quorum

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxShownName is how many bytes of a lock's name are shown. A name may be as long as a Redis key.
// If someone misuses it to hold a document, errors should not repeat the whole document.
const maxShownName = 100

// quote returns the name in the form that errors show.
func quote(name string) string {
	if len(name) <= maxShownName {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q (%d bytes)", clip(name), len(name))
}

// maxShownNames is how many names are shown of those that one call is about.
const maxShownNames = 3

// quoteAll returns names in the form that errors show. Of many, it shows the first.
func quoteAll(names []string) string {
	var b strings.Builder
	for i, name := range names {
		switch {
		case i == maxShownNames:
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
	}
	return b.String()
}

// clip returns the name, or its beginning if it is long. It does not split a character.
func clip(name string) string {
	if len(name) <= maxShownName {
		return name
	}
	end := maxShownName
	for end > maxShownName-utf8.UTFMax+1 && !utf8.RuneStart(name[end]) {
		end--
	}
	if !utf8.RuneStart(name[end]) { // not text, so there is no character to split
		end = maxShownName
	}
	return name[:end] + "…"
}
