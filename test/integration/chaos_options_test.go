package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// chaosClientOptions are settings of a client process that make it less careful. go-redis allows
// all of them.
type chaosClientOptions struct {
	Retries       bool // repeats requests long before AttemptTimeout; the first one may still arrive later
	AbandonsCalls bool // has a hook that sometimes returns before the end of a call
}

// String describes the options.
func (o chaosClientOptions) String() string {
	switch o {
	case chaosClientOptions{}:
		return "defaults of Open"
	case chaosClientOptions{Retries: true}:
		return "retries"
	case chaosClientOptions{AbandonsCalls: true}:
		return "abandons calls"
	}
	return "retries and abandons calls"
}

// drawClientOptions draws the options of the clients of a run. With enough clients, every
// combination occurs.
func drawClientOptions(seed uint64, clients int) []chaosClientOptions {
	options := make([]chaosClientOptions, clients)
	const stream = 1 << 32 // not used by plans, links and workers
	for i, index := range rand.New(rand.NewPCG(seed, stream)).Perm(clients) {
		options[index] = chaosClientOptions{Retries: i%2 == 0, AbandonsCalls: i%4 < 2}
	}
	return options
}

func TestChaosClientOptionsReplay(t *testing.T) {
	assert.Equal(t, drawClientOptions(7, 4), drawClientOptions(7, 4))
	orders := map[string]bool{}
	for seed := range uint64(20) {
		options := drawClientOptions(seed, 4)
		orders[fmt.Sprint(options)] = true
		assert.ElementsMatch(t, []chaosClientOptions{{}, {Retries: true}, {AbandonsCalls: true}, {Retries: true, AbandonsCalls: true}}, options)
	}
	assert.Greater(t, len(orders), 5)
}

func TestAbandonedCallIsStillExecuted(t *testing.T) {
	m := masters(t)[0]
	l := newLink(t, m.Addr(), 1, 1)
	var events bytes.Buffer
	j := &journal{out: &events}
	h := &abandoningHook{journal: j, oneIn: 2, random: rand.New(rand.NewPCG(1, 1))}
	c := redis.NewClient(&redis.Options{Addr: l.listener.Addr().String(), MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.Ping(t.Context()).Err())
	c.AddHook(h)
	l.set(traffic{delay: 20 * time.Millisecond})
	direct := dial(t, m)
	for what, call := range map[string]func() error{
		"command": func() error { return c.Do(t.Context(), "SET", "command", "v").Err() },
		"pipeline": func() error {
			_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				p.Do(t.Context(), "SET", "pipeline", "v")
				return nil
			})
			return err
		},
	} {
		var err error
		for err == nil {
			require.NoError(t, direct.Del(t.Context(), what).Err())
			events.Reset()
			err = call()
		}
		require.ErrorIs(t, err, errAbandoned, what)
		require.Contains(t, events.String(), abandonedOutcome)
		h.calls.Wait()
		require.EqualValues(t, 1, direct.Exists(t.Context(), what).Val(), "%s must still be executed", what)
	}
}

// chaosManager is a Manager with its clients and hooks.
type chaosManager struct {
	locks   *quorum.Manager
	clients []redis.UniversalClient
	hooks   []*abandoningHook
}

// open opens a Manager with the options of the client.
//
// Each process reaches the masters through links of its own. Clients of New give the masters the
// same addresses nevertheless, so that a master that forgets its set's record gets it back. Open
// cannot do that, so those processes do not look at the records.
func (s chaosSetup) open(j *journal) (o chaosManager, err error) {
	if s.Client == (chaosClientOptions{}) {
		opts := s.options()
		opts.AnyMasters = true
		o.locks, err = quorum.Open(s.URLs, opts)
		return o, err
	}
	for i, url := range s.URLs {
		settings, err := redis.ParseURL(url)
		if err != nil {
			return o, errors.Join(err, o.close())
		}
		settings.ContextTimeoutEnabled, settings.DialerRetries, settings.DisableIdentity = true, 1, true
		settings.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		settings.DialTimeout, settings.ReadTimeout, settings.MaxRetries = chaosAttemptTimeout, chaosAttemptTimeout, -1
		if s.Client.Retries {
			settings.ReadTimeout, settings.MaxRetries = chaosAttemptTimeout/5, 2
			settings.MinRetryBackoff, settings.MaxRetryBackoff = -1, -1
		}
		link := settings.Addr
		settings.Addr = fmt.Sprintf("master-%d:6379", i)
		settings.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: chaosAttemptTimeout}).DialContext(ctx, "tcp", link)
		}
		client := redis.NewClient(settings)
		if s.Client.AbandonsCalls {
			const stream = 1 << 32 // not used by workers
			h := &abandoningHook{journal: j, oneIn: 50, random: rand.New(rand.NewPCG(s.Seed, stream|s.ProcessID<<16|uint64(i)))}
			client.AddHook(h)
			o.hooks = append(o.hooks, h)
		}
		o.clients = append(o.clients, client)
	}
	o.locks, err = quorum.New(o.clients, s.options())
	if err != nil {
		err = errors.Join(err, o.close())
	}
	return o, err
}

func (o chaosManager) close() error {
	var errs []error
	if o.locks != nil {
		errs = append(errs, o.locks.Close())
	}
	for _, c := range o.clients {
		errs = append(errs, c.Close())
	}
	for _, h := range o.hooks {
		h.calls.Wait()
	}
	return errors.Join(errs...)
}

// abandoningHook is a hook that returns its own error from some calls while they go on.
type abandoningHook struct {
	journal *journal
	oneIn   int // one call in so many is abandoned if it takes more than a few milliseconds
	calls   sync.WaitGroup

	mu     sync.Mutex // guards random
	random *rand.Rand
}

var errAbandoned = errors.New("hook abandoned the call")

// abandonedOutcome is the outcome that a journal records for an abandoned call.
const abandonedOutcome = "hook: abandoned a call"

// timeout draws how long to wait for a call; 0 means until its end.
func (h *abandoningHook) timeout() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.random.IntN(h.oneIn) > 0 {
		return 0
	}
	return 1 + time.Duration(h.random.Int64N(int64(5*time.Millisecond)))
}

// DialHook changes nothing.
func (h *abandoningHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook executes a copy of a command that it may abandon. go-redis writes the error of the
// hook to the original, so the abandoned call must not write to it.
func (h *abandoningHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		timeout := h.timeout()
		own, generic := cmd.(*redis.Cmd)
		if timeout == 0 || !generic { // other types are only used to set up a connection
			return next(ctx, cmd)
		}
		copied := redis.NewCmd(ctx, own.Args()...)
		err := h.runOrAbandon(timeout, func() error { return next(ctx, copied) })
		if !errors.Is(err, errAbandoned) {
			own.SetVal(copied.Val())
		}
		own.SetErr(err)
		return err
	}
}

// ProcessPipelineHook may abandon pipelines. The replies are still written to the commands, which
// must not be read then. It does not abandon the pipelines that go-redis sends to set up a
// connection, because go-redis reads them.
func (h *abandoningHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		setup := slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { _, generic := cmd.(*redis.Cmd); return !generic })
		if timeout := h.timeout(); timeout > 0 && !setup {
			return h.runOrAbandon(timeout, func() error { return next(ctx, cmds) })
		}
		return next(ctx, cmds)
	}
}

func (h *abandoningHook) runOrAbandon(timeout time.Duration, call func() error) error {
	ended := make(chan error, 1)
	h.calls.Go(func() { ended <- call() })
	select {
	case err := <-ended:
		return err
	case <-time.After(timeout):
		h.journal.outcome(abandonedOutcome)
		return errAbandoned
	}
}
