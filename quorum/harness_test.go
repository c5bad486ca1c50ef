package quorum_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
	"github.com/quorumlock/redlock/token"
)

const (
	name    = "nightly-mail"
	ttl     = 10 * time.Second
	window  = ttl - ttl/100 - 2*time.Millisecond
	timeout = time.Second // Options.AttemptTimeout's default
)

// testbed is a cluster of embedded masters and a Manager of locks on it, in a bubble of virtual
// time.
type testbed struct {
	*testing.T
	*quorumtest.Cluster
	*quorum.Manager
	clock clock.Clock
}

// bubble runs a test with n masters on virtual time.
func bubble(t *testing.T, n int, test func(b *testbed)) {
	t.Helper()
	bubbleWith(t, n, quorum.Options{}, test)
}

// bubbleWith is like bubble, with options for the Manager.
func bubbleWith(t *testing.T, n int, opts quorum.Options, test func(b *testbed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cluster, err := quorumtest.StartInProcess(n)
		require.NoError(t, err)
		if opts.Clock == nil {
			opts.Clock = clock.Runtime()
		}
		declare(cluster, opts.Prefix)
		b := &testbed{T: t, Cluster: cluster, Manager: newManager(t, cluster, opts), clock: opts.Clock}
		t.Cleanup(func() { // after the test's own cleanup, which may close other clients
			_ = b.Manager.Close() // the test may have closed it already
			assert.NoError(t, cluster.Close())
			time.Sleep(2 * time.Second) // go-redis' pools end a second after they are closed
		})
		test(b)
	})
}

// declare gives the masters the records of their set, as an earlier client has left them. Without
// records, the first attempt takes more round trips; see members_test.go.
func declare(cluster *quorumtest.Cluster, prefix string) {
	var names []string
	for _, m := range cluster.Masters() {
		names = append(names, m.Addr())
	}
	for i, m := range cluster.Masters() {
		r := membership.Record{Generation: 1, Name: names[i], Set: membership.SetOf(names)}
		m.Set(wire.SetKey(prefix), r.Text()+" 0", 0)
	}
}

func newManager(t *testing.T, cluster *quorumtest.Cluster, opts quorum.Options) *quorum.Manager {
	t.Helper()
	m, err := quorum.New(cluster.Clients(), &opts)
	require.NoError(t, err)
	return m
}

// warmUp makes connections and loads scripts, so that a test sees single commands only.
func (b *testbed) warmUp(m *quorum.Manager) {
	b.Helper()
	l, err := m.TryAcquire(b.Context(), "warm", ttl)
	require.NoError(b, err)
	synctest.Wait()
	require.NoError(b, l.Extend(b.Context(), ttl))
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
}

// acquire acquires the lock, and lets the masters beyond the quorum answer too.
func (b *testbed) acquire() *quorum.Lock {
	b.Helper()
	return b.acquireNamed(name)
}

// acquireNamed is acquire for another name.
func (b *testbed) acquireNamed(name string) *quorum.Lock {
	b.Helper()
	l, err := b.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	synctest.Wait()
	return l
}

// storedTokens returns the token that each master stores for the lock, or "" for none.
func (b *testbed) storedTokens() (tokens []string) {
	for _, m := range b.Masters() {
		token, _ := m.Get(name)
		tokens = append(tokens, token)
	}
	return tokens
}

// mastersStoring returns how many masters store the token for the lock.
func (b *testbed) mastersStoring(token string) int {
	n := 0
	for _, t := range b.storedTokens() {
		if t == token {
			n++
		}
	}
	return n
}

// vacantMasters returns how many masters store no token for the lock.
func (b *testbed) vacantMasters() int { return b.mastersStoring("") }

// occupy stores another client's token on the first n masters for an hour.
func (b *testbed) occupy(n int) { b.occupyFor(n, time.Hour) }

// occupyFor is like occupy, for another TTL.
func (b *testbed) occupyFor(n int, ttl time.Duration) {
	for _, m := range b.Masters()[:n] {
		m.Set(name, "another", ttl)
	}
}

// hang makes the first n masters hang.
func (b *testbed) hang(n int) {
	for _, m := range b.Masters()[:n] {
		m.Hang()
	}
}

// resume resumes all masters.
func (b *testbed) resume() {
	for _, m := range b.Masters() {
		m.Resume()
	}
}

// took returns how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// isLost reports whether the lock's Lost channel is closed.
func isLost(l *quorum.Lock) bool {
	synctest.Wait()
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// withHooks returns opts with hooks that only tests of this module can set.
func withHooks(opts quorum.Options, h testhook.Hooks) quorum.Options {
	testhook.Set(&opts, h)
	return opts
}

// predictableOptions returns options for a Manager that draws its tokens from seededTokens.
func predictableOptions() *quorum.Options {
	opts := withHooks(quorum.Options{Clock: clock.Runtime(), AnyMasters: true}, testhook.Hooks{Token: seededTokens()})
	return &opts
}

// seededTokens returns a function that always makes the same tokens.
func seededTokens() func(context.Context, time.Time, string) string {
	random, mu := rand.NewChaCha8([32]byte{42}), new(sync.Mutex)
	return func(context.Context, time.Time, string) string {
		mu.Lock()
		defer mu.Unlock()
		var bits [token.Bits / 8]byte
		_, _ = random.Read(bits[:]) // never fails
		return token.Encode(bits, time.Time{}, "test")
	}
}

// requireAttemptError returns the AttemptError in err. There must be one.
func requireAttemptError(tb testing.TB, err error) *quorum.AttemptError {
	tb.Helper()
	var failure *quorum.AttemptError
	require.ErrorAs(tb, err, &failure)
	return failure
}

// endedContext returns a context that has ended.
func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// assertReason asserts that err is the sentinel want and none of the other sentinels.
func assertReason(tb testing.TB, err, want error) {
	tb.Helper()
	for _, sentinel := range []error{quorum.ErrTaken, quorum.ErrNoQuorum, quorum.ErrLost, quorum.ErrClosed} {
		if sentinel == want { //nolint:errorlint // sentinels themselves
			assert.ErrorIs(tb, err, sentinel)
		} else {
			assert.NotErrorIs(tb, err, sentinel)
		}
	}
}

// processHook is a go-redis hook that concerns single commands only.
type processHook func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (processHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h processHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h(ctx, cmd, next) }
}

func (processHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// retryAfter is how long the clients of managerWithRetries wait before they repeat a request.
const retryAfter = 5 * time.Millisecond

// managerWithRetries returns a Manager whose clients repeat requests that were not answered.
func (b *testbed) managerWithRetries(opts quorum.Options) *quorum.Manager {
	b.Helper()
	return b.managerWithClients(opts, func(o *redis.Options) {
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, retryAfter, retryAfter
	})
}

// managerWithClients returns a Manager with new clients, whose options change sets.
func (b *testbed) managerWithClients(opts quorum.Options, change func(*redis.Options)) *quorum.Manager {
	b.Helper()
	var clients []redis.UniversalClient
	for _, m := range b.Masters() {
		o := m.Options()
		change(o)
		client := redis.NewClient(o)
		b.Cleanup(func() { assert.NoError(b, client.Close()) })
		clients = append(clients, client)
	}
	opts.Clock = b.clock
	m, err := quorum.New(clients, &opts)
	require.NoError(b, err)
	return m
}

// restartAndReconnect restarts a master, and waits until every connection of the Manager's client
// is new.
func (b *testbed) restartAndReconnect(i int, memory quorumtest.Memory) {
	b.Helper()
	require.NoError(b, b.Master(i).Restart(memory))
	for answered := 0; answered < 10; {
		inspection, err := b.Inspect(b.Context(), name)
		if err == nil && inspection.Masters[i].Err == nil {
			answered++
		}
	}
}
