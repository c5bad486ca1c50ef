package quorumtest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// errClosed is the error of operations on a closed cluster.
var errClosed = errors.New("quorumtest: cluster is closed")

// Cluster is a set of embedded masters that know nothing of each other, as Redlock requires. Its
// methods are safe for concurrent use.
type Cluster struct {
	masters []*Master
	close   func() error
}

// Start starts n masters, each on its own port on 127.0.0.1. The caller must call Close. Start
// returns an error if n < 1 or a port cannot be opened.
func Start(n int) (*Cluster, error) {
	return start(n, true)
}

// StartInProcess starts n masters without sockets. They can be reached only through Client, Clients
// and Dial, over in-memory pipes.
//
// Such masters work inside a testing/synctest bubble, where their keys expire by the bubble's
// clock. Start and close the cluster inside the bubble; see "Virtual time" in the package
// documentation. Open does so, and makes a Manager. StartInProcess returns an error if n < 1.
func StartInProcess(n int) (*Cluster, error) {
	return start(n, false)
}

func start(n int, sockets bool) (*Cluster, error) {
	if n < 1 {
		return nil, fmt.Errorf("quorumtest: cluster needs at least 1 master, got %d", n)
	}
	c := &Cluster{}
	c.close = sync.OnceValue(c.closeMasters)
	for i := range n {
		m, err := newMaster(i, sockets)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.masters = append(c.masters, m)
	}
	return c, nil
}

// Close closes the clients of the cluster and stops every master, whatever its state. It returns
// when all their goroutines have ended. Later calls return the result of the first one.
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

// Masters returns the masters in order. The caller may modify the slice.
func (c *Cluster) Masters() []*Master {
	return append([]*Master(nil), c.masters...)
}

// Master returns master i, with 0 <= i < n. It panics if i is out of range.
func (c *Cluster) Master(i int) *Master {
	return c.masters[i]
}

// URLs returns the URL of each master, in order.
func (c *Cluster) URLs() []string {
	urls := make([]string, len(c.masters))
	for i, m := range c.masters {
		urls[i] = m.URL()
	}
	return urls
}

// Clients returns the client of each master, in order. They can be passed to quorum.New. The caller
// may modify the slice. Close closes the clients.
func (c *Cluster) Clients() []redis.UniversalClient {
	clients := make([]redis.UniversalClient, len(c.masters))
	for i, m := range c.masters {
		clients[i] = m.Client()
	}
	return clients
}

// Advance sets the clock of every master forward by d, one after the other. Keys expire without
// waiting. See [Master.AdvanceClock].
func (c *Cluster) Advance(d time.Duration) {
	for _, m := range c.masters {
		m.AdvanceClock(d)
	}
}
