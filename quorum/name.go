package quorum

import (
	"fmt"
	"unicode/utf8"
)

// maxShownName is how many bytes of a lock's name are shown. A name may be as long as a Redis key,
// and a name that is misused for a document should not be repeated in every error.
const maxShownName = 100

// quote returns the name as errors show it.
func quote(name string) string {
	if len(name) <= maxShownName {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q (%d bytes)", clip(name), len(name))
}

// clip returns the name, or its beginning if it is long. It cuts no character in two.
func clip(name string) string {
	if len(name) <= maxShownName {
		return name
	}
	end := maxShownName
	for end > maxShownName-utf8.UTFMax+1 && !utf8.RuneStart(name[end]) {
		end--
	}
	if !utf8.RuneStart(name[end]) { // that is no text, so there is nothing to cut in two
		end = maxShownName
	}
	return name[:end] + "…"
}
