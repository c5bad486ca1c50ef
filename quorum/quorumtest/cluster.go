package quorumtest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// errClosed is what a master answers once its cluster was closed.
var errClosed = errors.New("quorumtest: the cluster is closed")

// Cluster is a set of embedded masters that know nothing of each other, as Redlock wants them.
// All methods may be called concurrently.
type Cluster struct {
	masters []*Master
	close   func() error
}

// Start starts n masters, n >= 1, each listening on a port of its own on 127.0.0.1. The caller
// must Close the cluster. It returns an error if n < 1 or a port cannot be opened.
func Start(n int) (*Cluster, error) {
	return start(n, true)
}

// StartInProcess is Start without sockets: the masters can only be reached through their Client and
// Dial, over in-memory pipes. That makes them usable inside a testing/synctest bubble, where their
// keys expire by the bubble's clock; the cluster must be started and closed inside the bubble, and a
// Manager needs Options.Clock there: see the package's text on virtual time. It returns an error if
// n < 1.
func StartInProcess(n int) (*Cluster, error) {
	return start(n, false)
}

func start(n int, sockets bool) (*Cluster, error) {
	if n < 1 {
		return nil, fmt.Errorf("quorumtest: a cluster needs at least 1 master, not %d", n)
	}
	c := &Cluster{}
	c.close = sync.OnceValue(c.closeMasters)
	for i := range n {
		m, err := newMaster(i+1, sockets)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.masters = append(c.masters, m)
	}
	return c, nil
}

// Close closes the clients that the cluster handed out, ends every master in whatever state it is,
// and returns when all their goroutines have ended. Further calls return the first one's result.
func (c *Cluster) Close() error {
	return c.close()
}

func (c *Cluster) closeMasters() error {
	var errs []error
	for _, m := range c.masters {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// Masters returns the masters in their order. The slice is the caller's.
func (c *Cluster) Masters() []*Master {
	return append([]*Master(nil), c.masters...)
}

// Master returns master i, 0 <= i < n. It panics for any other i, as indexing a slice does.
func (c *Cluster) Master(i int) *Master {
	return c.masters[i]
}

// URLs returns each master's URL, in the masters' order.
func (c *Cluster) URLs() []string {
	urls := make([]string, len(c.masters))
	for i, m := range c.masters {
		urls[i] = m.URL()
	}
	return urls
}

// Clients returns each master's Client, in the masters' order, ready for a constructor that takes
// its masters as clients. The slice is the caller's; the clients are closed by the cluster's Close.
// Inside a bubble that is not all that quorum.New needs: see [StartInProcess].
func (c *Cluster) Clients() []redis.UniversalClient {
	clients := make([]redis.UniversalClient, len(c.masters))
	for i, m := range c.masters {
		clients[i] = m.Client()
	}
	return clients
}

// Advance sets every master's clock forward by d, one master after the other, so that keys expire
// without waiting. See [Master.AdvanceClock].
func (c *Cluster) Advance(d time.Duration) {
	for _, m := range c.masters {
		m.AdvanceClock(d)
	}
}
