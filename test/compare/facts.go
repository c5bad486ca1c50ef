package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// facts are what the report says about the servers.
type facts struct {
	versions map[system]string
	fsync    time.Duration // median duration of an fsync in the directory of the servers' files
}

// describe collects the facts about running servers.
func describe(ctx context.Context, running map[system]servers) (f facts, err error) {
	f.versions = map[system]string{}
	for name, s := range running {
		if f.versions[name], err = s.version(ctx); err != nil {
			return f, err
		}
	}
	f.fsync, err = fsyncTime()
	return f, err
}

// fsyncTime returns how long it takes to write a little to a file in the temporary directory
// durably. It decides how fast etcd can be there.
func fsyncTime() (took time.Duration, err error) {
	file, err := os.CreateTemp("", "compare-fsync-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	const writes = 50
	var times []float64
	for range writes {
		start := time.Now()
		if _, err := file.Write(make([]byte, 512)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	return time.Duration(median(times) * float64(time.Second)), nil
}
