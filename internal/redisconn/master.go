package redisconn

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
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
	index    int
	identity identity
	clock    clock.Clock
	timeout  time.Duration  // of a call
	timeouts clock.Timeouts // of the calls' contexts
	memory   memoryPool
	apart    apart
	ahead    ahead
	members  Membership

	forbidden atomic.Int32 // how many more times to rely on it that the record cannot be compared; see apart

	asides     chan struct{}         // a semaphore; see aside
	deniedInfo atomic.Pointer[error] // why the master denied INFO; see Survey

	unauthenticated unauthenticated
}

// Masters returns the masters that clients connect to. timeout is how long a call to one may take.
func Masters(clients []redis.UniversalClient, c clock.Clock, timeout time.Duration) []*Master {
	masters := make([]*Master, len(clients))
	for i, client := range clients {
		masters[i] = &Master{
			client: client, index: i, identity: identify(client, i), clock: c, timeout: timeout,
			asides: make(chan struct{}, maxAside),
		}
	}
	return masters
}

// Membership knows which masters belong to the Manager's set; see package membership. It is safe
// for concurrent use.
type Membership interface {
	// Member returns which record the Manager accepts of a master.
	Member(master int) wire.Member
	// Foreign tells of a record because of which a master refused something. It reports whether the
	// Manager accepts the record, so that the request may be repeated.
	Foreign(master int, record string) (accepted bool)
}

// Join makes the master compare its record with the one that s accepts. It must be called before
// the first Send.
func (m *Master) Join(s Membership) { m.members = s }

// HasRecord reports whether the master has a record of its set. A Cluster and a Ring have not: one
// record cannot be in every lock's slot.
func (m *Master) HasRecord() bool { return m.identity.kind == plain }

// Address returns the address by which the Manager knows the master, or "" if its client does not
// show any. Another database than 0 is a part of it.
func (m *Master) Address() string {
	if len(m.identity.addresses) == 0 {
		return ""
	}
	if n := m.identity.database; n != 0 { //mutant:address-database
		return m.identity.addresses[0] + "/" + strconv.Itoa(n)
	}
	return m.identity.addresses[0]
}

// member returns the record that the Manager accepts now.
func (m *Master) member() wire.Member {
	if m.members == nil || m.forbidden.Load() > 0 && m.forbidden.Add(-1) >= 0 {
		return wire.Member{}
	}
	return m.members.Member(m.index)
}

// Uncompared reports whether the client's user has no right to the record of the set of masters, as
// far as the last calls say.
func (m *Master) Uncompared() bool { return m.forbidden.Load() > 0 }

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

// Send sends the operations of a lane. Before it returns, it sends again what the master did not
// execute for a reason that another form of the command can avoid.
func (m *Master) Send(ctx context.Context, ops []*Op) error {
	ctx = m.timeouts.Context(ctx, m.timeout) //mutant:call-deadline
	memory := m.memory.take(ops)
	answered := m.sendAll(ctx, memory, ops)
	if memory.reusable {
		m.memory.giveBack(memory)
	}
	if c, ok := m.client.(*redis.ClusterClient); ok && answered < len(ops) {
		// On its own the client reloads the state only once a minute, and not when a node cannot be
		// reached. By now another node may have the dead node's slots.
		c.ReloadState(ctx)
	}
	if answered == 0 {
		return errNoReply
	}
	return nil
}

// sendAll sends operations, and returns how many of them the master answered.
func (m *Master) sendAll(ctx context.Context, memory *memory, ops []*Op) (answered int) {
	for batches := m.plan(memory, ops); len(batches) > 0; {
		m.send(ctx, memory, batches)
		batches = m.again(batches)
	}
	for _, op := range ops {
		if op.Payload.Reply.Answered() {
			answered++
		}
	}
	return answered
}

// send sends one command for each batch, and splits the replies.
func (m *Master) send(ctx context.Context, memory *memory, batches []batch) {
	sent := m.clock.Now()
	limit, member := m.ahead.load(sent), m.member()
	cmds := memory.commands(len(batches))
	for i := range batches {
		b := &batches[i]
		ahead := limit
		if b.unlimited {
			ahead = wire.Ahead{}
		}
		for _, c := range b.calls {
			c.Sent = time.Duration(sent)
		}
		if b.member = member; b.uncompared {
			b.member = wire.Member{}
		}
		n := len(memory.args)
		memory.args = b.calls.Command(memory.args, ahead, b.member, b.inFull)
		cmds[i] = *redis.NewCmd(context.Background(), memory.args[n:len(memory.args):len(memory.args)]...)
	}
	err := sheltered(func() error { return m.exec(ctx, cmds) })
	if !returned(err) { //mutant:pipeline-not-returned
		memory.reusable = false
		for i := range batches {
			batches[i].settle(m.unauthenticated.explain(failure(err)))
		}
		return
	}
	for i := range batches {
		value, replyErr := cmds[i].Result()
		if replyErr == nil && value == nil {
			replyErr = err
		}
		r := m.unauthenticated.explain(reply(value, replyErr))
		memory.reusable = memory.reusable && r.Answered() //mutant:pipeline-answered
		if micros := batches[i].settle(r); micros != 0 {
			m.ahead.store(micros, sent, m.clock.Now())
		}
	}
}

// exec sends commands as a pipeline, or a single command by itself.
func (m *Master) exec(ctx context.Context, cmds []redis.Cmd) error {
	if len(cmds) == 1 {
		return m.client.Process(ctx, &cmds[0])
	}
	pipe := m.client.Pipeline()
	for i := range cmds {
		_ = pipe.Process(ctx, &cmds[i]) // only queues
	}
	_, err := pipe.Exec(ctx)
	return err
}

// reply converts go-redis' result of a command to a Reply.
func reply(value any, err error) wire.Reply {
	switch {
	case err == nil && value != nil:
		return wire.Reply{Kind: wire.ReplyValue, Value: value}
	case errors.Is(err, redis.Nil):
		return wire.Reply{Kind: wire.ReplyNil, Err: err}
	}
	return failure(err)
}

// failure is reply for a command that returned no value. Redis 7 does not even read a command of
// more than ten arguments from a client that has not authenticated, and words that in a way that no
// client recognizes.
func failure(err error) wire.Reply {
	var ofMaster wire.MasterError
	switch {
	case errors.As(err, &ofMaster):
		if strings.HasPrefix(ofMaster.Error(), "ERR Protocol error: unauthenticated") {
			err = typedError("NOAUTH Authentication required.")
		}
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
