// Oncall shows what an operator does about a job that hangs. The job holds its lock and would hold
// it forever, because it is renewed. The operator finds the lock, sees who holds it, and breaks it.
// The job says so and stops, and the next replica gets the lock.
//
//	go run ./examples/oncall
//	go run ./examples/oncall -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
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
		fmt.Fprintln(os.Stderr, "oncall: unexpected argument; pass URLs with -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "oncall:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, urls string) error {
	if urls != "" {
		return runDemo(ctx, out, strings.Split(urls, ","), "real masters")
	}
	cluster, err := quorumtest.Start(5)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return runDemo(ctx, out, cluster.URLs(), "embedded masters")
}
