package quorum

import (
	"context"
	"errors"
	"io"
	"net"
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
	cluster  *redis.ClusterClient // client, if it is one
	timeouts clock.Timeouts       // of the calls' contexts
	commands commands

	// ahead is how far the master's clock is ahead of the Manager's, in
	// microseconds, as last learned; 0 before that.
	ahead atomic.Int64

	// legacy is set once the master has refused SET with NX and GET together,
	// which is how a Redis before 7 answers the first acquire.
	legacy atomic.Bool

	keyless keyless
}

func newMaster(client redis.UniversalClient, index int, timeout time.Duration) *master {
	m := &master{client: client, address: describe(client, index), timeout: timeout}
	switch c := client.(type) {
	case *redis.Client:
		m.password = c.Options().Password
	case *redis.ClusterClient:
		m.password, m.cluster = c.Options().Password, c
	case *redis.Ring:
		m.password = c.Options().Password
	}
	return m
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
	answered := 0
	for _, op := range batch {
		if op.Payload.answered() {
			answered++
		}
	}
	if m.cluster != nil && answered < len(batch) {
		// It asks by itself once a minute only, and not after a node could not be
		// reached. What a dead node had is somewhere else by then.
		m.cluster.ReloadState(ctx)
	}
	if answered == 0 {
		return errNoReply
	}
	return nil
}

func (m *master) sendOne(ctx context.Context, q *request) {
	m.choose(q)
	cmd := redis.NewCmd(context.Background(), q.command(nil)...)
	err := m.client.Process(ctx, cmd)
	q.reply, q.replyErr = nil, err
	if returned(err) {
		q.reply, q.replyErr = cmd.Result()
	}
}

func (m *master) sendPipeline(ctx context.Context, batch []*operation) {
	cmds := m.commands.take(len(batch))
	pipe := m.client.Pipeline()
	for i, op := range batch {
		q := &op.Payload
		m.choose(q)
		args := len(cmds.args)
		cmds.args = q.command(cmds.args)
		cmds.cmds[i] = *redis.NewCmd(context.Background(), cmds.args[args:len(cmds.args):len(cmds.args)]...)
		_ = pipe.Process(ctx, &cmds.cmds[i]) // only queues
	}
	_, err := pipe.Exec(ctx)
	if !returned(err) {
		for _, op := range batch {
			op.Payload.reply, op.Payload.replyErr = nil, err
		}
		return
	}
	answered := true
	for i, op := range batch {
		q := &op.Payload
		q.reply, q.replyErr = cmds.cmds[i].Result()
		if q.replyErr == nil && q.reply == nil {
			q.replyErr = err
		}
		answered = answered && q.answered()
	}
	if answered {
		m.commands.giveBack(cmds)
	}
}

// returned tells whether err is one that go-redis' own part of a call ends with: a
// reply, or what reading and writing a connection fail with. A hook may return
// something else while that part goes on, and writes to its commands for as long as
// it does: nobody may read them then.
func returned(err error) bool {
	if err == nil || isReply(err) || errors.Is(err, io.EOF) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network)
}

// pipeline is the memory of one pipeline: its commands, and the arguments of all.
type pipeline struct {
	cmds []redis.Cmd
	args []any
}

// commands keeps the memory of pipelines for the next ones: under load it would be
// a third of all that is allocated. Only that of a pipeline comes back in which
// every command was answered, because nothing refers to it any more.
type commands struct{ pool sync.Pool }

func (c *commands) take(n int) *pipeline {
	p, ok := c.pool.Get().(*pipeline)
	if !ok {
		p = &pipeline{}
	}
	if cap(p.cmds) < n {
		p.cmds = make([]redis.Cmd, n, n+n/2)
	}
	p.cmds = p.cmds[:n]
	return p
}

func (c *commands) giveBack(p *pipeline) {
	clear(p.cmds) // they hold on to tokens and replies
	clear(p.args)
	p.args = p.args[:0]
	c.pool.Put(p)
}

// choose starts a request in the form that the master is known to understand.
func (m *master) choose(q *request) {
	switch {
	case q.question.canBeBare() && m.keyless.has(q.question.claim.key):
		q.form = bareForm
	case q.form == plainForm && (q.question.script != nil || m.legacy.Load()):
		q.form = digestForm
	}
}

// misunderstood returns the requests of batch that have to be put again.
func (m *master) misunderstood(batch []*operation) (again []*operation) {
	for _, op := range batch {
		q := &op.Payload
		plain := q.form == plainForm
		switch {
		case q.rephrase():
			again = append(again, op)
			m.legacy.CompareAndSwap(false, plain)
		case q.forbidden && q.replyErr == nil:
			m.keyless.add(q.question.claim.key)
		}
	}
	return again
}
