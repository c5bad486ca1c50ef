package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pageTime is how long a page takes.
const pageTime = 20 * time.Millisecond

// archive is what the locks protect: each user's reports. It cannot build two reports of a user at
// a time. In a real service, it would be a directory or a bucket that all replicas share.
type archive struct {
	mu       sync.Mutex
	building map[string]bool
	reports  map[string]int // how many each user has
}

func newArchive() *archive {
	return &archive{building: map[string]bool{}, reports: map[string]int{}}
}

var errOverlap = errors.New("two reports of one user were built at the same time")

// build builds a report, page by page. It stops between two pages if ctx ends, and then returns the
// cause.
func (a *archive) build(ctx context.Context, user string, pages int) (number int, err error) {
	if err := a.begin(user); err != nil {
		return 0, err
	}
	defer a.end(user)
	for range pages {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(pageTime):
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reports[user]++
	return a.reports[user], nil
}

func (a *archive) begin(user string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.building[user] {
		return errOverlap
	}
	a.building[user] = true
	return nil
}

func (a *archive) end(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.building, user)
}
