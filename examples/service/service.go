package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
)

// settings are the times that a service needs.
type settings struct {
	ttl      time.Duration // how soon others can go on if this process dies
	patience time.Duration // how long a request waits for its turn
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
	locks, err := quorum.Open(urls, &quorum.Options{Events: metrics.Events()})
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
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return mux
}

// postReport builds a report for a user. A second request for the same user waits for the first, on
// whichever replica they are.
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

// getReady says whether to send requests to this replica: whether a majority of the masters
// answers. It asks them. Statistics would not do: they tell of the latest requests, and a replica
// that is not ready gets none.
func (s *service) getReady(w http.ResponseWriter, r *http.Request) {
	if _, err := s.locks.Inspect(r.Context(), "readyz"); err != nil {
		writeError(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}
