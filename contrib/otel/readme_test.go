package redlockotel_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// instrument is a row of the tables of metrics.
type instrument struct {
	kind, unit string
	attributes []string
	fromStats  bool // marked ¹
}

// table returns the cells of all rows of a file's tables that have the given first heading.
func table(t *testing.T, file, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 3 {
			inside = false
			continue
		}
		cells = cells[1 : len(cells)-1]
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == heading {
			inside = true
		} else if inside && !strings.HasPrefix(cells[0], "---") {
			rows = append(rows, cells)
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

var quoted = regexp.MustCompile("`([^`]+)`")

// code returns what stands between backquotes.
func code(cell string) (found []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		found = append(found, m[1])
	}
	return found
}

// documented returns the tables of metrics.
func documented(t *testing.T) map[string]instrument {
	t.Helper()
	all := map[string]instrument{}
	for _, row := range table(t, "README.md", "metric") {
		require.Len(t, row, 5, "%q", row)
		require.NotEmpty(t, row[4], "%q says nothing", row)
		all[code(row[0])[0]] = instrument{
			kind: row[1], unit: code(row[2])[0], attributes: code(row[3]), fromStats: strings.Contains(row[0], "¹"),
		}
	}
	return all
}

func TestReadmeListsEveryMetric(t *testing.T) {
	telemetry, events := start(t, kind)
	tellEverything(t, telemetry)
	withoutStats := events.collected(t)
	exported := map[string]instrument{}
	for name, data := range complete(t).collected(t) {
		require.NotEmpty(t, data.Description, name)
		_, counts := withoutStats[name]
		m := instrument{unit: data.Unit, fromStats: !counts}
		var all []point
		m.kind, all = points(t, data)
		for _, kv := range all[0].set.ToSlice() {
			m.attributes = append(m.attributes, string(kv.Key))
		}
		exported[name] = m
	}
	require.Equal(t, exported, documented(t))
}

func TestReadmeListsEverySpanAttribute(t *testing.T) {
	exported := map[string][]string{}
	for _, s := range complete(t).spans.Ended() {
		for _, kv := range s.Attributes() {
			if !slices.Contains(exported[s.Name()], string(kv.Key)) {
				exported[s.Name()] = append(exported[s.Name()], string(kv.Key))
			}
		}
	}
	documented := map[string][]string{}
	for _, row := range table(t, "README.md", "attribute of spans") {
		for _, span := range code(row[1]) {
			documented[span] = append(documented[span], code(row[0])...)
		}
	}
	for span := range exported {
		slices.Sort(exported[span])
		slices.Sort(documented[span])
	}
	require.Equal(t, exported, documented)
}

// values returns the outcomes and reasons that a README lists.
func values(t *testing.T, file, heading string) (all []string) {
	t.Helper()
	for _, row := range table(t, file, heading) {
		all = append(all, code(row[2])...)
	}
	slices.Sort(all)
	return all
}

func TestReadmeListsEveryOutcome(t *testing.T) {
	var exported []string
	for _, m := range complete(t).collected(t) {
		_, all := points(t, m)
		for _, p := range all {
			for _, key := range []string{"redlock.outcome", "redlock.reason"} {
				for _, kv := range p.set.ToSlice() {
					if string(kv.Key) == key {
						exported = append(exported, kv.Value.String())
					}
				}
			}
		}
	}
	slices.Sort(exported)
	require.Equal(t, exported, values(t, "README.md", "of"))
}

// TestOutcomesAreThoseOfPrometheus: the modules do not share code, but dashboards share words.
func TestOutcomesAreThoseOfPrometheus(t *testing.T) {
	var theirs []string
	for _, row := range table(t, "../prometheus/README.md", "metric") {
		if len(row) == 4 { // the table of outcomes and reasons
			theirs = append(theirs, code(row[2])...)
		}
	}
	slices.Sort(theirs)
	require.Equal(t, theirs, values(t, "README.md", "of"))
}

// TestReadmeShowsTheExample: the Go block of README.md is part of the example, which is compiled
// and run.
func TestReadmeShowsTheExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```\n").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 1)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(source), "\n\t", "\n"), "\n"+blocks[0][1])
}
