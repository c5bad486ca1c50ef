package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// chaosRun consists of client processes, five masters, and the links between them.
type chaosRun struct {
	seed    uint64
	masters []*Master
	spares  []*Master // replicas for failovers, one per master; none without the restart guard
	record  *chaosRecord
	clock   journal // provides the time of the run
	setup   chaosSetup

	masterMu []sync.Mutex // one per master; serializes its faults, even if Docker is slow
	links    [][]*link    // by client and master
	baseline traffic      // traffic on links without a fault

	clientOptions []chaosClientOptions // by client

	mu          sync.Mutex // guards the fields below
	clients     []*chaosProcess
	started     uint64 // number of processes started so far
	injected    map[chaosKind]int
	trace       []string // the faults as they really happened
	mastersDown int      // number of masters with a fault
	dropped     int      // number of faults that could not happen as planned
	killedHolds int      // number of holds of killed processes
}

func startChaos(t *testing.T, seed uint64, clients int, setup chaosSetup) *chaosRun {
	t.Helper()
	r := &chaosRun{
		seed: seed, record: newChaosRecord(), setup: setup,
		clients: make([]*chaosProcess, clients), injected: map[chaosKind]int{},
	}
	if setup.Guard {
		fleet := Start(t, 2*chaosMasters, WithAOF(), withFailover())
		r.masters, r.spares = fleet[:chaosMasters], fleet[chaosMasters:]
	} else {
		r.masters = Start(t, chaosMasters, WithAOF())
	}
	r.record.fencing, r.record.guard = setup.Fencing, setup.Guard
	r.clientOptions = make([]chaosClientOptions, clients)
	if setup.VaryClients {
		r.clientOptions = drawClientOptions(seed, clients)
	}
	r.masterMu = make([]sync.Mutex, len(r.masters))
	r.bootstrap(t)
	r.clock.origin = clock.System().Now()
	r.setup.Origin, r.setup.Seed = r.clock.origin, seed
	for i := range clients {
		var links []*link
		for k, m := range r.masters {
			links = append(links, newLink(t, m.Addr(), seed, uint64(i)<<8|uint64(k)))
		}
		r.links = append(r.links, links)
	}
	t.Cleanup(func() {
		for _, p := range r.clients {
			if p != nil {
				_ = p.cmd.Process.Kill()
				<-p.ended
			}
		}
	})
	for i := range clients {
		require.NoError(t, r.startClient(i))
	}
	return r
}

// bootstrap tells the restart guard, if it is on, that nobody can hold a lock yet.
func (r *chaosRun) bootstrap(t *testing.T) {
	t.Helper()
	if !r.setup.Guard {
		return
	}
	locks, err := quorum.Open(urlsOf(r.masters), &quorum.Options{RestartGuard: r.setup.longestTTL()})
	require.NoError(t, err)
	require.NoError(t, locks.Bootstrap(t.Context()))
	require.NoError(t, locks.Close())
}

// startClient starts client index, or restarts it.
func (r *chaosRun) startClient(index int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	setup := r.setup
	setup.ProcessID, setup.URLs, setup.Client = r.started, nil, r.clientOptions[index]
	for _, l := range r.links[index] {
		setup.URLs = append(setup.URLs, l.url())
	}
	if r.setup.SingleMaster {
		setup.URLs = setup.URLs[index : index+1]
	}
	p, err := startChaosProcess(r.record, setup)
	if err == nil {
		r.clients[index] = p
	}
	return err
}

func (r *chaosRun) client(index int) *chaosProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients[index]
}

// execute executes a plan.
func (r *chaosRun) execute(ctx context.Context, plan []chaosFault) error {
	g, ctx := errgroup.WithContext(ctx)
	start := r.clock.now()
	for _, f := range plan {
		g.Go(func() error {
			if sleep(ctx, start+f.At-r.clock.now()) != nil {
				return nil // another fault failed
			}
			if err := r.inject(ctx, f, start+f.At); err != nil {
				return fmt.Errorf("%v: %w", f, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// inject injects a fault and ends it, unless it cannot happen as planned.
func (r *chaosRun) inject(ctx context.Context, f chaosFault, due time.Duration) error {
	for _, m := range f.Masters { // in ascending order, which prevents deadlocks
		r.masterMu[m].Lock()
		defer r.masterMu[m].Unlock()
	}
	if !r.admit(f, due) {
		return nil
	}
	from := r.clock.now()
	err := r.apply(ctx, f)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mastersDown -= len(f.Masters)
	r.injected[f.Kind] += max(len(f.Masters), 1)
	r.trace = append(r.trace, fmt.Sprintf("%v: took %v", f, gap{from, r.clock.now()}))
	return err
}

// admit drops a fault that would come late or turn a failed minority into a majority, because
// Docker is slow to end earlier faults. Otherwise most faults on a busy machine would be failed
// majorities.
func (r *chaosRun) admit(f chaosFault, due time.Duration) bool {
	const minority, late = (chaosMasters - 1) / 2, time.Second
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(f.Masters)
	if r.clock.now() > due+late || n <= minority && n > 0 && r.mastersDown+n > minority {
		r.dropped++
		return false
	}
	r.mastersDown += n
	return true
}

func (r *chaosRun) apply(ctx context.Context, f chaosFault) error {
	switch f.Kind {
	case chaosFreeze:
		return r.freeze(ctx, f)
	case chaosKillClient:
		return r.killClient(ctx, f)
	}
	var g errgroup.Group
	for _, i := range f.Masters {
		g.Go(func() error { return r.injectMasterFault(ctx, f, i) })
	}
	return g.Wait()
}

func (r *chaosRun) freeze(ctx context.Context, f chaosFault) error {
	p := r.client(f.Process)
	if err := p.freeze(); err != nil {
		return err
	}
	_ = sleep(ctx, f.For)
	return p.thaw()
}

func (r *chaosRun) killClient(ctx context.Context, f chaosFault) error {
	held, err := r.client(f.Process).killWhileHolding(r.clock.now)
	r.mu.Lock()
	r.killedHolds += held
	r.mu.Unlock()
	_ = sleep(ctx, f.For)
	return errors.Join(err, r.startClient(f.Process))
}

func (r *chaosRun) injectMasterFault(ctx context.Context, f chaosFault, i int) error {
	m := r.masters[i]
	wait := func() error { _ = sleep(ctx, f.For); return nil }
	inOrder := func(steps ...func() error) error {
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	switch f.Kind {
	case chaosKill:
		return inOrder(m.Kill, wait, m.Start)
	case chaosStop:
		return inOrder(m.Stop, wait, m.Start)
	case chaosPause:
		return inOrder(m.Pause, wait, m.Unpause)
	case chaosSIGSTOP:
		return inOrder(func() error { return m.Signal(SIGSTOP) }, wait, func() error { return m.Signal(SIGCONT) })
	case chaosDisconnect:
		return inOrder(m.Disconnect, wait, m.Reconnect)
	case chaosFailover:
		return r.failOver(ctx, f, i)
	case chaosFlush:
		return r.forget(ctx, i, true, m.Wipe)
	case chaosRestartEmpty:
		return r.forget(ctx, i, true, m.Kill, m.Start, m.Wipe)
	case chaosFlushAtOnce:
		from := r.clock.now()
		err := m.Wipe()
		r.record.recordForget(from, r.clock.now())
		return err
	case chaosRestartEmptyAtOnce:
		return r.forget(ctx, i, false, m.Kill, m.Start, m.Wipe)
	}
	return r.disturbNetwork(ctx, f, i)
}

// forget makes a master lose its keys while no client can reach it. A master with an append-only
// file comes back with its keys. Wiping it before any client can see them simulates a restart
// without the file.
//
// With keepOut, the master stays cut off until all windows that it may have granted are over, as
// Options.RestartGuard would do.
func (r *chaosRun) forget(ctx context.Context, master int, keepOut bool, steps ...func() error) error {
	r.setLinks(master, -1, traffic{cut: true})
	defer r.setLinks(master, -1, r.baseline)
	cut := r.clock.now()
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if keepOut {
		const moment = 50 * time.Millisecond
		_ = sleep(ctx, cut+chaosLongestTTL+moment-r.clock.now())
		r.record.recordReturn(r.clock.now())
		return nil
	}
	// Locks granted while the master was cut off are granted without it, so it is as if it forgot
	// at the start.
	r.record.recordForget(cut, cut)
	return nil
}

// disturbNetwork disturbs the network between a master and one client, or all clients, for a while.
func (r *chaosRun) disturbNetwork(ctx context.Context, f chaosFault, master int) error {
	bad := map[chaosKind]traffic{
		chaosSlow:         {delay: f.Delay / 2, maxJitter: f.Delay},
		chaosBlackHole:    {holdRequests: true, holdReplies: true},
		chaosHoldRequests: {holdRequests: true},
		chaosHoldReplies:  {holdReplies: true},
		chaosCut:          {cut: true},
		chaosLate:         {straggle: maxStraggle},
	}
	now, known := bad[f.Kind]
	if !known {
		return errors.New("unknown kind of fault")
	}
	r.setLinks(master, f.Process, now)
	_ = sleep(ctx, f.For)
	r.setLinks(master, f.Process, r.baseline)
	return nil
}

func (r *chaosRun) setLinks(master, process int, now traffic) {
	for i := range r.links {
		if process < 0 || process == i {
			r.links[i][master].set(now)
		}
	}
}

// stopClients stops all clients gracefully.
func (r *chaosRun) stopClients() {
	var g errgroup.Group
	for i := range r.clients {
		g.Go(func() error { r.client(i).quit(); return nil })
	}
	_ = g.Wait() // the goroutines return no errors
}
