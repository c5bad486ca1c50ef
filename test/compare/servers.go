package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A system is what a library keeps its locks on.
type system string

const (
	redisSystem       system = "Redis"
	etcdSystem        system = "etcd"
	etcdNoFsyncSystem system = "etcd without fsync"
	postgresSystem    system = "PostgreSQL"
)

// servers are the running servers of one system.
type servers interface {
	addresses() []string
	// hang makes the first n servers accept connections and data but never answer, until resume is
	// called. If there are fewer than n servers, it hangs all of them.
	hang(ctx context.Context, n int) (resume func() error, err error)
	// reset waits until the servers work, and empties them, so that every measurement starts alike.
	reset(ctx context.Context) error
	// cpu returns the CPU time that the servers have used.
	cpu(ctx context.Context) (time.Duration, error)
	version(ctx context.Context) (string, error)
	close() error
}

// starters start the servers of each system.
var starters = map[system]func(ctx context.Context) (servers, error){
	redisSystem:       func(context.Context) (servers, error) { return startMasters() },
	etcdSystem:        func(ctx context.Context) (servers, error) { return startEtcd(ctx, false) },
	etcdNoFsyncSystem: func(ctx context.Context) (servers, error) { return startEtcd(ctx, true) },
	postgresSystem:    startPostgres,
}

// startSystems starts the servers of the given systems side by side.
func startSystems(ctx context.Context, names []system) (map[system]servers, error) {
	started := make([]servers, len(names))
	errs := make([]error, len(names))
	each(len(names), func(i int) {
		if started[i], errs[i] = starters[names[i]](ctx); errs[i] != nil {
			errs[i] = fmt.Errorf("start %s: %w", names[i], errs[i])
		}
	})
	running := map[system]servers{}
	for i, name := range names {
		if errs[i] == nil {
			running[name] = started[i]
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, closeSystems(running))
	}
	return running, nil
}

func closeSystems(running map[system]servers) error {
	var errs []error
	for _, s := range running {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// systemsOf returns the systems that the libraries use.
func systemsOf(libraries []library) (names []system) {
	seen := map[system]bool{}
	for _, p := range libraries {
		if !seen[p.system] {
			seen[p.system] = true
			names = append(names, p.system)
		}
	}
	return names
}
