package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
	"github.com/quorumlock/redlock/internal/freeport"
	"golang.org/x/sync/errgroup"
)

// redisPort is the port inside the container.
const redisPort = dc.Port("6379/tcp")

// A MasterOption changes how Start starts masters.
type MasterOption func(*masterConfig)

type masterConfig struct{ args []string }

// WithAOF gives the masters an append-only file that is written before each reply. So they keep
// their keys across a kill and restart. Only a crash of the machine, which no test causes, would
// also need fsync. For that, all masters would wait whenever something else fills the disk's queue:
// with one more process writing, TestChaos had less than half the holds.
func WithAOF() MasterOption { return WithArgs("--appendonly", "yes", "--appendfsync", "no") }

// WithArgs adds arguments for redis-server. The last value of a setting wins.
func WithArgs(args ...string) MasterOption {
	return func(c *masterConfig) { c.args = append(c.args, args...) }
}

// Start starts n independent masters for one test and waits until they answer. They have no
// persistence unless an option says so. They are removed when the test ends.
func Start(tb testing.TB, n int, opts ...MasterOption) []*Master {
	tb.Helper()
	pool := engine(tb)
	f, err := launch(context.Background(), pool, n, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.remove(); err != nil {
			tb.Error(err)
		}
	})
	return f.masters
}

// A fleet is a set of masters with their own private network.
type fleet struct {
	name    string
	pool    *dockertest.Pool
	network *dockertest.Network
	masters []*Master
}

// launch starts a fleet. If it fails, it leaves nothing behind.
func launch(ctx context.Context, pool *dockertest.Pool, n int, opts ...MasterOption) (*fleet, error) {
	f := &fleet{
		name:    "redlock-test-" + strings.ToLower(rand.Text()[:8]),
		pool:    pool,
		masters: make([]*Master, n),
	}
	if err := f.start(ctx, opts); err != nil {
		return nil, fmt.Errorf("start %d masters: %w", n, errors.Join(err, f.remove()))
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context, opts []MasterOption) error {
	var err error
	f.network, err = f.pool.CreateNetwork(f.name, func(o *dc.CreateNetworkOptions) { o.Labels = labels() })
	if err != nil {
		return err
	}
	config := masterConfig{args: []string{
		"redis-server",
		"--protected-mode", "no", // the published port is on loopback, but Redis sees other addresses
		"--save", "",
		"--appendonly", "no",
	}}
	for _, o := range opts {
		o(&config)
	}
	var g errgroup.Group
	for i := range f.masters {
		g.Go(func() (err error) {
			f.masters[i], err = f.startMaster(ctx, i, config)
			return err
		})
	}
	return g.Wait()
}

// startMaster starts a master. If another process takes the port first, it tries another port.
func (f *fleet) startMaster(ctx context.Context, index int, config masterConfig) (*Master, error) {
	const tries = 5
	var errs []error
	for range tries {
		port, err := freeport.Pick()
		if err != nil {
			return nil, err
		}
		m := &Master{name: fmt.Sprintf("%s-%d-%d", f.name, index, port), port: port, pool: f.pool, network: f.network}
		if err = m.create(config); err == nil {
			return m, m.ready(ctx)
		}
		// dockertest does not remove a container that failed to start.
		errs = append(errs, err, removeContainer(f.pool, m.name))
		if !portConflict(err) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (m *Master) create(config masterConfig) (err error) {
	repository, tag := imageName()
	m.box, err = m.pool.RunWithOptions(&dockertest.RunOptions{
		Name:         m.name,
		Repository:   repository,
		Tag:          tag,
		Cmd:          config.args,
		Labels:       labels(),
		NetworkID:    m.network.Network.ID,
		ExposedPorts: []string{string(redisPort)},
		// The port is fixed, because the engine assigns a new dynamic port at each start and
		// reconnect.
		PortBindings: map[dc.Port][]dc.PortBinding{
			redisPort: {{HostIP: "127.0.0.1", HostPort: strconv.Itoa(m.port)}},
		},
	}, func(h *dc.HostConfig) {
		h.NetworkMode = m.network.Network.ID
		h.PublishAllPorts = false
		// AutoRemove stays off, so that Start can start a killed master.
	})
	if err == nil {
		m.expire()
	}
	return err
}

func portConflict(err error) bool {
	text := err.Error() // the engine has no error code for this
	return strings.Contains(text, "port is already allocated") || strings.Contains(text, "address already in use")
}

// remove removes the containers with their volumes, then the network.
func (f *fleet) remove() error {
	var g errgroup.Group
	for _, m := range f.masters {
		if m != nil {
			g.Go(func() error { return removeContainer(f.pool, m.name) })
		}
	}
	err := g.Wait()
	if f.network != nil {
		err = errors.Join(err, f.pool.Client.RemoveNetwork(f.network.Network.ID))
	}
	return err
}

func removeContainer(pool *dockertest.Pool, idOrName string) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	err := pool.Client.RemoveContainer(dc.RemoveContainerOptions{
		ID: idOrName, Force: true, RemoveVolumes: true, Context: ctx,
	})
	if missing := (*dc.NoSuchContainer)(nil); errors.As(err, &missing) {
		return nil
	}
	return err
}

// maxLifetime is how long the engine lets a container run. No test run takes longer.
const maxLifetime = 30 * time.Minute

// staleAfterLabel is a label on everything that the tests create. It is the Unix time after which
// the resource is stale. It tells leftovers of crashed runs from resources in use.
const staleAfterLabel = "redlock.integration.until"

func labels() map[string]string {
	until := time.Now().Add(2 * maxLifetime)
	return map[string]string{staleAfterLabel: strconv.FormatInt(until.Unix(), 10)}
}
