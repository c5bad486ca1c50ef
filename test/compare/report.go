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
func report(r *results, s scale, f facts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Compared with other libraries and systems\n\n![%s](%s)\n\n", chartTitle, chartFile)
	fmt.Fprintf(&b, `Measured in one run on %s, %s/%s, with %s. All servers ran on the same machine, on loopback: %d masters (Redis %s,
without persistence), two clusters of %d nodes (etcd %s), and PostgreSQL %s. Their files were in the temporary directory,
where an fsync took %s. Other processes used %s of a CPU during the run. Values are medians of %s in which the libraries took turns. Ratios to this library's value are in
parentheses. %q means that no operation finished within the time limit, which is %v for hung servers, or that a value does
not apply. Rows of zeros are omitted.

`, plural(runtime.NumCPU(), "CPU"), runtime.GOOS, runtime.GOARCH, runtime.Version(), masterCount, f.versions[redisSystem],
		etcdNodeCount, f.versions[etcdSystem], f.versions[postgresSystem],
		duration(f.fsync.Seconds()), share(f.others), plural(s.rounds, "round"), none, s.limit)
	b.WriteString(setups(r.libraries))
	b.WriteString(promiseTable(r.libraries))
	b.WriteString(featureTable())
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
	return textTable(rows)
}

// promiseTable returns a table of what each library promises. Speed means little without it.
func promiseTable(libraries []library) string {
	rows := [][]string{{"library", "survives failures of", "a dead holder's lock expires", "fencing token", "order of waiters", "if servers restart"}}
	for _, p := range libraries {
		rows = append(rows, []string{p.name, p.survives, p.expires, p.fence, p.order, p.restart})
	}
	return "## What each promises, as set up here\n\n" + textTable(rows)
}

// textTable formats rows of text as a Markdown table. The first row is the header.
func textTable(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
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

- Two of the Redis libraries use a single master, and PostgreSQL is a single server. They do less, and work only as long as
  that server does.
- etcd writes every acquire and release to the disks of a majority before it answers; Redis and advisory locks live in
  memory. So etcd's times depend on the disk: see the time of an fsync above. Without fsync it promises less, and shows what
  the rest of etcd costs. An acquire of Election is two requests, one of Mutex is one.
- Of the Redis masters the first ones hang. Of etcd's nodes the leader hangs first, and two of three are too many. If a
  library hangs for a while, the medians are of the few operations before and after: look at the cycles per second.
  etcd's nodes elect another leader within seconds, but a request that was sent to the hung node fails only when the
  client's keepalive gives the connection up, after 16 s. With deadlines, requests would fail earlier.
- The cycles of one goroutine show latency. With many goroutines, throughput depends on whether they share round trips.
- A hand-off lasts from the moment when the holder begins to release until another contender has the lock. A contender
  that acquires the lock again right away hands nothing off, so a library can be quick here while most contenders wait.
  Look at the share of holds handed to another contender, the least served contender, and the longest wait too. The
  longest wait includes contenders that never got the lock.
- Each contender is a separate machine with its own connections. Commands are those that it sends to all masters
  together, counted by proxies. A script is one command, whatever it calls. Other protocols than Redis' are not counted.
- The added round trip is 2 ms, plus a tenth or two because the proxies have to wake up. It is between client and server,
  and the same for all libraries. Between etcd's nodes nothing is added, as if they were close to each other. If they were
  as far apart as the client is, each acquire and release would take another 2 ms.
- The proxies use CPU time too: more than the library itself when it sends small calls. Far away, many goroutines show what
  the machine can do rather than the network.
- The waiting goroutines share one client. Memory includes their stacks. With PostgreSQL, only as many wait for the lock as
  the pool has connections; the others wait for a connection, and so does everybody who wants another lock.
- Tables of readers and writers, of several names and of leadership have a column for each library that has such a thing. How
  many failures of servers each survives, and what becomes of locks when servers restart, is as in the table above.
- While readers hold the lock, those that come behind a waiting writer wait too, in all of these libraries. So more reads per
  second can mean that writers wait longer: look at both.
- A refused attempt for several names counts until it returns, with the release of what it was granted. Then a third client
  tries the other names, one by one.
- A killed leader's successor leads when the TTL is over. The kills come at any time between two renewals, a third of the TTL
  apart, so between two thirds and the whole of the TTL are left. PostgreSQL has no leadership. Its server sees the connection
  of a killed process end at once, but that of a machine that vanished may last for hours.
`
