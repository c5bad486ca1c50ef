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

// Manager acquires locks on N independent Redis masters. It is safe for concurrent use. A program
// needs one Manager per set of masters. Call Close when done.
type Manager struct {
	engine   *engine
	acquirer *acquirer
	waiters  *waiters
	notifier *notifier
	owned    []redis.UniversalClient // the clients that Close closes

	stop  chan struct{}  // closed when the tasks are to end
	tasks sync.WaitGroup // the expiry loop, the releasers, and what asks masters for their records
}

// New returns a Manager of locks on the given masters. The masters must be independent: not
// replicas of one another, and none given twice. Each may be a plain client, a client backed by
// Sentinel, or a Cluster or Ring client, which counts as one master. With a Ring, waiters poll
// instead of being notified. The caller still owns the clients: Close does not close them.
//
// With go-redis' default options, a client does not apply a context's deadline to the socket, and
// retries for up to half a minute. That delays neither attempts nor other masters. But when a
// master that was cut off comes back, the Manager may not notice until the retries end. Open
// configures its clients for locking.
//
// New makes no connection. It fails if there are no masters, if a client or an address occurs
// twice, or if opts is invalid. A master that is also in Options.JointMasters must be given by the
// same client, or by one with the same address, which is then not used.
func New(masters []redis.UniversalClient, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(filled.Joint) > 0 {
		return nil, errors.New("quorum: options: Joint is for Open; New takes JointMasters")
	}
	all, system, err := redisconn.Union(masters, filled.JointMasters, filled.RestartGuard > 0)
	if err != nil {
		return nil, err
	}
	return start(all, nil, system, filled), nil
}

// Open returns a Manager of locks on the masters at the given URLs. Its clients are its own: they
// are configured for locking, and Close closes them. A URL has the form that go-redis' ParseURL
// accepts: redis://user:password@host:port/db, rediss:// for TLS (see Options.TLS), or
// unix://user:password@/path?db=n. Settings in its query, such as ?read_timeout=300ms, take
// precedence over Open's own. Timeouts there must be positive. max_retries must be at most 10; a
// negative value means no retries.
//
// On the masters, the connections are named redlock:owner after Options.Owner, as CLIENT LIST
// shows, unless the URL has a client_name.
//
// Open makes no connection. It fails if there are no URLs, if a URL does not parse or has a setting
// out of range, if two URLs lead to the same address, or if opts is invalid. A URL that leads to
// the same address as one in Options.Joint is the same master. The error says what is
// wrong with each URL. It identifies a URL by its index in urls, and shows no part of it except for
// the name of a setting.
func Open(urls []string, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(filled.JointMasters) > 0 {
		return nil, errors.New("quorum: options: JointMasters is for New; Open takes Joint")
	}
	set, joint, err := redisconn.Dial(urls, filled.Joint, redisconn.Settings{
		Timeout: filled.AttemptTimeout, Connections: maxPipelines,
		TLS: filled.TLS, ClientName: "redlock:" + filled.Owner,
	})
	if err != nil {
		return nil, err
	}
	all, system, err := redisconn.Union(set, joint, filled.RestartGuard > 0)
	if err != nil {
		return nil, errors.Join(err, redisconn.Close(set), redisconn.Close(joint))
	}
	return start(all, append(set, joint...), system, filled), nil
}

func start(clients, owned []redis.UniversalClient, system vote.System, opts Options) *Manager {
	e := newEngine(redisconn.Masters(clients, opts.Clock, opts.AttemptTimeout), system, opts)
	a, notifier := &acquirer{e, newMembers(e)}, newNotifier(e)
	e.set = a.members
	m := &Manager{
		engine: e, acquirer: a, notifier: notifier,
		waiters: newWaiters(a, notifier), owned: owned, stop: make(chan struct{}),
	}
	m.tasks.Go(func() { e.expiry.run(m.stop) })
	m.tasks.Go(func() { a.members.run(m.stop) })
	for _, r := range e.releasers {
		m.tasks.Go(func() { r.run(m.stop) })
	}
	return m
}

// Close shuts down the Manager. It signals the holders of its locks, ends the calls that are
// waiting, lets running calls of Do, Lead and Once return, and delivers pending releases to the
// masters. Locks that were not released are left to expire. After Close, every call returns
// ErrClosed, including Release and Close.
//
// Close takes no longer than Options.CloseTimeout. A minority of masters that do not answer does
// not delay it, and keys left to expire on them block no one from a lock. If a majority does not
// answer, Close gives up on it after a second. If a client passed to New is still in a call to such
// a master, the call's goroutine ends with the call. Close returns nil unless calls were still
// running when the timeout passed, or locks were left to expire on so many masters that nobody can
// acquire them until then.
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
	_ = e.lanes.Close(moment) // a call that is stuck in a client ends when the client gives up
	errs = append(errs, m.leftToExpire())
	e.events.close(ctx) //mutant:close-delivers
	return errors.Join(errs...)
}

const (
	// closeMoment is how long Close waits for things that it does not need.
	closeMoment = 100 * time.Millisecond
	// drainMoment is the same for releases that are being delivered. It is long enough for TCP to
	// retransmit a lost packet (on Linux, TCP_RTO_MIN is 200 ms).
	drainMoment = 300 * time.Millisecond
)

// drain waits until a quorum of the masters has received all the releases they are owed. Then it
// waits as long again, plus drainMoment, for the others.
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

// leftToExpire returns an error if Close left keys on so many masters that nobody can acquire the
// locks until the keys expire.
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
