package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	tablesFile = "RESULTS.md"
	chartFile  = "results.svg"
)

// write leaves the report and the chart in dir.
func write(dir, report, chart string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, tablesFile), []byte(report), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, chartFile), []byte(chart), 0o644)
}

// report returns the whole document.
func report(r *results, s scale, redisVersion string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Compared with other libraries\n\n![%s](%s)\n\n", chartTitle, chartFile)
	fmt.Fprintf(&b, `Measured in one run on %s, %s/%s, with %s, against the same %d masters (Redis %s) on loopback,
all on one machine. Values are medians of %s in which the libraries took turns. In parentheses: times
what this library has. %q: not once within the time limit, which is %v for hung masters. Rows of zeros are left out.

`, plural(runtime.NumCPU(), "CPU"), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		masterCount, redisVersion, plural(s.rounds, "round"), none, s.limit)
	b.WriteString(setups(r.libraries))
	b.WriteString(tables(r))
	b.WriteString(notes)
	return b.String()
}

// setups says what was compared, and in which versions.
func setups(libraries []library) string {
	versions := moduleVersions()
	rows := [][]string{{"library", "version", "as set up here"}}
	for _, p := range libraries {
		rows = append(rows, []string{p.name, versions[p.module], p.setup})
	}
	var b strings.Builder
	b.WriteString("| " + strings.Join(rows[0], " | ") + " |\n|---|---|---|\n")
	for _, row := range rows[1:] {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String() + "\n"
}

// moduleVersions returns the versions that this program was built with. What was
// built from this repository has none.
func moduleVersions() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, dep := range info.Deps {
		versions[dep.Path] = dep.Version
		if dep.Replace != nil {
			versions[dep.Path] = "this repository"
		}
	}
	return versions
}

const notes = `## How to read this

- Two of the libraries are for one master. They do less, and go on only as long as that master does.
- One goroutine's cycles are latency. With many, what counts is whether they share round trips.
- A hand-off lasts from the moment the holder begins to release until somebody else has the lock. Whoever takes it again
  by itself hands nothing off, so a library can be quick here while most contenders wait: see what share of holds was
  handed to another, the least served, and the longest wait, in which a contender that was never served counts too.
- Contenders are machines of their own: each has its own connections. Commands are what they send to the masters, all
  masters together, counted on the way; a script is one, whatever it calls.
- Added round trips are 2 ms and, timers being late, a few tenths more: alike for all.
- The waiting goroutines share one client. Their own stacks are included.
`
