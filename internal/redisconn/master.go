package redisconn

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
	"github.com/quorumlock/redlock/internal/wire"
)

// Op is a lane's operation: a call on its way to a master.
type Op = fanout.Op[wire.Call]

// Master is one of the independent masters, as seen through its client. It is safe for concurrent
// use.
type Master struct {
	client   redis.UniversalClient
	identity identity
	timeout  time.Duration  // of a call
	timeouts clock.Timeouts // of the calls' contexts
	pool     pipelinePool

	// noSetNXGet is set once the master has refused SET with both NX and GET. A Redis before 7
	// refuses the first acquire in that form.
	noSetNXGet atomic.Bool
	noAuxKeys  noAuxKeys
}

// Masters returns the masters that clients connect to. timeout is how long a call to one may take.
func Masters(clients []redis.UniversalClient, timeout time.Duration) []*Master {
	masters := make([]*Master, len(clients))
	for i, client := range clients {
		masters[i] = &Master{client: client, identity: identify(client, i), timeout: timeout}
	}
	return masters
}

// Name returns the master's name for errors and reports: its address, never with its credentials.
func (m *Master) Name() string { return m.identity.name }

// Redact makes an error safe to show: without the master's password, and with the ownership token
// abbreviated.
func (m *Master) Redact(err error, token string) error {
	return redact(err, token, m.identity.password) //mutant:redact-secrets
}

// Publishes reports whether messages from the master can reach a subscriber that uses its client. A
// Ring publishes on the shard of the lock's key, but subscribes on the shard of the channel's name.
// It also panics while none of its shards is up.
func (m *Master) Publishes() bool { return m.identity.kind != ring }

// CountsListeners reports whether the master knows how many clients listen on a channel. A Cluster
// does not: each node counts only its own.
func (m *Master) CountsListeners() bool { return m.identity.kind != cluster }

// errNoReply tells a lane that its master did not answer.
var errNoReply = errors.New("no reply")

// Send sends a lane's batch. Before it returns, it sends calls that the master did not understand
// again in another form.
func (m *Master) Send(ctx context.Context, batch []*Op) error {
	ctx = m.timeouts.Context(ctx, m.timeout) //mutant:call-deadline
	for pending := batch; len(pending) > 0; pending = m.misunderstood(pending) {
		if len(pending) == 1 {
			m.sendOne(ctx, &pending[0].Payload)
		} else {
			m.sendPipeline(ctx, pending)
		}
	}
	answered := 0
	for _, op := range batch {
		if op.Payload.Reply.Answered() {
			answered++
		}
	}
	if c, ok := m.client.(*redis.ClusterClient); ok && answered < len(batch) {
		// On its own the client reloads the state only once a minute, and not when a node cannot be
		// reached. By now another node may have the dead node's slots.
		c.ReloadState(ctx)
	}
	if answered == 0 {
		return errNoReply
	}
	return nil
}

func (m *Master) sendOne(ctx context.Context, c *wire.Call) {
	m.choose(c)
	cmd := redis.NewCmd(context.Background(), c.Command(nil)...)
	err := sheltered(func() error { return m.client.Process(ctx, cmd) })
	if !returned(err) {
		c.Reply = failure(err)
		return
	}
	c.Reply = reply(cmd.Result())
}

func (m *Master) sendPipeline(ctx context.Context, batch []*Op) {
	p := m.pool.take(len(batch))
	for i, op := range batch {
		c := &op.Payload
		m.choose(c)
		n := len(p.args)
		p.args = c.Command(p.args)
		p.cmds[i] = *redis.NewCmd(context.Background(), p.args[n:len(p.args):len(p.args)]...)
	}
	err := sheltered(func() error { return p.exec(ctx, m.client) })
	if !returned(err) { //mutant:pipeline-not-returned
		for _, op := range batch {
			op.Payload.Reply = failure(err)
		}
		return
	}
	answered := true
	for i, op := range batch {
		value, replyErr := p.cmds[i].Result()
		if replyErr == nil && value == nil {
			replyErr = err
		}
		op.Payload.Reply = reply(value, replyErr)
		answered = answered && op.Payload.Reply.Answered()
	}
	if answered { //mutant:pipeline-answered
		m.pool.giveBack(p)
	}
}

// reply converts go-redis' result of a call to a Reply.
func reply(value any, err error) wire.Reply {
	switch {
	case err == nil && value != nil:
		return wire.Reply{Kind: wire.ReplyValue, Value: value}
	case errors.Is(err, redis.Nil): // before errors.As, because it is frequent and As allocates
		return wire.Reply{Kind: wire.ReplyNil, Err: err}
	}
	return failure(err)
}

// failure is reply for a call that returned no value.
func failure(err error) wire.Reply {
	var ofMaster wire.MasterError
	switch {
	case errors.As(err, &ofMaster):
		return wire.Reply{Kind: wire.ReplyError, Err: err}
	case neverConnected(err):
		return wire.Reply{Kind: wire.NotConnected, Err: err}
	}
	return wire.Reply{Err: err}
}

// neverConnected reports whether err means that there was no connection to write to.
func neverConnected(err error) bool {
	var network *net.OpError
	return errors.Is(err, redis.ErrClosed) || errors.As(err, &network) && network.Op == "dial"
}

// returned reports whether err is one with which go-redis' own part of a call ends: nil, a reply,
// or a failure to read or write a connection. A hook may return another error while go-redis' part
// is still running and writing to the commands. After such an error, or after a panic, nobody may
// read the commands.
func returned(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, io.EOF) {
		return true
	}
	var ofMaster wire.MasterError
	var network *net.OpError
	return errors.As(err, &ofMaster) || errors.As(err, &network)
}

// choose starts a call in the form that the master is known to understand.
func (m *Master) choose(c *wire.Call) {
	c.Choose(c.CanBeKeyOnly() && m.noAuxKeys.has(c.Request.Subject.Key), m.noSetNXGet.Load())
}

// misunderstood returns the calls of batch that must be sent again.
func (m *Master) misunderstood(batch []*Op) (again []*Op) {
	for _, op := range batch {
		c := &op.Payload
		set := c.Form() == wire.FormSet
		switch {
		case c.Rephrase():
			again = append(again, op)
			m.noSetNXGet.CompareAndSwap(false, set)
		case c.Forbidden():
			m.noAuxKeys.add(c.Request.Subject.Key)
		}
	}
	return again
}
