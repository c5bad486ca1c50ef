package quorum

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
)

type operation = fanout.Op[request]

// master is one of the N independent Redis masters, and how to talk to it.
type master struct {
	client   redis.UniversalClient
	address  string
	password string
	timeout  time.Duration
	timeouts clock.Timeouts // of the calls' contexts
	retries  bool           // its client may repeat a request, so a refusal may be the second try's only
	commands commands

	// ahead is how far the master's clock is ahead of the Manager's, in
	// microseconds, as last learned; 0 before that.
	ahead atomic.Int64

	// legacy is set once the master has refused SET with NX and GET together,
	// which is how a Redis before 7 answers the first acquire.
	legacy atomic.Bool

	// barred is set once the master has said that its client has no right to the
	// auxiliary keys. What can do without them does so from then on.
	barred atomic.Bool
}

func newMaster(client redis.UniversalClient, index int, timeout time.Duration) *master {
	m := &master{client: client, address: describe(client, index), timeout: timeout, retries: true}
	switch c := client.(type) {
	case *redis.Client:
		m.password, m.retries = c.Options().Password, c.Options().MaxRetries > 0
	case *redis.ClusterClient:
		m.password = c.Options().Password
	case *redis.Ring:
		m.password = c.Options().Password
	}
	return m
}

// publishes tells whether messages from the master can reach who subscribes by its
// client. A Ring publishes on the shard of the lock's key and subscribes on that of the
// channel's name, and it panics while none of them is up.
func (m *master) publishes() bool {
	_, ring := m.client.(*redis.Ring)
	return !ring
}

// errNoReply tells a lane that its master did not answer.
var errNoReply = errors.New("no reply")

// send carries out a lane's batch. Requests that the master did not understand
// are put again, in another form, before it returns.
func (m *master) send(ctx context.Context, batch []*operation) error {
	ctx = m.timeouts.Context(ctx, m.timeout)
	for pending := batch; len(pending) > 0; pending = m.misunderstood(pending) {
		if len(pending) == 1 {
			m.sendOne(ctx, &pending[0].Payload)
		} else {
			m.sendPipeline(ctx, pending)
		}
	}
	if slices.ContainsFunc(batch, func(op *operation) bool { return op.Payload.answered() }) {
		return nil
	}
	return errNoReply
}

func (m *master) sendOne(ctx context.Context, q *request) {
	m.choose(q)
	cmd := redis.NewCmd(context.Background(), q.question.in(q.form)...)
	panicked := sheltered(func() { _ = m.client.Process(ctx, cmd) }) // the command keeps its error
	if q.reply, q.replyErr = cmd.Result(); panicked != nil {
		q.reply, q.replyErr = nil, panicked
	}
}

func (m *master) sendPipeline(ctx context.Context, batch []*operation) {
	cmds := m.commands.take(len(batch))
	for i, op := range batch {
		q := &op.Payload
		m.choose(q)
		cmds[i] = *redis.NewCmd(context.Background(), q.question.in(q.form)...)
	}
	err, panicked := m.exec(ctx, cmds)
	if panicked != nil {
		for _, op := range batch {
			op.Payload.reply, op.Payload.replyErr = nil, panicked
		}
		return // something may refer to the commands yet
	}
	for i, op := range batch {
		q := &op.Payload
		q.reply, q.replyErr = cmds[i].Result()
		if q.replyErr == nil && q.reply == nil {
			q.replyErr = err
		}
	}
	m.commands.giveBack(cmds)
}

// exec has the client carry out commands as one pipeline.
func (m *master) exec(ctx context.Context, cmds []redis.Cmd) (err, panicked error) {
	panicked = sheltered(func() {
		pipe := m.client.Pipeline()
		for i := range cmds {
			_ = pipe.Process(ctx, &cmds[i]) // only queues
		}
		_, err = pipe.Exec(ctx)
	})
	return err, panicked
}

// commands keeps the pipelines' commands for the next pipeline: under load they
// would be a third of all that is allocated. Nothing refers to them once Exec has
// returned and the replies are copied.
type commands struct{ pool sync.Pool }

func (c *commands) take(n int) []redis.Cmd {
	if cmds, ok := c.pool.Get().(*[]redis.Cmd); ok && cap(*cmds) >= n {
		return (*cmds)[:n]
	}
	return make([]redis.Cmd, n, n+n/2)
}

func (c *commands) giveBack(cmds []redis.Cmd) {
	clear(cmds) // they hold on to tokens and replies
	c.pool.Put(&cmds)
}

// choose starts a request in the form that the master is known to understand.
func (m *master) choose(q *request) {
	switch {
	case q.question.canBeBare() && m.barred.Load():
		q.form = bareForm
	case q.form == plainForm && (q.question.script != nil || m.legacy.Load()):
		q.form = digestForm
	}
}

// misunderstood returns the requests of batch that have to be put again.
func (m *master) misunderstood(batch []*operation) (again []*operation) {
	for _, op := range batch {
		q := &op.Payload
		plain, err := q.form == plainForm, q.replyErr
		if q.rephrase() {
			again = append(again, op)
			m.legacy.CompareAndSwap(false, plain)
			m.barred.CompareAndSwap(false, q.form == bareForm && redis.HasErrorPrefix(err, "NOPERM"))
		}
	}
	return again
}
