package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorumlock/redlock/internal/freeport"
)

// etcdNodeCount is the size of a cluster. Three nodes are the smallest that tolerate a failure.
const etcdNodeCount = 3

// An etcdCluster is a cluster of etcd nodes on loopback.
type etcdCluster struct {
	dir     string
	clients []string // host:port of each node
	nodes   []*process
	admin   []*clientv3.Client // one per node, connected to that node only
}

// startEtcd starts a cluster, with its data in a temporary directory. If another process takes a
// port first, it tries others.
func startEtcd(ctx context.Context, noFsync bool) (servers, error) {
	const tries = 3
	var errs []error
	for range tries {
		c, err := launchEtcd(ctx, noFsync)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func launchEtcd(ctx context.Context, noFsync bool) (*etcdCluster, error) {
	dir, err := os.MkdirTemp("", "compare-etcd-")
	if err != nil {
		return nil, err
	}
	c := &etcdCluster{dir: dir}
	nodes, err := pickNodes()
	if err == nil {
		err = c.start(ctx, nodes, noFsync)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// An etcdNode has the addresses of a node.
type etcdNode struct{ name, client, peer string }

// pickNodes picks ports for the nodes of a cluster.
func pickNodes() (nodes []etcdNode, err error) {
	for i := range etcdNodeCount {
		client, err1 := freeport.Pick()
		peer, err2 := freeport.Pick()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		nodes = append(nodes, etcdNode{fmt.Sprintf("node-%d", i), loopback(client), loopback(peer)})
	}
	return nodes, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// start starts the nodes and waits until each of them answers.
func (c *etcdCluster) start(ctx context.Context, nodes []etcdNode, noFsync bool) error {
	program, err := nodeProgram()
	if err != nil {
		return err
	}
	var cluster []string
	for _, n := range nodes {
		cluster = append(cluster, n.name+"=http://"+n.peer)
	}
	for _, n := range nodes {
		p, err := startProcess(exec.Command(program,
			"-name", n.name,
			"-dir", filepath.Join(c.dir, n.name),
			"-client", "http://"+n.client,
			"-peer", "http://"+n.peer,
			"-cluster", strings.Join(cluster, ","),
			"-unsafe-no-fsync="+strconv.FormatBool(noFsync),
		))
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, p)
		c.clients = append(c.clients, n.client)
		a, err := dialEtcd(n.client)
		if err != nil {
			return err
		}
		c.admin = append(c.admin, a)
	}
	return c.healthy(ctx)
}

// nodeProgram returns the path of the nodes' program. `go tool -n` builds it in Go's build cache.
func nodeProgram() (path string, err error) {
	output, err := exec.Command("go", "tool", "-n", "etcdnode").Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("go tool -n etcdnode: %w: %s", err, failed.Stderr)
	}
	return strings.TrimSpace(string(output)), err
}

// dialEtcd returns a client for the given endpoints, without a log. Without keepalive, a request to
// a hung node would never end. The times are those of etcdctl; gRPC raises the first to 10 s.
func dialEtcd(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 6 * time.Second,
	})
}

// healthy waits until each node answers a linearizable read, so there is a leader, and every node
// has caught up with it.
func (c *etcdCluster) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for i, p := range c.nodes {
		if err := p.wait(ctx, func(ctx context.Context) error {
			_, err := c.admin[i].Get(ctx, "health")
			return err
		}); err != nil {
			return fmt.Errorf("etcd node %d: %w", i, err)
		}
	}
	return nil
}

func (c *etcdCluster) close() error {
	var errs []error
	for _, a := range c.admin {
		errs = append(errs, a.Close())
	}
	for _, p := range c.nodes {
		errs = append(errs, p.kill())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

func (c *etcdCluster) addresses() []string { return c.clients }

// hang hangs the leader first: the cluster has to elect another one.
func (c *etcdCluster) hang(ctx context.Context, n int) (resume func() error, err error) {
	order, err := c.leaderFirst(ctx)
	hung := order[:min(n, len(order))]
	errs := []error{err}
	for _, p := range hung {
		errs = append(errs, p.signal(syscall.SIGSTOP))
	}
	return func() error {
		var errs []error
		for _, p := range hung {
			errs = append(errs, p.signal(syscall.SIGCONT))
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}

// leaderFirst returns the nodes, the leader before the others.
func (c *etcdCluster) leaderFirst(ctx context.Context) ([]*process, error) {
	order := slices.Clone(c.nodes)
	for i, a := range c.admin {
		status, err := a.Status(ctx, c.clients[i])
		if err != nil {
			return order, err
		}
		if status.Leader == status.Header.MemberId {
			order[0], order[i] = order[i], order[0]
		}
	}
	return order, nil
}

// reset also discards the history, so that the database does not grow from measurement to
// measurement.
func (c *etcdCluster) reset(ctx context.Context) error {
	if err := c.healthy(ctx); err != nil {
		return err
	}
	deleted, err := c.admin[0].Delete(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		return err
	}
	_, err = c.admin[0].Compact(ctx, deleted.Header.Revision, clientv3.WithCompactPhysical())
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil // nothing has changed since the last time
	}
	return err
}

func (c *etcdCluster) cpu(context.Context) (sum time.Duration, err error) {
	for _, p := range c.nodes {
		used, err := familyCPU(p.pid())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

func (c *etcdCluster) version(ctx context.Context) (string, error) {
	status, err := c.admin[0].Status(ctx, c.clients[0])
	if err != nil {
		return "", err
	}
	return status.Version, nil
}
