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

	abandoned abandoned // tokens

	timers sync.Pool // of *time.Timer, all stopped

	closed atomic.Bool
	done   chan struct{}   // closed when Close begins
	calls  gauge           // calls of methods under way
	owing  []gauge         // by master: releases neither delivered nor given up
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
		quorum: len(clients)/2 + 1, //mutant:quorum
		tokens: token.NewSource(opts.Random),
		owing:  make([]gauge, len(clients)),
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
	if err := checkKinds(masters); err != nil {
		return err
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

// checkKinds refuses clients whose calls are not their own.
func checkKinds(masters []redis.UniversalClient) error {
	for i, client := range masters {
		if _, batches := client.(*redis.AutoPipeliner); batches {
			return fmt.Errorf("quorum: master %d is a %T: give the client that it was made of, which is sent pipelines anyway", i, client)
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
// that are waiting, lets running calls of Do and Once return, delivers the releases
// that are still owed to masters, and stops. Locks that were not released are left
// to expire. Afterwards every call, Release and Close included, returns ErrClosed.
//
// It takes no longer than Options.CloseTimeout. Masters that do not answer, as long
// as they are a minority, do not hold it up, and what is left to expire there keeps
// nobody from a lock. A goroutine that is in a call to such a master, by a client
// given to New, ends with that call. The error is nil unless calls were still
// running when the time was over, or locks were left to expire on so many masters
// that nobody can have them before.
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
	m.drain(ctx)
	close(m.stop)
	_ = m.tasks.Wait() // they return no error, and m.stop ends them
	m.inbox.close(ctx)
	for _, client := range m.owned {
		errs = append(errs, client.Close())
	}
	moment, cancel := context.WithTimeout(ctx, closeMoment)
	defer cancel()
	_ = m.lanes.Close(moment) // what is stuck in a client ends when the client gives up
	errs = append(errs, m.leftToExpire())
	return errors.Join(errs...)
}

const (
	// closeMoment is how long Close waits for what it can do without.
	closeMoment = 100 * time.Millisecond
	// drainMoment is in place of that for what is being told to a master: TCP sends
	// a packet that was lost again within it (Linux: TCP_RTO_MIN is 200 ms).
	drainMoment = 300 * time.Millisecond
)

// drain waits until a quorum of the masters has been told all that they are owed,
// then for the others for as long again, and a moment.
func (m *Manager) drain(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var group errgroup.Group
	drained := make(chan struct{}, len(m.masters))
	for i := range m.owing {
		group.Go(func() error {
			if m.owing[i].wait(ctx, "") == nil {
				drained <- struct{}{}
			}
			return nil
		})
	}
	start, done := m.opts.Clock.Now(), ctx.Done()
	var timer <-chan time.Time
	for n := 0; n < len(m.masters) && done != nil; {
		select {
		case <-drained:
			if n++; n == m.quorum {
				timer = time.After(m.opts.Clock.Now().Sub(start) + drainMoment)
			}
		case <-timer:
			done = nil
		case <-done:
			done = nil
		}
	}
	cancel()
	_ = group.Wait() // they return no error
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

// leftToExpire reports the locks that nobody can have before their keys expire,
// because Close left those on too many masters.
func (m *Manager) leftToExpire() error {
	on, n := map[*claim]int{}, 0
	for _, l := range m.ledgers {
		for _, c := range l.leftByClose() {
			if on[c]++; on[c] == len(m.masters)-m.quorum+1 {
				n++
			}
		}
	}
	underWay := 0
	for i := range m.owing {
		if m.owing[i].n.Load() > 0 {
			underWay++
		}
	}
	switch {
	case n == 0 && underWay > len(m.masters)-m.quorum:
		return fmt.Errorf("quorum: close: releases still under way to %d of %d masters that do not answer", underWay, len(m.masters))
	case n == 0:
		return nil
	}
	return fmt.Errorf("quorum: close: %d locks left to expire on masters that do not answer", n)
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
