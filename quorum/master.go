package quorum

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/fanout"
)

type operation = fanout.Op[request]

// master is one of the N independent Redis masters, and how to talk to it.
type master struct {
	client    redis.UniversalClient
	address   string
	password  string
	timeout   time.Duration
	cluster   *redis.ClusterClient // client, if it is one
	timeouts  clock.Timeouts       // of the calls' contexts
	pipelines pipelinePool

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
	err := sheltered(func() error { return m.client.Process(ctx, cmd) })
	q.reply, q.replyErr = nil, err
	if returned(err) {
		q.reply, q.replyErr = cmd.Result()
	}
}

func (m *master) sendPipeline(ctx context.Context, batch []*operation) {
	p := m.pipelines.take(len(batch))
	for i, op := range batch {
		q := &op.Payload
		m.choose(q)
		n := len(p.args)
		p.args = q.command(p.args)
		p.cmds[i] = *redis.NewCmd(context.Background(), p.args[n:len(p.args):len(p.args)]...)
	}
	err := sheltered(func() error { return p.exec(ctx, m.client) })
	if !returned(err) {
		for _, op := range batch {
			op.Payload.reply, op.Payload.replyErr = nil, err
		}
		return
	}
	answered := true
	for i, op := range batch {
		q := &op.Payload
		q.reply, q.replyErr = p.cmds[i].Result()
		if q.replyErr == nil && q.reply == nil {
			q.replyErr = err
		}
		answered = answered && q.answered()
	}
	if answered {
		m.pipelines.giveBack(p)
	}
}

// returned tells whether err is one that go-redis' own part of a call ends with: a
// reply, or what reading and writing a connection fail with. A hook may return
// something else while that part goes on, and writes to its commands for as long as
// it does: nobody may read them then. Nor after a panic.
func returned(err error) bool {
	if err == nil || isReply(err) || errors.Is(err, io.EOF) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network)
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
