package quorumtest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestHistoryCheck(t *testing.T) {
	hold := func(name, holder string, from, to int, fence int64) quorumtest.Hold {
		return quorumtest.Hold{Name: name, Holder: holder, Token: holder, From: time.Duration(from), To: time.Duration(to), Fence: fence}
	}
	for what, tt := range map[string]struct {
		holds []quorumtest.Hold
		want  string // "" for none
	}{
		"empty":                {nil, ""},
		"one after the other":  {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 5, 9, 0)}, ""},
		"entered out of order": {[]quorumtest.Hold{hold("a", "y", 5, 9, 0), hold("a", "x", 0, 5, 0)}, ""},
		"other names":          {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("b", "y", 0, 5, 0)}, ""},
		"overlap":              {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 4, 9, 0)}, "two holders at once"},
		"inside a longer one": {
			[]quorumtest.Hold{hold("a", "x", 0, 9, 0), hold("a", "y", 10, 11, 0), hold("a", "z", 2, 3, 0)}, "two holders at once"},
		"overlap with the one before the last": {
			[]quorumtest.Hold{hold("a", "x", 0, 9, 0), hold("a", "y", 9, 9, 0), hold("a", "z", 8, 10, 0)}, "two holders at once"},
		"of no length":       {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 2, 2, 0)}, ""},
		"over before it was": {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "y", 2, 1, 0)}, ""},
		"token twice":        {[]quorumtest.Hold{hold("a", "x", 0, 5, 0), hold("a", "x", 6, 9, 0)}, "token held twice"},
		"fences rise":        {[]quorumtest.Hold{hold("a", "x", 0, 5, 1), hold("a", "y", 6, 9, 2)}, ""},
		"same fence":         {[]quorumtest.Hold{hold("a", "x", 0, 5, 2), hold("a", "y", 6, 9, 2)}, "fences out of order"},
		"fence falls":        {[]quorumtest.Hold{hold("a", "x", 0, 5, 2), hold("a", "y", 6, 9, 1)}, "fences out of order"},
	} {
		t.Run(what, func(t *testing.T) {
			var h quorumtest.History
			for _, hold := range tt.holds {
				h.Add(hold)
			}
			if tt.want == "" {
				assert.NoError(t, h.Check())
			} else {
				assert.ErrorContains(t, h.Check(), tt.want)
			}
		})
	}
}

func ExampleHistory() {
	var history quorumtest.History
	history.Add(quorumtest.Hold{Name: "nightly-mail", Holder: "replica 1", From: 0, To: 3 * time.Second})
	history.Add(quorumtest.Hold{Name: "nightly-mail", Holder: "replica 2", From: 2 * time.Second, To: 5 * time.Second})
	fmt.Println(history.Check())
	// Output:
	// two holders at once: replica 1 held "nightly-mail" from 0s to 3s and replica 2 held "nightly-mail" from 2s to 5s
}
