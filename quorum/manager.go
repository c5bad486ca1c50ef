package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
)

// Manager takes locks on N independent Redis masters. It is safe for concurrent use. A program
// needs one per set of masters. Close it when done.
type Manager struct {
	engine   *engine
	acquirer *acquirer
	waiters  *waiters
	notifier *notifier
	owned    []redis.UniversalClient // what Close closes

	stop  chan struct{}  // closed when the tasks are to end
	tasks sync.WaitGroup // the expiry loop and the releasers
}

// New returns a Manager of locks on the given masters, which must be independent of each other: not
// replicas of one another, and none given twice. Each may be a plain client, one backed by
// Sentinel, or a Cluster or Ring client, which counts as one master. With a Ring, waiters poll
// instead of being told. The clients stay the caller's: Close does not close them.
//
// A client with go-redis' default options does not let a context's deadline reach the socket, and
// retries for up to half a minute. That delays neither attempts nor other masters, but a master
// that was cut off may be noticed to be back only then. Open sets its clients up for locking.
//
// New makes no connection. It fails if there are no masters, if a client or an address is there
// twice, or if opts is invalid.
func New(masters []redis.UniversalClient, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := redisconn.Check(masters, filled.RestartGuard > 0); err != nil {
		return nil, err
	}
	return start(masters, nil, filled), nil
}

// Open returns a Manager of locks on the masters at the given URLs, with clients of its own that
// are set up for locking and closed by Close. A URL is one that go-redis' ParseURL takes:
// redis://user:password@host:port/db, rediss:// for TLS, or unix://user:password@/path?db=n.
// Settings in its query, such as ?read_timeout=300ms, take precedence over those that Open would
// choose. Timeouts there must be positive, and max_retries at most 10; negative means none.
//
// Open makes no connection. It fails if there are no URLs, if one does not parse or has a setting
// out of range (the error tells which URL by its number, and what about it, and shows nothing of
// it), if two lead to the same address, or if opts is invalid.
func Open(urls []string, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	clients, err := redisconn.Dial(urls, filled.AttemptTimeout, maxPipelines)
	if err != nil {
		return nil, err
	}
	if err := redisconn.Check(clients, filled.RestartGuard > 0); err != nil {
		return nil, errors.Join(err, redisconn.Close(clients))
	}
	return start(clients, clients, filled), nil
}

func start(clients, owned []redis.UniversalClient, opts Options) *Manager {
	e := newEngine(clients, opts)
	a, notifier := &acquirer{e}, newNotifier(e)
	m := &Manager{
		engine: e, acquirer: a, notifier: notifier,
		waiters: newWaiters(a, notifier), owned: owned, stop: make(chan struct{}),
	}
	m.tasks.Go(func() { e.expiry.run(m.stop) })
	for _, r := range e.releasers {
		m.tasks.Go(func() { r.run(m.stop) })
	}
	return m
}

// Close ends the Manager: it signals the holders of its locks, ends the calls that are waiting,
// lets running calls of Do and Once return, delivers the releases that masters are still owed, and
// stops. Locks that were not released are left to expire. Afterwards every call returns ErrClosed,
// Release and Close included.
//
// Close takes no longer than Options.CloseTimeout. Masters that do not answer do not hold it up as
// long as they are a minority, and what is left to expire there keeps nobody from a lock. A
// goroutine that is in a call to such a master, by a client given to New, ends with that call. The
// error is nil unless calls were still running when the time was over, or locks were left to expire
// on so many masters that nobody can have them before.
func (m *Manager) Close() error {
	e := m.engine
	if !e.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	close(e.done)
	ctx, cancel := context.WithTimeout(context.Background(), e.opts.CloseTimeout) //mutant:close-timeout
	defer cancel()
	e.expiry.close() //mutant:close-signals
	var errs []error
	if running := e.calls.wait(ctx); running > 0 {
		errs = append(errs, fmt.Errorf("quorum: close: %d calls still running", running))
	}
	for _, r := range e.releasers {
		r.close()
	}
	m.drain(ctx) //mutant:close-drains
	close(m.stop)
	m.tasks.Wait()
	m.notifier.close(ctx)
	errs = append(errs, redisconn.Close(m.owned))
	moment, cancel := context.WithTimeout(ctx, closeMoment)
	defer cancel()
	_ = e.lanes.Close(moment) // what is stuck in a client ends when the client gives up
	return errors.Join(append(errs, m.leftToExpire())...)
}

const (
	// closeMoment is how long Close waits for what it can do without.
	closeMoment = 100 * time.Millisecond
	// drainMoment takes its place for releases that are being delivered: within it TCP sends a
	// lost packet again (Linux: TCP_RTO_MIN is 200 ms).
	drainMoment = 300 * time.Millisecond
)

// drain waits until a quorum of the masters has been told all releases that they are owed, then for
// the others for as long again, and a moment.
func (m *Manager) drain(ctx context.Context) {
	e := m.engine
	ctx, cancel := context.WithCancel(ctx)
	drained := make(chan int, len(e.releasers))
	var group sync.WaitGroup
	for i, r := range e.releasers {
		group.Go(func() {
			if r.owing.wait(ctx) == 0 {
				drained <- i
			}
		})
	}
	start, done := e.clock.Now(), ctx.Done()
	var timer <-chan time.Time
	for told := vote.Set(0); told != e.system.All() && done != nil; {
		select {
		case i := <-drained:
			told |= vote.Only(i)
			if timer == nil && e.system.HasQuorum(told) {
				timer = time.After(e.clock.Now().Sub(start) + drainMoment) //mutant:drain-moment
			}
		case <-timer:
			done = nil
		case <-done:
			done = nil
		}
	}
	cancel()
	group.Wait()
}

// leftToExpire reports the locks that nobody can have before their keys expire, because Close left
// those on too many masters.
func (m *Manager) leftToExpire() error {
	y := m.engine.system
	on, locks := map[*claim]vote.Set{}, map[*claim]bool{}
	var underWay vote.Set
	for i, r := range m.engine.releasers {
		for _, c := range r.leftByClose() {
			if on[c] |= vote.Only(i); y.Blocks(on[c]) { //mutant:close-left
				locks[c] = true
			}
		}
	}
	for i, r := range m.engine.releasers {
		if r.owing.count() > 0 {
			underWay |= vote.Only(i)
		}
	}
	switch {
	case len(locks) > 0:
		return fmt.Errorf("quorum: close: %d locks left to expire on masters that do not answer", len(locks))
	case y.Blocks(underWay):
		return fmt.Errorf("quorum: close: releases still under way to %d of %d masters that do not answer",
			underWay.Len(), y.Masters())
	}
	return nil
}
