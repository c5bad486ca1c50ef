package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
)

// settings are what replicas, and their tests, do differently.
type settings struct {
	ttl      time.Duration // how soon others can go on if this process dies
	patience time.Duration // how long a request waits for its turn
	owner    string        // who holds this replica's locks; "" for host and process ID
	logger   *slog.Logger  // nil for the default one
}

const (
	defaultPages = 5
	maxPages     = 1000
)

// service builds reports, one at a time per user, however many replicas of it run.
type service struct {
	settings
	locks    *quorum.Manager
	archive  *archive
	registry *prometheus.Registry
}

func newService(urls []string, with settings) (*service, error) {
	metrics := redlockprom.New(redlockprom.Options{Label: lockKind})
	locks, err := quorum.Open(urls, &quorum.Options{
		Owner:  with.owner,
		Events: quorum.TeeEvents(metrics.Events(), quorum.LogEvents(with.logger)),
	})
	if err != nil {
		return nil, err
	}
	metrics.CollectStats(locks.Stats)
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	return &service{settings: with, locks: locks, archive: newArchive(), registry: registry}, nil
}

// lockName returns the name of a user's lock.
func lockName(user string) string { return userLocks + ":" + user }

const userLocks = "user"

// lockKind is the label lock in the metrics. There are too many users to give each a label.
func lockKind(string) string { return userLocks }

// close lets nobody acquire a lock anymore, and releases what is held.
func (s *service) close() error { return s.locks.Close() }

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users/{id}/reports", s.postReport)
	mux.HandleFunc("GET /users/{id}/lock", s.getLock)
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return mux
}

// postReport builds a report for a user. A second request for the same user waits for the first, on
// whichever replica they are, but not for long: it gets a 409 Conflict, and the user can try later.
func (s *service) postReport(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("id")
	pages, err := pagesOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	number := 0
	err = s.locks.Do(r.Context(), lockName(user), s.ttl, func(ctx context.Context, _ *quorum.Lock) (err error) {
		number, err = s.archive.build(ctx, user, pages) // stops if the lock is lost
		return err
	}, quorum.WaitAtMost(s.patience))
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "report %d\n", number)
}

// pagesOf returns how long a report shall be.
func pagesOf(r *http.Request) (int, error) {
	text := r.FormValue("pages")
	if text == "" {
		return defaultPages, nil
	}
	pages, err := strconv.Atoi(text)
	if err != nil || pages < 1 || pages > maxPages {
		return 0, fmt.Errorf("pages must be from 1 to %d", maxPages)
	}
	return pages, nil
}

// writeError tells the client whether to try again. The texts are the service's own, because those
// of package quorum name the masters.
func writeError(w http.ResponseWriter, err error) {
	status, text := http.StatusInternalServerError, "failed"
	switch {
	case errors.Is(err, quorum.ErrLost): // first, because it may be joined to other errors
		status, text = http.StatusServiceUnavailable, "the lock was lost, and the report was stopped"
	case errors.Is(err, quorum.ErrTaken):
		status, text = http.StatusConflict, "another report for this user takes too long"
	case errors.Is(err, quorum.ErrNoQuorum), errors.Is(err, quorum.ErrClosed):
		status, text = http.StatusServiceUnavailable, "no locks can be acquired"
	case errors.Is(err, errOverlap):
		text = errOverlap.Error()
	}
	if status != http.StatusInternalServerError {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, text, status)
}

// getLock tells an operator who holds a user's lock, since when, and for how long yet. So does
// redis-cli GET user:{id} on a master, for the holder.
func (s *service) getLock(w http.ResponseWriter, r *http.Request) {
	i, err := s.locks.Inspect(r.Context(), lockName(r.PathValue("id")))
	switch {
	case err != nil:
		writeError(w, err)
	case i.State != quorum.StateHeld:
		_, _ = fmt.Fprintln(w, i.State)
	default:
		_, _ = fmt.Fprintf(w, "held by %s since %s, expires in %v, %d waiting\n",
			i.Owner, i.Since.UTC().Format(time.RFC3339), i.TTL, i.Waiting)
	}
}

// getReady says whether to send requests to this replica: whether the masters can grant locks now.
// Statistics would not do: they tell of the latest requests, and a replica that is not ready gets
// none. The error is for operators. It says what is wrong with each master, and what to do.
func (s *service) getReady(w http.ResponseWriter, r *http.Request) {
	if err := s.locks.Check(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}
