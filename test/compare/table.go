package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// tables returns the results as Markdown, with one table per group and one column per library.
// Columns are aligned, so that the source is readable too. A group with libraries of its own begins
// with what each of them promises.
func tables(r *results) string {
	var b strings.Builder
	for first := 0; first < len(r.scenarios); {
		group, libraries := r.scenarios[first].group, r.scenarios[first].libraries
		rows := [][]string{header(libraries)}
		next := first
		for ; next < len(r.scenarios) && r.scenarios[next].group == group; next++ {
			rows = append(rows, scenarioRows(r, next)...)
		}
		fmt.Fprintf(&b, "## %s\n\n%s%s\n", group, offerTable(libraries), aligned(rows))
		first = next
	}
	return b.String()
}

// offerTable returns a table of what libraries offer beyond a mutex, or nothing if they have
// nothing to say about it.
func offerTable(libraries []library) string {
	rows := [][]string{{"library", "as set up here", "what it promises"}}
	for _, p := range libraries {
		if p.offers == "" {
			return ""
		}
		rows = append(rows, []string{p.name, p.setup, p.offers})
	}
	return textTable(rows)
}

func header(libraries []library) []string {
	cells := []string{""}
	for _, p := range libraries {
		cells = append(cells, p.name)
	}
	return cells
}

func scenarioRows(r *results, s int) (rows [][]string) {
	for m, metric := range r.scenarios[s].metrics {
		values := r.medians(s, m)
		if metric.hideZeros && !anyPositive(values) {
			continue
		}
		row := []string{r.scenarios[s].label + ": " + metric.name}
		for p, v := range values {
			row = append(row, cell(v, values[0], metric, p == 0))
		}
		rows = append(rows, row)
	}
	return rows
}

// anyPositive reports whether any value is positive.
func anyPositive(values []float64) bool {
	for _, v := range values {
		if v > 0 { // false for NaN
			return true
		}
	}
	return false
}

// cell formats a value, and its ratio to the first one if that is meaningful.
func cell(v, first float64, m metric, isFirst bool) string {
	shown := m.unit(v)
	if r := v / first; !isFirst && !m.hideZeros && !math.IsNaN(r) && !math.IsInf(r, 0) {
		shown += " (" + times(r) + ")"
	}
	return shown
}

// aligned formats rows as a Markdown table. The first row is the header.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), len("--:"))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		writeRow(&b, row, widths)
		if i == 0 {
			writeRule(&b, widths)
		}
	}
	return b.String()
}

// writeRow aligns the first cell left and the others, which are numbers, right.
func writeRow(b *strings.Builder, row []string, widths []int) {
	for i, cell := range row {
		padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			fmt.Fprintf(b, "| %s%s |", cell, padding)
		} else {
			fmt.Fprintf(b, " %s%s |", padding, cell)
		}
	}
	b.WriteByte('\n')
}

func writeRule(b *strings.Builder, widths []int) {
	for i, width := range widths {
		if i == 0 {
			fmt.Fprintf(b, "|%s|", strings.Repeat("-", width+2))
		} else {
			fmt.Fprintf(b, "%s:|", strings.Repeat("-", width+1))
		}
	}
	b.WriteByte('\n')
}
