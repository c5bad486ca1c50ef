package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// demo is a run of the demonstration, with two replicas.
type demo struct {
	out     *log.Logger
	start   time.Time
	runID   string // part of the users' names, new for each run
	a, b    *replica
	cluster *quorumtest.Cluster // nil if the masters are real
}

// runDemo lets two replicas serve, and sends them requests. It stops masters of cluster, which is
// nil if the masters are real.
func runDemo(ctx context.Context, out io.Writer, urls []string, cluster *quorumtest.Cluster) error {
	d := &demo{out: log.New(out, "", 0), start: time.Now(), runID: rand.Text()[:8], cluster: cluster}
	masters := "embedded masters"
	if cluster == nil {
		masters = "real masters, none of which is stopped"
	}
	d.out.Printf("Two replicas build reports, one at a time per user, with locks on %d %s.\n\n", len(urls), masters)
	if err := d.serve(ctx, urls); err != nil {
		return err
	}
	d.out.Print("\nEverything worked as promised.")
	return nil
}

// serve starts the replicas, runs the demonstration, and stops them.
func (d *demo) serve(ctx context.Context, urls []string) (err error) {
	common := newArchive()
	if d.a, err = startReplica(ctx, urls, "web-1:8080", common, d.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.a.close()) }()
	if d.b, err = startReplica(ctx, urls, "web-2:8080", common, d.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.b.close()) }()
	if err := d.contend(ctx); err != nil {
		return err
	}
	if d.cluster != nil {
		if err := d.lose(ctx); err != nil {
			return err
		}
	}
	return d.report(ctx)
}

// contend sends several requests at once. Those for the same user wait for each other, on whichever
// replica they are.
func (d *demo) contend(ctx context.Context) error {
	for _, r := range []*replica{d.a, d.b} {
		if err := r.expect(ctx, "GET", "/readyz", http.StatusOK); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	requests := []struct {
		to   *replica
		user string
	}{{d.a, "alice"}, {d.b, "alice"}, {d.a, "alice"}, {d.b, "bob"}}
	errs := make([]error, len(requests))
	for i, r := range requests {
		all.Go(func() { errs[i] = r.to.expect(ctx, "POST", d.user(r.user)+"/reports", http.StatusCreated) })
	}
	all.Wait()
	d.log("three requests for alice and one for bob, all at once: alice's reports are built one after the other")
	return errors.Join(errs...)
}

// lose stops a majority of the masters while a report is built. The replica cannot renew its lock,
// and stops the report before another one could begin with one.
func (d *demo) lose(ctx context.Context) error {
	carol := d.a.sending(ctx, d.user("carol")+"/reports?pages=1000", http.StatusServiceUnavailable)
	if err := d.refuse(ctx); err != nil {
		return err
	}
	for i := range 3 {
		d.cluster.Master(i).Stop()
	}
	d.log("three of the five masters are stopped")
	dave := d.b.sending(ctx, d.user("dave")+"/reports", http.StatusServiceUnavailable)
	if err := d.b.expect(ctx, "GET", "/readyz", http.StatusServiceUnavailable); err != nil {
		return err
	}
	d.log("the replicas are not ready")
	if err := errors.Join(<-carol, <-dave); err != nil {
		return err
	}
	d.log("carol's lock is lost, so her report is stopped; dave's cannot even begin")
	for i := range 3 {
		if err := d.cluster.Master(i).Restart(quorumtest.KeepMemory); err != nil {
			return err
		}
	}
	if err := d.b.expect(ctx, "POST", d.user("carol")+"/reports", http.StatusCreated); err != nil {
		return err
	}
	d.log("the masters are back, and a report for carol is built")
	return d.b.expect(ctx, "GET", "/readyz", http.StatusOK)
}

// refuse shows who holds carol's lock while her report is built, and that another request for her
// waits, but not for long.
func (d *demo) refuse(ctx context.Context) error {
	if err := d.a.await(ctx, "redlock_locks_held 1"); err != nil {
		return err
	}
	lock, err := d.b.get(ctx, d.user("carol")+"/lock")
	if err != nil {
		return err
	}
	d.log("a long report for carol is being built; her lock is " + lock)
	if err := d.b.expect(ctx, "POST", d.user("carol")+"/reports", http.StatusConflict); err != nil {
		return err
	}
	d.log("another request for carol waits in vain, and gets a 409 Conflict")
	return nil
}

// report prints the metrics that are not zero. It waits for the events of the latest requests.
func (d *demo) report(ctx context.Context) error {
	released := map[*replica]int{d.a: 2, d.b: 2}
	if d.cluster != nil {
		released[d.b]++
	}
	all := map[*replica]string{}
	for r, n := range released {
		if err := r.await(ctx, fmt.Sprintf(`redlock_hold_seconds_count{lock="user",outcome="released"} %d`, n)); err != nil {
			return err
		}
		metrics, err := r.metrics(ctx)
		if err != nil {
			return err
		}
		all[r] = metrics
	}
	for _, m := range shown {
		d.show(m.tells, append(d.a.lines(all[d.a], m.prefix), d.b.lines(all[d.b], m.prefix)...))
	}
	return nil
}

// shown are the metrics that report prints, and what they tell.
var shown = []struct{ prefix, tells string }{
	{"redlock_acquire_wait_seconds_count", "requests that wanted a lock, by outcome"},
	{"redlock_acquire_wait_seconds_sum", "for how long they waited, in all"},
	{"redlock_hold_seconds_count", "locks that were held, by the way in which that ended"},
	{"redlock_hold_seconds_sum", "for how long they were held, in all"},
	{"redlock_losses_total", "locks that were lost while a report was built"},
	{"redlock_renewals_failed_total", "renewals that failed before that"},
	{"redlock_master_stops_total", "masters that stopped answering"},
}

// show prints lines under what they tell, if there are any.
func (d *demo) show(tells string, lines []string) {
	if len(lines) == 0 {
		return
	}
	d.out.Printf("\n# %s", tells)
	for _, line := range lines {
		d.out.Print(line)
	}
}

// user returns the path of a user.
func (d *demo) user(name string) string { return "/users/" + name + "-" + d.runID }

// log prints what happened, and when.
func (d *demo) log(event string) {
	d.out.Printf("%7.1f ms  %s", time.Since(d.start).Seconds()*1000, event)
}
