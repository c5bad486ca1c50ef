package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// step is the longest that a step of the demonstration may take.
const step = 30 * time.Second

// demo is a run of the demonstration.
type demo struct {
	out     *log.Logger
	start   time.Time
	runID   string // part of the users' names, new for each run
	address string
	client  *http.Client
	cluster *quorumtest.Cluster // nil if the masters are real
}

// runDemo serves, and sends the service requests. It stops masters of cluster, which is nil if the
// masters are real.
func runDemo(ctx context.Context, out io.Writer, urls []string, cluster *quorumtest.Cluster) error {
	s, err := newService(urls, showing)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, s.close())
	}
	run, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- s.serve(run, l) }()

	d := &demo{
		out: log.New(out, "", 0), start: time.Now(), runID: rand.Text()[:8], address: "http://" + l.Addr().String(),
		client: &http.Client{Transport: &http.Transport{}}, cluster: cluster,
	}
	masters := "embedded masters"
	if cluster == nil {
		masters = "real masters, none of which is stopped"
	}
	d.out.Printf("A service builds reports, one at a time per user, with locks on %d %s.\n\n", len(urls), masters)
	err = d.run(ctx)
	d.client.CloseIdleConnections()
	stop()
	if err := errors.Join(err, <-served); err != nil {
		return err
	}
	d.out.Print("\nEverything worked as promised.")
	return nil
}

func (d *demo) run(ctx context.Context) error {
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

// contend sends several requests at once. Those for the same user wait for each other.
func (d *demo) contend(ctx context.Context) error {
	if err := d.expect(ctx, "GET", "/readyz", http.StatusOK); err != nil {
		return err
	}
	var all sync.WaitGroup
	users := []string{"alice", "alice", "alice", "bob"}
	errs := make([]error, len(users))
	for i, user := range users {
		all.Go(func() { errs[i] = d.expect(ctx, "POST", d.reports(user), http.StatusCreated) })
	}
	all.Wait()
	d.log("three requests for alice and one for bob, all at once: alice's reports are built one after the other")
	return errors.Join(errs...)
}

// lose stops a majority of the masters while a report is built. The service cannot renew its lock,
// and stops the report before another replica could begin with one.
func (d *demo) lose(ctx context.Context) error {
	carol := d.sending(ctx, d.reports("carol")+"?pages=1000", http.StatusServiceUnavailable)
	if err := d.await(ctx, "redlock_locks_held 1"); err != nil {
		return err
	}
	d.log("a long report for carol is being built")
	for i := range 3 {
		d.cluster.Master(i).Stop()
	}
	d.log("three of the five masters are stopped")
	dave := d.sending(ctx, d.reports("dave"), http.StatusServiceUnavailable)
	if err := d.expect(ctx, "GET", "/readyz", http.StatusServiceUnavailable); err != nil {
		return err
	}
	d.log("the service is not ready")
	if err := errors.Join(<-carol, <-dave); err != nil {
		return err
	}
	d.log("carol's lock is lost, so her report is stopped; dave's cannot even begin")
	for i := range 3 {
		if err := d.cluster.Master(i).Restart(quorumtest.KeepMemory); err != nil {
			return err
		}
	}
	if err := d.expect(ctx, "POST", d.reports("carol"), http.StatusCreated); err != nil {
		return err
	}
	d.log("the masters are back, and a report for carol is built")
	return d.expect(ctx, "GET", "/readyz", http.StatusOK)
}

// sending sends a request for a report, and expects a status.
func (d *demo) sending(ctx context.Context, path string, status int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- d.expect(ctx, "POST", path, status) }()
	return done
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

// report prints the metrics that are not zero. It waits for the events of the latest requests.
func (d *demo) report(ctx context.Context) error {
	released := 4
	if d.cluster != nil {
		released = 5
	}
	last := fmt.Sprintf(`redlock_hold_seconds_count{lock="user",outcome="released"} %d`, released)
	if err := d.await(ctx, last); err != nil {
		return err
	}
	metrics, err := d.metrics(ctx)
	if err != nil {
		return err
	}
	for _, m := range shown {
		lines := slices.DeleteFunc(strings.Split(metrics, "\n"), func(line string) bool {
			return !strings.HasPrefix(line, m.prefix) || strings.HasSuffix(line, " 0")
		})
		if len(lines) > 0 {
			d.out.Printf("\n# %s\n%s", m.tells, strings.Join(lines, "\n"))
		}
	}
	return nil
}

// reports returns the path of a user's reports.
func (d *demo) reports(user string) string { return "/users/" + user + "-" + d.runID + "/reports" }

// expect sends a request, and returns an error if the response has another status.
func (d *demo) expect(ctx context.Context, method, path string, status int) error {
	got, body, err := d.send(ctx, method, path)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: got %d %q, want %d", method, path, got, body, status)
	}
	return err
}

// await waits until the metrics have a line.
func (d *demo) await(ctx context.Context, line string) error {
	for deadline := time.Now().Add(step); ; time.Sleep(5 * time.Millisecond) {
		metrics, err := d.metrics(ctx)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(metrics, "\n"), line) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no line %q in the metrics:\n%s", line, metrics)
		}
	}
}

func (d *demo) metrics(ctx context.Context) (string, error) {
	status, body, err := d.send(ctx, "GET", "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET /metrics: %d %q", status, body)
	}
	return body, err
}

func (d *demo) send(ctx context.Context, method, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, d.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text)), err
}

// log prints what happened, and when.
func (d *demo) log(event string) {
	d.out.Printf("%7.1f ms  %s", time.Since(d.start).Seconds()*1000, event)
}
