// Quickstart shows the library in one short program. Two replicas contend for a lock. Masters die,
// and one replica still holds the lock.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
//
// Without -masters it runs five masters in its own process. It exits with status 1 if anything goes
// wrong.
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
		fmt.Fprintln(os.Stderr, "quickstart: unexpected argument; pass URLs with -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, urls string) error {
	if urls != "" {
		return runDemo(ctx, out, strings.Split(urls, ","), nil)
	}
	cluster, err := quorumtest.Start(5)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return runDemo(ctx, out, cluster.URLs(), cluster)
}
