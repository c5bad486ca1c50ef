// Fencing is what a lock that expires needs the protected resource's help for: a
// holder is paused past its window, another takes the lock, and the first wakes
// and writes. It is told twice, of a database that takes every write, and of one
// that refuses those with an old fencing token.
//
//	go -C examples/fencing run .
//	go -C examples/fencing run . -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
//
// Without -masters it runs five masters of its own, in this process. Masters of
// yours are left with the fences of two locks, for a day. The database is SQLite,
// in memory. It exits with status 1 if anything is not as promised.
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
	masters := flag.String("masters", "", "comma-separated `URLs` of real masters, redis://user:password@host:port/db each")
	flag.Parse()
	if flag.NArg() > 0 { // not shown: it may be a URL with a password
		fmt.Fprintln(os.Stderr, "fencing: there are arguments besides the flags; URLs go into -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "fencing: not as promised:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, urls string) error {
	if urls != "" {
		return tellBoth(ctx, out, strings.Split(urls, ","))
	}
	cluster, err := quorumtest.Start(5)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return tellBoth(ctx, out, cluster.URLs())
}

// tellBoth tells the story of a database that trusts its clients, and of one that
// does not.
func tellBoth(ctx context.Context, out io.Writer, urls []string) error {
	db, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	s, err := newStory(out, urls)
	if err != nil {
		return err
	}
	defer s.close()

	s.out.Printf("There are %d in an account. Replica A deposits %d and is paused over it, replica B deposits %d.\n",
		opening, depositA, depositB)
	s.out.Print("\nWhere the database takes every write:")
	if err := s.expect(ctx, trusting{row{db, "trusting"}}, opening+depositA); err != nil {
		return err
	}
	s.out.Print("\nWhere it refuses a fence lower than the highest it has seen:")
	if err := s.expect(ctx, fenced{row{db, "fenced"}}, opening+depositB); err != nil {
		return err
	}
	s.out.Print("\nAll as promised.")
	return nil
}
