package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func embedded(t *testing.T) *quorumtest.Cluster {
	t.Helper()
	cluster, err := quorumtest.Start(5)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	return cluster
}

// served is a service that tests send requests to.
type served struct {
	*service
	url string
}

func start(t *testing.T, cluster *quorumtest.Cluster, with settings) served {
	t.Helper()
	s, err := newService(cluster.URLs(), with)
	require.NoError(t, err)
	server := httptest.NewServer(s.handler())
	t.Cleanup(func() {
		server.Close()
		_ = s.close() // reports what masters that are stopped were not told
	})
	return served{s, server.URL}
}

// patient are settings with which nothing runs out of time.
var patient = settings{ttl: time.Minute, patience: time.Minute}

// response is what a test looks at.
type response struct {
	status     int
	body       string
	retryAfter string
}

func send(ctx context.Context, method, url string) (r response, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return r, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(request)
	if err != nil {
		return r, err
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	return response{got.StatusCode, strings.TrimSpace(string(text)), got.Header.Get("Retry-After")}, err
}

func (r served) send(t *testing.T, method, path string) response {
	t.Helper()
	got, err := send(t.Context(), method, r.url+path)
	require.NoError(t, err)
	return got
}

// requireMetric waits until the metrics have a line. Events come a moment after what they tell of.
func (r served) requireMetric(t *testing.T, line string) {
	t.Helper()
	var metrics string
	require.Eventually(t, func() bool {
		got, err := send(t.Context(), "GET", r.url+"/metrics")
		metrics = got.body
		return err == nil && slices.Contains(strings.Split(metrics, "\n"), line)
	}, 10*time.Second, 5*time.Millisecond, "no line %s in\n%s", line, &metrics)
}

// The archive, which both replicas share, refuses a second report of a user at the same time.
func TestReportsOfUserAreBuiltOneAtATime(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	a, b := start(t, cluster, patient), start(t, cluster, patient)
	b.archive = a.archive
	const requests = 10
	var all errgroup.Group
	bodies := make([]string, requests)
	for i := range requests {
		all.Go(func() error {
			got, err := send(t.Context(), "POST", []served{a, b}[i%2].url+"/users/alice/reports?pages=1")
			if err == nil && got.status != http.StatusCreated {
				err = fmt.Errorf("%v", got)
			}
			bodies[i] = got.body
			return err
		})
	}
	require.NoError(t, all.Wait())
	var want []string
	for number := range requests {
		want = append(want, fmt.Sprintf("report %d", number+1))
	}
	require.ElementsMatch(t, want, bodies)
	a.requireMetric(t, `redlock_hold_seconds_count{lock="user",outcome="released"} 5`)
	b.requireMetric(t, `redlock_hold_seconds_count{lock="user",outcome="released"} 5`)
}

// building starts a long report for alice, and returns once it is being built. The channel delivers
// the response.
func (r served) building(t *testing.T) <-chan response {
	t.Helper()
	done := make(chan response, 1)
	ctx := t.Context()
	go func() {
		got, _ := send(ctx, "POST", r.url+"/users/alice/reports?pages=1000")
		done <- got
	}()
	r.requireMetric(t, `redlock_locks_held 1`)
	return done
}

func TestRequestThatWaitsInVainIsAConflict(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	a, b := start(t, cluster, patient), start(t, cluster, settings{ttl: time.Minute, patience: 50 * time.Millisecond})
	a.building(t)
	got := b.send(t, "POST", "/users/alice/reports")
	require.Equal(t, response{http.StatusConflict, "another report for this user takes too long", "1"}, got)
	b.requireMetric(t, `redlock_acquire_wait_seconds_count{lock="user",outcome="wait_exceeded"} 1`)
	require.Equal(t, http.StatusCreated, b.send(t, "POST", "/users/bob/reports").status)
}

// logBuffer is what a service has logged.
type logBuffer struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// TestReportStopsIfLockIsLost also checks that the metrics and the log tell of it.
func TestReportStopsIfLockIsLost(t *testing.T) {
	t.Parallel()
	cluster, logged := embedded(t), &logBuffer{}
	a := start(t, cluster, settings{
		ttl: 3 * time.Second, patience: time.Minute, owner: "web-1:8080", logger: slog.New(slog.NewTextHandler(logged, nil)),
	})
	done := a.building(t)
	for _, m := range cluster.Masters() {
		m.FlushAll()
	}
	require.Equal(t, response{http.StatusServiceUnavailable, "the lock was lost, and the report was stopped", "1"}, <-done)
	a.archive.mu.Lock()
	require.Empty(t, a.archive.reports, "the report was finished without the lock")
	a.archive.mu.Unlock()
	a.requireMetric(t, `redlock_losses_total{lock="user",reason="denied"} 1`)
	a.requireMetric(t, `redlock_hold_seconds_count{lock="user",outcome="lost_denied"} 1`)
	lost := regexp.MustCompile(`(?m)level=ERROR msg="lock lost" lock=user:alice token=[\w-]{6}…@web-1:8080 .*a majority of the masters`)
	require.Eventually(t, func() bool { return lost.MatchString(logged.String()) }, 10*time.Second, time.Millisecond, "%s", logged)
}

func TestLockTellsWhoHoldsIt(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	with := patient
	with.owner = "web-1:8080"
	a, b := start(t, cluster, with), start(t, cluster, patient)
	require.Equal(t, response{http.StatusOK, "free", ""}, b.send(t, "GET", "/users/alice/lock"))
	began := time.Now()
	a.building(t)
	got := b.send(t, "GET", "/users/alice/lock")
	require.Equal(t, http.StatusOK, got.status)
	m := regexp.MustCompile(`^held by web-1:8080 since (\S+), expires in (\S+), 0 waiting$`).FindStringSubmatch(got.body)
	require.NotNil(t, m, got.body)
	since, err := time.Parse(time.RFC3339, m[1])
	require.NoError(t, err)
	require.WithinDuration(t, began, since, 10*time.Second)
	left, err := time.ParseDuration(m[2])
	require.NoError(t, err)
	require.InDelta(t, time.Minute, left, float64(20*time.Second))
	for _, m := range cluster.Masters()[:3] {
		m.Stop()
	}
	require.Equal(t, http.StatusServiceUnavailable, b.send(t, "GET", "/users/alice/lock").status)
}

func TestServiceIsReadyWhileMajorityCanGrant(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	a := start(t, cluster, settings{ttl: time.Minute, patience: 50 * time.Millisecond})
	require.Equal(t, response{http.StatusOK, "ready", ""}, a.send(t, "GET", "/readyz"))
	cluster.Master(0).Stop()
	cluster.Master(1).Stop()
	require.Equal(t, response{http.StatusOK, "ready", ""}, a.send(t, "GET", "/readyz"))
	cluster.Master(2).Full() // it answers, and would let a service seem ready that is not
	got := a.send(t, "GET", "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.body, "quorum: check: no quorum: ")
	require.Contains(t, got.body, cluster.Master(2).Addr()+" has no memory left")
	none := response{http.StatusServiceUnavailable, "no locks can be acquired", "1"}
	require.Equal(t, none, a.send(t, "POST", "/users/alice/reports"))
	a.requireMetric(t, `redlock_acquire_wait_seconds_count{lock="user",outcome="no_quorum"} 1`)

	cluster.Master(2).Heal()
	require.Eventually(t, func() bool { return a.send(t, "GET", "/readyz").status == http.StatusOK }, 10*time.Second, 10*time.Millisecond)
}

func TestPagesMustBeANumber(t *testing.T) {
	t.Parallel()
	a := start(t, embedded(t), patient)
	for _, pages := range []string{"0", "-1", "1001", "x", "1e3"} {
		got := a.send(t, "POST", "/users/alice/reports?pages="+pages)
		require.Equal(t, response{http.StatusBadRequest, "pages must be from 1 to 1000", ""}, got, pages)
	}
}

// A service that is told to stop ends its requests first, so that no report is stopped halfway and
// no lock stays taken.
func TestShutdownLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	cluster := embedded(t)
	s, err := newService(cluster.URLs(), patient)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var serving errgroup.Group
	serving.Go(func() error { return s.serve(ctx, l) })

	a := served{s, "http://" + l.Addr().String()}
	var got response
	var request errgroup.Group
	request.Go(func() (err error) {
		got, err = send(t.Context(), "POST", a.url+"/users/alice/reports?pages=50")
		return err
	})
	a.requireMetric(t, `redlock_locks_held 1`)
	stop()
	require.NoError(t, serving.Wait())
	require.NoError(t, request.Wait())
	require.Equal(t, http.StatusCreated, got.status)
	for _, m := range cluster.Masters() {
		require.NotContains(t, m.Keys(), "user:alice")
	}
}
