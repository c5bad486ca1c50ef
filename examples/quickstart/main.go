// Quickstart is what the library is for, in one short program: two replicas
// contend for a lock, masters die, and the lock stays safe and held.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
//
// Without -masters it runs five masters of its own, in this process. It exits
// with status 1 if anything is not as promised.
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
		fmt.Fprintln(os.Stderr, "quickstart: there are arguments besides the flags; URLs go into -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart: not as promised:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, urls string) error {
	if urls != "" {
		return tell(ctx, out, strings.Split(urls, ","), nil)
	}
	cluster, err := quorumtest.Start(5)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return tell(ctx, out, cluster.URLs(), cluster)
}
