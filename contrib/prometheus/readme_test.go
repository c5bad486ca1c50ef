package redlockprom_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
)

// metric is a row of the tables of metrics.
type metric struct {
	kind      string
	labels    []string
	fromStats bool // marked ¹
}

// table returns the cells of all rows in README.md that have the given number of columns.
func table(t *testing.T, columns int) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != columns+2 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		cells = cells[1 : columns+1]
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
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
func documented(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	for _, row := range table(t, 5) {
		if row[0] == "metric" {
			continue
		}
		require.Len(t, code(row[0]), 1, "%q", row)
		require.NotEmpty(t, row[3], "%q says nothing", row)
		all[code(row[0])[0]] = metric{kind: row[1], labels: code(row[2]), fromStats: strings.Contains(row[0], "¹")}
	}
	return all
}

func TestReadmeListsEveryMetric(t *testing.T) {
	withoutStats := map[string]bool{}
	events := redlockprom.New(redlockprom.Options{})
	for _, tt := range cases {
		_, tell := handler(t, events.Events(), tt.event)
		tell()
	}
	for _, family := range families(t, events) {
		withoutStats[family.GetName()] = true
	}
	exported := map[string]metric{}
	for _, family := range families(t, complete(t)) {
		m := metric{kind: strings.ToLower(family.GetType().String()), fromStats: !withoutStats[family.GetName()]}
		for _, l := range family.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		exported[family.GetName()] = m
	}
	require.Equal(t, exported, documented(t))
}

// TestReadmeListsEveryLabelValue compares the table of outcomes and reasons with what all kinds of
// errors lead to.
func TestReadmeListsEveryLabelValue(t *testing.T) {
	documented := map[string][]string{}
	var name, label string
	for _, row := range table(t, 4) {
		if row[0] == "metric" {
			continue
		}
		if row[0] != "" {
			name, label = code(row[0])[0], code(row[1])[0]
		}
		documented[name+" "+label] = append(documented[name+" "+label], code(row[2])...)
	}
	exported := map[string][]string{}
	for _, family := range families(t, everyOutcome()) {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if key := family.GetName() + " " + l.GetName(); l.GetName() == "outcome" || l.GetName() == "reason" {
					exported[key] = append(exported[key], l.GetValue())
				}
			}
		}
	}
	require.NotEmpty(t, exported)
	for key := range exported {
		slices.Sort(documented[key])
		slices.Sort(exported[key])
	}
	require.Equal(t, exported, documented)
}

// everyOutcome returns a Collector that has seen every way in which a wait or a hold can end.
func everyOutcome() *redlockprom.Collector {
	c := redlockprom.New(redlockprom.Options{})
	c.Events().Acquired(quorum.AcquiredEvent{})
	for _, err := range failures {
		c.Events().NotAcquired(quorum.NotAcquiredEvent{Err: err})
	}
	c.Events().Released(quorum.ReleasedEvent{})
	c.Events().Released(quorum.ReleasedEvent{LeftToExpire: true})
	for _, err := range losses {
		c.Events().Lost(quorum.LostEvent{Err: err})
	}
	return c
}

// TestAlertRulesNameExistingSeries checks the metrics, labels and label values of the expressions.
func TestAlertRulesNameExistingSeries(t *testing.T) {
	metrics := documented(t)
	known := map[string]bool{}
	for _, row := range table(t, 4) {
		for _, value := range code(row[2]) {
			known[value] = true
		}
	}
	rules := 0
	for _, row := range table(t, 5) {
		for _, rule := range code(row[4]) {
			if !strings.Contains(rule, "redlock_") {
				continue
			}
			rules++
			for _, name := range regexp.MustCompile(`redlock_\w+`).FindAllString(rule, -1) {
				assert.Contains(t, metrics, strings.TrimSuffix(name, "_bucket"), rule)
				assert.Equal(t, strings.HasSuffix(name, "_bucket"), metrics[strings.TrimSuffix(name, "_bucket")].kind == "histogram", rule)
			}
			for _, selector := range regexp.MustCompile(`(\w+)!?="(\w+)"`).FindAllStringSubmatch(rule, -1) {
				assert.Contains(t, metrics[code(row[0])[0]].labels, selector[1], rule)
				assert.True(t, known[selector[2]], rule)
			}
		}
	}
	require.Positive(t, rules)
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
