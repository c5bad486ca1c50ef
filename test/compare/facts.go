package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// facts are what the report says about the servers and the machine.
type facts struct {
	versions map[system]string
	fsync    time.Duration // median duration of an fsync in the directory of the servers' files
	others   float64       // how many cores other processes used during the measurements
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

// features are what a library has beyond a mutex, by its documentation or source.
type features struct {
	library   string
	readWrite string // locks for readers and writers
	permits   string
	names     string // several names at once
	terms     string // leadership with a term
	masters   string // independent masters, any minority of which may fail
	order     string // of waiters
	loss      string // how the holder learns that it lost the lock
	fence     string
}

var featureTitles = []string{"library", "readers and writers", "permits", "several names at once", "leadership with a term",
	"independent masters", "order of waiters", "how a holder learns of a loss", "fencing"}

func (f features) row() []string {
	return []string{f.library, f.readWrite, f.permits, f.names, f.terms, f.masters, f.order, f.loss, f.fence}
}

// allFeatures has a row for each module, and one for Redisson, which is written in Java and not
// measured.
var allFeatures = []features{
	{"this library", "`Shared`, `Exclusive`", "`Permits(n)`, up to 1000", "`TryAcquireAll`, `AcquireAll`: all or none", "`Lead`", "N",
		"roughly first come, first served", "`Lost` is closed, contexts end, within the window; by the holder's own clock", "`Options.Fencing`: every kind of lock; of permits, it says who came first, not who held first"},
	{"redsync", "no", "no", "no", "no", "N", "none", "not told; `Until` is the end of the validity, `Extend` fails", "no"},
	{"rueidislock", "no", "no", "no", "no", "one client: a server or a cluster", "none", "its context ends when a majority of keys is not held, by invalidation messages and failed extensions", "no"},
	{"bsm/redislock", "no", "no", "not in this version; later ones, on one master", "no", "one", "none", "not told; `TTL` asks, `Refresh` fails",
		"not in this version; later ones, on one master"},
	{"etcd `concurrency` and recipes", "`RWMutex`, in an experimental package", "no", "no; a transaction can create several keys", "`Election`", "one cluster that replicates by Raft",
		"first come, first served", "`Session.Done` is closed; the client counts the lease from the receipt of the last answer, and looks once a second",
		"revision of the key: `Election.Rev`, `Mutex.Header`; `RWMutex` exports none"},
	{"PostgreSQL advisory locks", "`pg_advisory_lock_shared`", "no", "no; a statement can call the function several times", "no", "one server",
		"first come, first served", "its connection has ended, which shows when it is used next", "no"},
	{"Redisson (Java)", "`RReadWriteLock`", "`RSemaphore`, `RPermitExpirableSemaphore`", "`MultiLock`", "none among its locks and synchronizers", "one; `RedLock` is deprecated", "`FairLock`: first come, first served; others: none",
		"not told", "`RFencedLock`"},
}

// featureTable returns a table of what each library has beyond a mutex.
func featureTable() string {
	rows := [][]string{featureTitles}
	for _, f := range allFeatures {
		rows = append(rows, f.row())
	}
	return "## Beyond a mutex: what each has\n\n" + textTable(rows) + featureNotes
}

const featureNotes = `Permits are not measured: none of the libraries measured here has them. Redisson's semaphores are on one
master. The npm package redis-semaphore has a semaphore for several masters, ` + "`RedlockSemaphore`" + `. It counts a majority
of grants, each of which a master makes by itself, so five masters with n permits each can let in up to 5n/3 holders.

`
