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

// write writes the report and the chart to dir.
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
	fmt.Fprintf(&b, `Measured in one run on %s, %s/%s, with %s. All libraries used the same %d masters (Redis %s) on loopback, on the
same machine. Values are medians of %s in which the libraries took turns. Ratios to this library's value are in
parentheses. %q means that no operation finished within the time limit, which is %v for hung masters. Rows of zeros are
omitted.

`, plural(runtime.NumCPU(), "CPU"), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		masterCount, redisVersion, plural(s.rounds, "round"), none, s.limit)
	b.WriteString(setups(r.libraries))
	b.WriteString(tables(r))
	b.WriteString(notes)
	return b.String()
}

// setups returns a table of what was compared, in which versions.
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

// moduleVersions returns the module versions in this program. A module built from this repository
// has no version.
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

- Two of the libraries use a single master. They do less, and work only as long as that master does.
- The cycles of one goroutine show latency. With many goroutines, throughput depends on whether they share round trips.
- A hand-off lasts from the moment when the holder begins to release until another contender has the lock. A contender
  that acquires the lock again right away hands nothing off, so a library can be quick here while most contenders wait.
  Look at the share of holds handed to another contender, the least served contender, and the longest wait too. The
  longest wait includes contenders that never got the lock.
- Each contender is a separate machine with its own connections. Commands are those that it sends to all masters
  together, counted by proxies. A script is one command, whatever it calls.
- The added round trip is 2 ms, plus a tenth or two because the proxies have to wake up. It is the same for all libraries.
- The proxies use CPU time too: more than the library itself when it sends small calls. Far away, many goroutines show what
  the machine can do rather than the network.
- The waiting goroutines share one client. Memory includes their stacks.
`
