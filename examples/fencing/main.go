// Fencing shows why a lock that expires needs the help of the resource that it protects. A holder
// is paused until its window has closed. Another replica acquires the lock. Then the first one
// wakes up and writes. The program runs this twice: with a database that accepts every write, and
// with one that rejects writes with an old fencing token.
//
//	go -C examples/fencing run .
//	go -C examples/fencing run . -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
//
// Without -masters it runs five masters in its own process. On real masters it leaves the fences of
// two locks for a day. The database is SQLite, in memory. The program exits with status 1 if
// anything goes wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func main() {
	masters := flag.String("masters", "", "comma-separated `URLs` of real masters, such as redis://user:password@host:port/db")
	flag.Parse()
	if flag.NArg() > 0 { // do not print the argument, which may contain a password
		fmt.Fprintln(os.Stderr, "fencing: unexpected argument; pass URLs with -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "fencing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, urls string) error {
	if urls != "" {
		return runBoth(ctx, out, strings.Split(urls, ","))
	}
	cluster, err := quorumtest.Start(5)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return runBoth(ctx, out, cluster.URLs())
}

// runBoth runs the demo with a database that accepts every write, and with one that checks fences.
func runBoth(ctx context.Context, out io.Writer, urls []string) error {
	db, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	d, err := newDemo(out, urls)
	if err != nil {
		return err
	}
	defer d.close()

	d.out.Printf("The balance of an account is %d. Replica A deposits %d but is paused before it writes. Replica B deposits %d.\n",
		opening, depositA, depositB)
	d.out.Print("\nThe database accepts every write:")
	if err := d.expectBalance(ctx, unfenced{row{db, "unfenced"}}, opening+depositA); err != nil {
		return err
	}
	d.out.Print("\nThe database rejects fences lower than the highest it has seen:")
	if err := d.expectBalance(ctx, fenced{row{db, "fenced"}}, opening+depositB); err != nil {
		return err
	}
	d.out.Print("\nEverything worked as promised.")
	return nil
}
