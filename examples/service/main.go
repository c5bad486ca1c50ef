// Service is an HTTP service that builds reports for users, one at a time per user, however many
// replicas of it run. It logs what happens to its locks, and exports it as Prometheus metrics.
//
//	go -C examples/service run .
//	go -C examples/service run . -listen 127.0.0.1:8080
//	go -C examples/service run . -listen 127.0.0.1:8080 -masters redis://10.0.0.1:6379,redis://10.0.0.2:6379,redis://10.0.0.3:6379
//
// Without -masters it runs five masters in its own process. Without -listen it demonstrates itself:
// it sends requests to two replicas, stops a majority of its own masters so that a lock is lost,
// prints the metrics, and exits, with status 1 if anything goes wrong. With -listen it serves until
// it is interrupted:
//
//	POST /users/{id}/reports   builds a report, under the lock "user:{id}"; ?pages=100 makes a long one
//	                           409 if another one for the user takes too long; 503 if the lock is lost, or cannot be acquired
//	GET  /users/{id}/lock      who holds that lock, since when, and for how long yet
//	GET  /readyz               200 if the masters can grant locks now, else 503 and what is wrong with them
//	GET  /metrics              the metrics
//
// -owner is who holds the locks of a replica that serves, as far as others can see. By default, it
// is the host's name and the process ID.
//
// What the metrics tell an operator, from the first look to the last:
//
//   - redlock_acquire_wait_seconds with outcome="acquired" is how long requests wait for their
//     turn. If it rises, users send requests faster than their reports are built.
//   - The same with outcome="wait_exceeded" counts requests that waited in vain, and with
//     outcome="no_quorum" those for which too few masters answered. These users got an error.
//   - redlock_hold_seconds with outcome="released" is how long reports take. Waiters wait that
//     long.
//   - The same with outcome="lost_expired" or "lost_denied", and redlock_losses_total, count
//     reports that were stopped halfway. The masters, or the network to them, need attention.
//   - redlock_renewals_failed_total rises before locks are lost. It is the alert to act on.
//   - redlock_locks_held is how many reports are being built now.
//   - redlock_master_answering and redlock_master_votes tell which master is the matter.
//
// The README of contrib/prometheus lists all metrics, and alert rules.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// The demonstration has no time to wait long for a lock to be lost.
var (
	serving = settings{ttl: 10 * time.Second, patience: 5 * time.Second}
	showing = settings{ttl: 2 * time.Second, patience: time.Second}
)

func main() {
	listen := flag.String("listen", "", "`address` to serve on, such as 127.0.0.1:8080; without it, the program demonstrates itself")
	owner := flag.String("owner", "", "`name` of this replica as the holder of its locks; without it, the host's name and the process ID")
	masters := flag.String("masters", "", "comma-separated `URLs` of real masters, such as redis://user:password@host:port/db")
	flag.Parse()
	if flag.NArg() > 0 { // do not print the argument, which may contain a password
		fmt.Fprintln(os.Stderr, "service: unexpected argument; pass URLs with -masters, separated by commas")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *listen, *owner, *masters); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

// run runs the service, or the demonstration if there is no address to listen on.
func run(ctx context.Context, out io.Writer, listen, owner, urls string) error {
	var cluster *quorumtest.Cluster
	all := strings.Split(urls, ",")
	if urls == "" {
		var err error
		if cluster, err = quorumtest.Start(5); err != nil {
			return err
		}
		defer func() { _ = cluster.Close() }()
		all = cluster.URLs()
	}
	if listen == "" {
		return runDemo(ctx, out, all, cluster)
	}
	with := serving
	with.owner = owner
	s, err := newService(all, with)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, s.close())
	}
	_, _ = fmt.Fprintf(out, "listening on http://%v\n", l.Addr())
	return s.serve(ctx, l)
}

// shutdownTimeout is how long requests may take to end once the service is told to stop.
const shutdownTimeout = 10 * time.Second

// serve serves until ctx ends. Then it lets requests end, and closes the locks after them, so that
// they are released.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		ended <- server.Shutdown(ending)
	})
	defer stop()
	err := server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		err = <-ended // Serve returns as soon as Shutdown has begun
	}
	return errors.Join(err, s.close())
}
