package quorum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/token"
)

// Manager takes locks on N independent Redis masters. It is safe for concurrent
// use; a program needs one per set of masters. Close it when done.
type Manager struct {
	opts    Options
	masters []*master
	owned   []redis.UniversalClient // what Close closes
	quorum  int                     // N/2 + 1
	tokens  *token.Source
	lanes   *fanout.Group[request]
	ledgers []*ledger // one per master
	watch   *watch
	lines   lines
	inbox   *inbox

	timers sync.Pool // of *time.Timer, all stopped

	closed atomic.Bool
	done   chan struct{}   // closed when Close begins
	calls  gauge           // calls of methods under way
	owing  gauge           // releases neither delivered nor given up
	stop   chan struct{}   // closed when the goroutines of background are to end
	tasks  *errgroup.Group // the ledgers and the watch
}

const (
	// pipelines is how many calls to one master may be under way at once. With
	// a round trip of 2 ms, 4 gave nearly all that 8 did.
	pipelines = 4
	// batchLimit and queueLimit bound one call and what waits for it.
	batchLimit = 1024
	queueLimit = 1 << 16
	// mostMasters is how many bits claim.doubtful has.
	mostMasters = 64
)

// New returns a Manager of locks on the given masters, which must be independent
// of each other: no replicas of one another, and none given twice. Each may be a
// plain client, one backed by Sentinel, or a Cluster or Ring client, which counts as
// one master; with a Ring, waiters ask now and then instead of being told. The clients
// stay the caller's: Close does not close them.
//
// A client with go-redis' default options does not let a context's deadline
// reach the socket, and retries for up to half a minute. That delays neither
// attempts nor other masters, but a master that was cut off may be noticed to be
// back only then. Open sets its clients up for locking.
//
// It makes no connection. It fails if there are no masters, if a client or an
// address is there twice, or if opts does not fit.
func New(masters []redis.UniversalClient, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkMasters(masters); err != nil {
		return nil, err
	}
	if filled.RestartGuard > 0 {
		if err := checkGuardable(masters); err != nil {
			return nil, err
		}
	}
	return start(masters, nil, filled), nil
}

func start(clients, owned []redis.UniversalClient, opts Options) *Manager {
	m := &Manager{
		opts: opts, owned: owned,
		quorum: len(clients)/2 + 1,
		tokens: token.NewSource(opts.Random),
		done:   make(chan struct{}),
		stop:   make(chan struct{}),
		tasks:  new(errgroup.Group),
	}
	for i, client := range clients {
		m.masters = append(m.masters, newMaster(client, i, opts.AttemptTimeout))
		m.ledgers = append(m.ledgers, newLedger(m, i))
	}
	cfg := fanout.Config[request]{
		Lanes: len(clients), Pipelines: pipelines, Batch: batchLimit, Queue: queueLimit,
		Stall: opts.AttemptTimeout,
		Now:   func() time.Duration { return time.Duration(opts.Clock.Now()) },
	}
	if simulated, ok := opts.Clock.(interface{ Settled() }); ok {
		cfg.Settled = simulated.Settled
		cfg.Order = func(a, b *request) int { return cmp.Compare(a.question.claim.token, b.question.claim.token) }
	}
	m.lanes = fanout.New(cfg, func(ctx context.Context, lane int, batch []*operation) error {
		return m.masters[lane].send(ctx, batch)
	})
	m.watch = newWatch(opts.Clock)
	m.lines = lines{byKey: map[string]*line{}, hot: map[string]clock.Instant{}}
	m.inbox = newInbox(m)
	m.tasks.Go(func() error { m.watch.run(m.stop); return nil })
	for _, l := range m.ledgers {
		m.tasks.Go(func() error { l.run(m.stop); return nil })
	}
	return m
}

// checkMasters refuses masters that are none, or not independent as far as can
// be seen.
func checkMasters(masters []redis.UniversalClient) error {
	if len(masters) == 0 {
		return errors.New("quorum: no masters")
	}
	if len(masters) > mostMasters {
		return fmt.Errorf("quorum: %d masters, at most %d can be used", len(masters), mostMasters)
	}
	clients, addresses := map[redis.UniversalClient]int{}, map[string]int{}
	for i, client := range masters {
		if isNil(client) {
			return fmt.Errorf("quorum: master %d is nil", i)
		}
		if reflect.ValueOf(client).Comparable() { // somebody's wrapper need not be
			if first, dup := clients[client]; dup {
				return fmt.Errorf("quorum: masters %d and %d are the same client", first, i)
			}
			clients[client] = i
		}
		for _, address := range addressesOf(client) {
			if first, dup := addresses[address]; dup && first != i {
				return fmt.Errorf("quorum: masters %d and %d have the same address %s", first, i, address)
			}
			addresses[address] = i
		}
	}
	return nil
}

func isNil(client redis.UniversalClient) bool {
	if client == nil {
		return true
	}
	v := reflect.ValueOf(client)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// addressesOf returns where a client connects to, as far as it tells.
func addressesOf(client redis.UniversalClient) (addresses []string) {
	switch c := client.(type) {
	case *redis.Client:
		if addr := c.Options().Addr; addr != sentinelAddr {
			addresses = append(addresses, canonical(addr))
		}
	case *redis.ClusterClient:
		for _, addr := range c.Options().Addrs {
			addresses = append(addresses, canonical(addr))
		}
	case *redis.Ring:
		for _, addr := range c.Options().Addrs {
			addresses = append(addresses, canonical(addr))
		}
	}
	return addresses
}

// canonical makes the usual spellings of one address equal.
func canonical(addr string) string {
	if strings.HasPrefix(addr, "/") { // a socket's path, where case counts
		return addr
	}
	addr = strings.ToLower(addr)
	for _, host := range []string{"localhost:", "[::1]:"} {
		if port, ok := strings.CutPrefix(addr, host); ok {
			return "127.0.0.1:" + port
		}
	}
	return addr
}

// enter counts a call in, unless the Manager is closed. exit counts it out.
func (m *Manager) enter() error {
	m.calls.add(1)
	if m.closed.Load() {
		m.calls.done()
		return ErrClosed
	}
	return nil
}

func (m *Manager) exit() { m.calls.done() }

// Close ends the Manager: it signals the holders of its locks, ends the calls
// that are waiting, delivers the releases that are still owed to masters, and
// stops. Locks that were not released are left to expire. Afterwards every call,
// Release and Close included, returns ErrClosed.
//
// It takes no longer than Options.CloseTimeout, and returns an error if by then
// some keys had to be left to expire on masters that did not answer, or a client
// given to New was still busy with a call.
func (m *Manager) Close() error {
	if !m.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	close(m.done)
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.CloseTimeout)
	defer cancel()
	m.watch.close()
	errs := []error{m.calls.wait(ctx, "calls still running")}
	for _, l := range m.ledgers {
		l.close()
	}
	errs = append(errs, m.owing.wait(ctx, "keys left to expire"), m.abandoned())
	close(m.stop)
	m.inbox.close(ctx)
	for _, client := range m.owned {
		errs = append(errs, client.Close())
	}
	if !m.closeLanes(ctx) {
		errs = append(errs, errors.New("quorum: close: a client is still busy with a call"))
	}
	_ = m.tasks.Wait() // they return no error, and m.stop ends them
	return errors.Join(errs...)
}

// timer returns a timer that fires after d; keep takes it back. Every wait needs
// one, hardly any fires.
func (m *Manager) timer(d time.Duration) *time.Timer {
	if t, ok := m.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (m *Manager) keep(t *time.Timer) {
	t.Stop() // nothing is left in its channel after this
	m.timers.Put(t)
}

// closeLanes waits for the calls under way until ctx ends, and for a moment in any
// case if their clients were closed: they are about to return.
func (m *Manager) closeLanes(ctx context.Context) bool {
	if m.lanes.Close(ctx) == nil {
		return true
	}
	if len(m.owned) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMoment)
	defer cancel()
	return m.lanes.Close(ctx) == nil
}

const closeMoment = 100 * time.Millisecond

// abandoned reports the debts that Close gave up.
func (m *Manager) abandoned() error {
	n := 0
	for _, l := range m.ledgers {
		n += l.leftByClose()
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("quorum: close: %d keys left to expire on masters that do not answer", n)
}

// gauge counts things under way, and lets Close wait for them. It costs one
// atomic addition while nobody waits.
type gauge struct {
	n       atomic.Int64
	waiting atomic.Pointer[chan struct{}]
}

func (g *gauge) add(n int) { g.n.Add(int64(n)) }

func (g *gauge) done() {
	if g.n.Add(-1) > 0 {
		return
	}
	if zero := g.waiting.Load(); zero != nil {
		select {
		case *zero <- struct{}{}:
		default:
		}
	}
}

// wait returns once the count is zero, or an error that says what there still is
// when ctx ends.
func (g *gauge) wait(ctx context.Context, what string) error {
	zero := make(chan struct{}, 1)
	g.waiting.Store(&zero)
	for {
		n := g.n.Load()
		if n <= 0 {
			return nil
		}
		select {
		case <-zero:
		case <-ctx.Done():
			return fmt.Errorf("quorum: close: %d %s", n, what)
		}
	}
}
