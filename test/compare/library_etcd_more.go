package main

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// etcdReadWriteLibrary is the RWMutex of etcd's recipes, which the package calls experimental.
func etcdReadWriteLibrary(name string, on system, nodes string) library {
	return library{
		name: name, module: etcdModule, system: on,
		setup: "`RWMutex` of `experimental/recipes` on three nodes " + nodes + ", " + etcdSetup,
		offers: "first come, first served, so neither starves. No attempt without waiting, and a wait takes no context. " +
			"After a wait it does not look whether its own key is still there. The key's revision is not exported",
		open: func(addresses []string) (client, error) {
			c, err := openEtcd(addresses, func(s *concurrency.Session, name string) etcdLock {
				return etcdRWMutex{recipe.NewRWMutex(s, "rw/"+name)}
			})
			if err != nil {
				return nil, err
			}
			return etcdReadWriter{c.(*etcdClient)}, nil
		},
	}
}

type etcdReadWriter struct{ *etcdClient }

func (c etcdReadWriter) acquireShared(ctx context.Context, name string) (release, error) {
	return c.take(ctx, name, func(l etcdLock, _ context.Context) error { return l.(etcdRWMutex).RLock() })
}

type etcdRWMutex struct{ *recipe.RWMutex }

// tryLock waits if another holds the lock: there is no attempt that does not.
func (m etcdRWMutex) tryLock(context.Context) error { return m.Lock() }
func (m etcdRWMutex) lock(context.Context) error    { return m.Lock() }

// unlock is RUnlock too: both delete the key.
func (m etcdRWMutex) unlock(context.Context) error { return m.Unlock() }

// etcdTxnLibrary acquires several names by one transaction.
func etcdTxnLibrary(name string, on system, nodes string) library {
	return library{
		name: name, module: etcdModule, system: on,
		setup:  "one transaction that creates all keys if none exists, on three nodes " + nodes + "; one session (lease of 30 s)",
		offers: "all or none, up to 128 names by default; nobody can wait for them: whoever wants to wait has to watch the keys, and nothing orders the waiters",
		open:   openEtcdTxn,
	}
}

type etcdTxnClient struct {
	etcd    *clientv3.Client
	session *concurrency.Session
}

func openEtcdTxn(addresses []string) (client, error) {
	c, err := dialEtcd(addresses...)
	if err != nil {
		return nil, err
	}
	s, err := concurrency.NewSession(c, concurrency.WithTTL(int(ttl/time.Second)))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return etcdTxnClient{c, s}, nil
}

var (
	errEtcdTaken = errors.New("etcd: a key exists")
	errEtcdLost  = errors.New("etcd: a key is gone")
)

func (c etcdTxnClient) tryAcquireAll(ctx context.Context, names []string) (release, error) {
	var free []clientv3.Cmp
	var create, remove []clientv3.Op
	for _, name := range names {
		key := "names/" + name
		free = append(free, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		create = append(create, clientv3.OpPut(key, "", clientv3.WithLease(c.session.Lease())))
		remove = append(remove, clientv3.OpDelete(key))
	}
	created, err := c.etcd.Txn(ctx).If(free...).Then(create...).Commit()
	if err := decided(created, err, errEtcdTaken); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		var own []clientv3.Cmp
		for _, name := range names {
			own = append(own, clientv3.Compare(clientv3.CreateRevision("names/"+name), "=", created.Header.Revision))
		}
		removed, err := c.etcd.Txn(ctx).If(own...).Then(remove...).Commit()
		return decided(removed, err, errEtcdLost)
	}, nil
}

// decided returns an error if a transaction failed or its condition did not hold.
func decided(txn *clientv3.TxnResponse, err, ifNot error) error {
	if err == nil && !txn.Succeeded {
		return ifNot
	}
	return err
}

func (c etcdTxnClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return c.tryAcquireAll(ctx, []string{name})
}

// acquire does not wait. No scenario for several names needs that.
func (c etcdTxnClient) acquire(ctx context.Context, name string) (release, error) {
	return c.tryAcquire(ctx, name)
}

func (c etcdTxnClient) close() error { return errors.Join(c.session.Close(), c.etcd.Close()) }

// etcdLeadLibrary is etcd's Election, with a session for each campaign.
func etcdLeadLibrary(name string, on system, nodes string) library {
	p := etcdElectionLibrary()
	p.name, p.system = name, on
	p.setup = "`concurrency.Election` on three nodes " + nodes + ", one client with all endpoints and the keepalive of etcdctl, one session per campaign"
	p.offers = "first come, first served, each term with a revision. `Session.Done` tells a leader that its lease is over: the client counts it from the receipt of the last answer, and looks once a second. " +
		"To campaign again is up to the caller"
	return p
}

func (c *etcdClient) lead(ctx context.Context, name string, ttl time.Duration, term func(number int64)) error {
	s, err := concurrency.NewSession(c.etcd, concurrency.WithTTL(int(ttl/time.Second)))
	if err != nil {
		return err
	}
	e := concurrency.NewElection(s, "election/"+name)
	if err := e.Campaign(ctx, ""); err != nil {
		return errors.Join(err, s.Close())
	}
	term(e.Rev())
	return errors.Join(e.Resign(ctx), s.Close())
}
