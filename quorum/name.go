package quorum

import (
	"fmt"
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
