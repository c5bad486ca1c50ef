package membership

import (
	"net/url"
	"slices"
	"strings"
)

// Set is a set of masters, by the names under which its clients know them. It is their escaped
// names in order, separated by commas. "" is no set.
type Set string

// SetOf returns the set of the masters with the given names. Each must occur once.
func SetOf(names []string) Set {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = escape(name)
	}
	slices.Sort(escaped)
	return Set(strings.Join(escaped, ","))
}

// escape makes a name free of spaces and commas.
func escape(name string) string { return strings.ReplaceAll(url.PathEscape(name), "*", "%2A") }

func (s Set) members() []string {
	if s == "" {
		return nil
	}
	return strings.Split(string(s), ",")
}

// Len returns how many masters are in the set.
func (s Set) Len() int { return len(s.members()) }

// Has reports whether a master is in the set.
func (s Set) Has(name string) bool { return slices.Contains(s.members(), escape(name)) }

// String lists the names.
func (s Set) String() string {
	names := s.members()
	for i, name := range names {
		if plain, err := url.PathUnescape(name); err == nil {
			names[i] = plain
		}
	}
	return strings.Join(names, ", ")
}
