package main

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// etcdModule is the module of etcd's client and of its package concurrency.
const etcdModule = "go.etcd.io/etcd/client/v3"

const etcdSetup = "one client with all endpoints and the keepalive of etcdctl, one session (lease of 30 s) per lock that is held or waited for, reused"

// etcdMutexLibrary is etcd's Mutex.
func etcdMutexLibrary(name string, on system, nodes, restart string) library {
	return library{
		name:     name,
		module:   etcdModule,
		setup:    "`concurrency.Mutex` on three nodes " + nodes + ", " + etcdSetup,
		system:   on,
		promises: etcdPromises(restart),
		open: func(addresses []string) (client, error) {
			return openEtcd(addresses, func(s *concurrency.Session, name string) etcdLock {
				return etcdMutex{concurrency.NewMutex(s, "lock/"+name)}
			})
		},
	}
}

// etcdElectionLibrary is etcd's Election.
func etcdElectionLibrary() library {
	return library{
		name:     "etcd Election",
		module:   etcdModule,
		setup:    "`concurrency.Election` on the nodes of etcd Mutex, " + etcdSetup,
		system:   etcdSystem,
		promises: etcdPromises(etcdDurable),
		open: func(addresses []string) (client, error) {
			return openEtcd(addresses, func(s *concurrency.Session, name string) etcdLock {
				return etcdElection{concurrency.NewElection(s, "election/"+name)}
			})
		},
	}
}

// etcdDurable is what etcd promises by default.
const etcdDurable = "on disk: locks survive, also a restart of all nodes"

func etcdPromises(restart string) promises {
	return promises{
		survives: "any 1 of 3 nodes; 2 of 5 in a cluster of five",
		expires:  "lease in whole seconds, kept alive by the session",
		fence:    "the revision that created the key",
		order:    "first come, first served",
		restart:  restart,
	}
}

// An etcdLock is what Mutex and Election have in common.
type etcdLock interface {
	tryLock(ctx context.Context) error
	lock(ctx context.Context) error
	unlock(ctx context.Context) error
}

type etcdMutex struct{ *concurrency.Mutex }

func (m etcdMutex) tryLock(ctx context.Context) error { return m.TryLock(ctx) }
func (m etcdMutex) lock(ctx context.Context) error    { return m.Lock(ctx) }
func (m etcdMutex) unlock(ctx context.Context) error  { return m.Unlock(ctx) }

type etcdElection struct{ *concurrency.Election }

// tryLock campaigns, which waits if there is a leader: an Election has no attempt that does not
// wait. Nobody else wants the names of the scenarios that try.
func (e etcdElection) tryLock(ctx context.Context) error { return e.lock(ctx) }
func (e etcdElection) lock(ctx context.Context) error    { return e.Campaign(ctx, "") }
func (e etcdElection) unlock(ctx context.Context) error  { return e.Resign(ctx) }

// An etcdClient has a pool of sessions. Locks of one session do not exclude each other, so
// goroutines that want the same name need a session each. A session costs two requests, so it is
// reused for the next lock.
type etcdClient struct {
	etcd    *clientv3.Client
	newLock func(s *concurrency.Session, name string) etcdLock

	mu   sync.Mutex // guards idle
	idle []*concurrency.Session
}

func openEtcd(addresses []string, newLock func(*concurrency.Session, string) etcdLock) (client, error) {
	c, err := dialEtcd(addresses...)
	if err != nil {
		return nil, err
	}
	return &etcdClient{etcd: c, newLock: newLock}, nil
}

func (c *etcdClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return c.take(ctx, name, etcdLock.tryLock)
}

func (c *etcdClient) acquire(ctx context.Context, name string) (release, error) {
	return c.take(ctx, name, etcdLock.lock)
}

var errSessionEnded = errors.New("etcd: session ended before the release")

func (c *etcdClient) take(ctx context.Context, name string, lock func(etcdLock, context.Context) error) (release, error) {
	s, err := c.session()
	if err != nil {
		return nil, err
	}
	l := c.newLock(s, name)
	if err := lock(l, ctx); err != nil {
		// Its key may be left behind, and would look like a lock to the session's next user.
		return nil, errors.Join(err, s.Close())
	}
	return func(ctx context.Context) error {
		lost := ended(s)
		if err := l.unlock(ctx); err != nil {
			return errors.Join(err, s.Close())
		}
		c.giveBack(s)
		if lost {
			return errSessionEnded
		}
		return nil
	}, nil
}

// session returns an idle session that has not ended, or a new one.
func (c *etcdClient) session() (*concurrency.Session, error) {
	for {
		s := c.pop()
		switch {
		case s == nil:
			return concurrency.NewSession(c.etcd, concurrency.WithTTL(int(ttl/time.Second)))
		case !ended(s):
			return s, nil
		}
	}
}

// pop removes the last idle session and returns it. It returns nil if there is none.
func (c *etcdClient) pop() *concurrency.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return nil
	}
	s := c.idle[last]
	c.idle = c.idle[:last]
	return s
}

func (c *etcdClient) giveBack(s *concurrency.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, s)
}

func ended(s *concurrency.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// close ends the sessions, which revokes their leases.
func (c *etcdClient) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := make([]error, len(c.idle))
	each(len(c.idle), func(i int) { errs[i] = c.idle[i].Close() })
	return errors.Join(append(errs, c.etcd.Close())...)
}
