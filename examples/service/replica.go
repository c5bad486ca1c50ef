package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// step is the longest that a step of the demonstration may take.
const step = 30 * time.Second

// replica is a service that the demonstration starts and sends requests to.
type replica struct {
	owner  string
	url    string
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

// startReplica starts a replica that shares its archive with others. Errors that it logs are passed
// to log.
func startReplica(ctx context.Context, urls []string, owner string, common *archive, log func(string)) (*replica, error) {
	with := showing
	with.owner, with.logger = owner, slog.New(slog.NewTextHandler(eventWriter(log), &slog.HandlerOptions{
		Level: slog.LevelError, ReplaceAttr: withoutTime,
	}))
	s, err := newService(urls, with)
	if err != nil {
		return nil, err
	}
	s.archive = common
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	run, stop := context.WithCancel(ctx)
	r := &replica{
		owner: owner, url: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{}},
		stop: stop, done: make(chan error, 1),
	}
	go func() { r.done <- s.serve(run, l) }()
	return r, nil
}

func (r *replica) close() error {
	r.client.CloseIdleConnections()
	r.stop()
	return <-r.done
}

// sending sends a request for a report, and expects a status.
func (r *replica) sending(ctx context.Context, path string, status int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.expect(ctx, "POST", path, status) }()
	return done
}

// expect sends a request, and returns an error if the response has another status.
func (r *replica) expect(ctx context.Context, method, path string, status int) error {
	got, body, err := r.send(ctx, method, path)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: got %d %q, want %d", method, path, got, body, status)
	}
	return err
}

// await waits until the metrics have a line.
func (r *replica) await(ctx context.Context, line string) error {
	for deadline := time.Now().Add(step); ; time.Sleep(5 * time.Millisecond) {
		metrics, err := r.metrics(ctx)
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

func (r *replica) metrics(ctx context.Context) (string, error) { return r.get(ctx, "/metrics") }

// get returns what is there.
func (r *replica) get(ctx context.Context, path string) (string, error) {
	status, body, err := r.send(ctx, "GET", path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %q", path, status, body)
	}
	return body, err
}

// lines returns the lines of metrics that begin with a prefix and are not zero, with the replica's
// name. Prometheus would add that by itself.
func (r *replica) lines(metrics, prefix string) (found []string) {
	for _, line := range strings.Split(metrics, "\n") {
		if strings.HasPrefix(line, prefix) && !strings.HasSuffix(line, " 0") {
			found = append(found, r.owner+"  "+line)
		}
	}
	return found
}

func (r *replica) send(ctx context.Context, method, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text)), err
}

// eventWriter makes each line of a log an event of the demonstration.
type eventWriter func(event string)

func (w eventWriter) Write(line []byte) (int, error) {
	w("log: " + strings.TrimSpace(string(line)))
	return len(line), nil
}

// withoutTime leaves out the time of a log's line. The event has one.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
