package membership

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Record is a master's record of the set that its clients use.
type Record struct {
	Generation int64
	Name       string // the master's name in one of the sets, rather in the first
	As         string // its name in Next, if it is in both, and has another name there; otherwise ""
	Set        Set    // its clients use this set
	Next       Set    // and this one too; "" unless the set is being changed; Any if it is not known yet
	// Past is the set that was left for this one by DeclareMasters, and whose clients hold nothing
	// anymore; "" if there is none.
	Past Set
	// Over is when the lease that the master noted when it was sealed is over, in milliseconds of
	// its clock. The master fills it in.
	Over int64
}

// Any is the Next of a master that is not in the set, before it is known which set it will be in.
// It is no set's text.
const Any Set = "*"

// Tag identifies what a record says to clients. Records that differ in their generation only have
// the same tag.
func (r Record) Tag() string {
	sum := sha256.Sum256([]byte(r.nameText() + " " + string(r.Set) + " " + string(r.Next)))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// nameText returns the names as masters store them.
func (r Record) nameText() string {
	if r.As == "" {
		return escape(r.Name)
	}
	return escape(r.Name) + "," + escape(r.As)
}

// names returns all names of the master.
func (r *Record) names() []string {
	if r.As == "" {
		return []string{r.Name}
	}
	return []string{r.Name, r.As}
}

// nameIn returns the master's name in a set of the record, or "" if it is not in it.
func (r *Record) nameIn(s Set) string {
	switch {
	case s == r.Next && r.As != "": //mutant:name-in-both
		return r.As
	case s.Has(r.Name):
		return r.Name
	}
	return ""
}

// Version identifies a record. It is what a change of the record must name. "" stands for no
// record.
func (r *Record) Version() string {
	if r == nil {
		return ""
	}
	return r.Tag() + " " + strconv.FormatInt(r.Generation, 10)
}

// claim returns a record that claims a master for a new set. No client may use the master yet.
func (r Record) claim() *Record {
	r.Next = r.Set
	return &r
}

// isClaim reports whether a record claims a master for a new set.
func (r *Record) isClaim() bool { return r != nil && r.Next == r.Set }

// Sealed reports whether clients of one set alone may not use the master.
func (r Record) Sealed() bool { return r.Next != "" }

// isSupersededBy reports whether another master's record is later. That of a set alone says that
// everything is over that was granted before.
func (r *Record) isSupersededBy(later *Record) bool {
	return !later.Sealed() && (r.Generation < later.Generation || //mutant:brought-forward
		r.Generation == later.Generation && isSeal(r) && r.Next == later.Set) //mutant:seal-brought-forward
}

// Text returns the record as masters store it, without Over.
func (r Record) Text() string {
	return fmt.Sprintf("%s %s %s %s %s", r.Version(), r.nameText(), string(r.Set), cmp.Or(string(r.Next), none), cmp.Or(string(r.Past), none))
}

// none stands for no set. It is no set's text: sets begin with the first of several names.
const none = "-"

var recordText = regexp.MustCompile(`^(\S{12}) (\d{1,15}) (\S+) (\S+) (\S+) (\S+) (\d{1,15})$`)

// errNoRecord means that a master stores something that is not a record.
var errNoRecord = errors.New("no record of a set of masters is stored, but something else")

// Parse parses what a master stores, with Over. It returns nil for "".
func Parse(text string) (*Record, error) {
	if text == "" {
		return nil, nil
	}
	parts := recordText.FindStringSubmatch(text)
	if parts == nil {
		return nil, errNoRecord
	}
	name, as, _ := strings.Cut(parts[3], ",")
	name, err1 := url.PathUnescape(name)
	as, err2 := url.PathUnescape(as)
	if err1 != nil || err2 != nil {
		return nil, errNoRecord
	}
	r := &Record{Name: name, As: as, Set: Set(parts[4]), Next: someSet(parts[5]), Past: someSet(parts[6])}
	r.Generation, _ = strconv.ParseInt(parts[2], 10, 64) // it has few digits
	r.Over, _ = strconv.ParseInt(parts[7], 10, 64)
	if r.Tag() != parts[1] || !r.Set.Has(name) && !r.Next.Has(name) && r.Next != Any || as != "" && !r.Next.Has(as) {
		return nil, errNoRecord
	}
	return r, nil
}

func someSet(text string) Set {
	if text == none {
		return ""
	}
	return Set(text)
}

// SameRecords reports whether masters have the same records as before.
func SameRecords(before, now []View) bool {
	return slices.EqualFunc(before, now, func(a, b View) bool {
		return a.Answered == b.Answered && a.Record.Version() == b.Record.Version()
	})
}
