package sim

import (
	"context"
	"encoding"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is the network between one client and one master, in the place of
// go-redis' own: a hook that never lets a command through to a socket.
type link struct {
	client  *client
	master  *master
	patient bool // calls last until they fail by themselves, as with go-redis' defaults

	mu   sync.Mutex // guards draw and push
	draw random
	push random // for subscriptions and what comes of them
}

// fate is what becomes of one call.
type fate struct {
	requestDelay, replyDelay time.Duration
	repeatDelay              time.Duration // how long the second try takes: the first may come later
	loseRequest              bool
	loseReply                bool
	repeatAfter              time.Duration // the client repeats it after this long; 0 if not
	abandonAfter             time.Duration // a hook returns after this long, though the call goes on; 0 if not
	refusedAfter, timeoutLag time.Duration
	stagger, stagger2        time.Duration // after a hang, until it is carried out; after a freeze, until it goes on
}

func (l *link) drawFate() fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.client.world
	f := fate{
		requestDelay: w.cfg.delay(l.draw), replyDelay: w.cfg.delay(l.draw),
		refusedAfter: l.draw.between(time.Microsecond, 100*time.Microsecond),
		timeoutLag:   l.draw.between(1, time.Millisecond),
	}
	f.stagger, f.stagger2 = l.draw.between(1, time.Millisecond), l.draw.between(1, time.Millisecond)
	f.repeatDelay = w.cfg.delay(l.draw)
	faulty := !w.calm.Load()
	f.loseRequest = l.draw.chance(w.cfg.Loss) && faulty
	f.loseReply = l.draw.chance(w.cfg.Loss) && faulty
	if l.draw.chance(w.cfg.Late) && faulty {
		f.requestDelay = l.draw.between(time.Millisecond, 3*callTimeout)
	}
	if l.draw.chance(w.cfg.Late) && faulty {
		f.replyDelay = l.draw.between(time.Millisecond, 3*callTimeout)
	}
	if l.draw.chance(w.cfg.Repeat) && faulty {
		f.repeatAfter = l.draw.between(time.Millisecond, callTimeout)
		f.loseReply = f.loseReply || l.draw.chance(0.5)
	}
	if l.draw.chance(w.cfg.Abandon) && faulty {
		f.abandonAfter = l.draw.between(time.Microsecond, 2*w.cfg.Latency)
	}
	return f
}

// callTimeout is quorum.Options.AttemptTimeout in the simulation, patience how
// long a call of a client without deadlines lasts.
const (
	callTimeout = 200 * time.Millisecond
	patience    = 5 * callTimeout
)

// exchange is one call: a batch there, the replies back. A client that repeats does
// so once, if it has no answer by then or one that it takes for a passing trouble.
func (l *link) roundTrip(ctx context.Context, f fate, batch [][]any) ([]any, error) {
	l.client.waitThawed(f.stagger)
	defer l.client.waitThawed(f.stagger2)
	if l.client.gone.Load() {
		return nil, l.waitForTimeout(ctx, f, nil)
	}
	incarnation, down := l.master.state()
	if down {
		time.Sleep(f.refusedAfter)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	answers := make(chan []any, 2)
	first, err := marshal(batch)
	if err != nil {
		return nil, err
	}
	if !f.loseRequest {
		l.send(f.requestDelay, f.stagger, f.replyDelay, f.loseReply, incarnation, first, answers)
	}
	expiry, repeat := l.timeoutTimer(ctx, f), l.repeatTimer(f)
	for {
		select {
		case replies := <-answers:
			switch {
			case repeat != nil && retryable(replies):
				continue
			case replies == nil:
				return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
			}
			return replies, nil
		case <-repeat:
			repeat = nil
			incarnation, _ = l.master.state()
			second, err := marshal(batch)
			if err != nil {
				return nil, err
			}
			l.send(f.repeatDelay, f.stagger2, f.replyDelay+1, false, incarnation, second, answers)
		case <-expiry:
			return nil, l.timeoutError()
		}
	}
}

// written returns a batch as it is put on the wire, which its requests are told of. One
// that must not be written any more fails the whole.
func marshal(batch [][]any) (words [][]any, err error) {
	words = make([][]any, len(batch))
	for i, args := range batch {
		words[i] = slices.Clone(args)
		for j, arg := range args {
			if m, ok := arg.(encoding.BinaryMarshaler); ok {
				text, err := m.MarshalBinary()
				if err != nil {
					return nil, err
				}
				words[i][j] = string(text)
			}
		}
	}
	return words, nil
}

// repetition returns when the client repeats the call, nil for never.
func (l *link) repeatTimer(f fate) <-chan time.Time {
	if f.repeatAfter == 0 {
		return nil
	}
	return time.After(f.repeatAfter)
}

// passing tells whether go-redis would try again after this.
func retryable(replies []any) bool {
	if len(replies) == 0 {
		return true
	}
	reply, failed := replies[0].(errorReply)
	return failed && (strings.HasPrefix(string(reply), "LOADING ") || strings.HasPrefix(string(reply), "READONLY "))
}

// deliver has the batch carried out later, whether or not anybody waits for it.
func (l *link) send(requestDelay, stagger, replyDelay time.Duration, lost bool, incarnation int, batch [][]any, answers chan<- []any) {
	w := l.client.world
	w.inFlight.Add(1)
	go func() {
		defer w.inFlight.Done()
		time.Sleep(requestDelay)
		replies, ok := l.master.execute(incarnation, stagger, batch)
		if slices.ContainsFunc(replies, isRefusal) {
			l.client.recordRefusal(l.master.index)
		}
		time.Sleep(replyDelay)
		if ok && (lost || l.client.gone.Load()) {
			return
		}
		select {
		case answers <- replies: // nil if the connection died with the master
		default:
		}
	}()
}

func (l *link) timeoutTimer(ctx context.Context, f fate) <-chan time.Time {
	d := patience
	if deadline, ok := ctx.Deadline(); ok && !l.patient {
		d = time.Until(deadline)
	}
	return time.After(d + f.timeoutLag)
}

func (l *link) waitForTimeout(ctx context.Context, f fate, _ error) error {
	<-l.timeoutTimer(ctx, f)
	return l.timeoutError()
}

func (l *link) timeoutError() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// DialHook is part of redis.Hook. Only subscriptions are dialled.
func (l *link) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return l.dial() }
}

// ProcessHook is part of redis.Hook.
func (l *link) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return l.process(ctx, []redis.Cmder{cmd}) }
}

// ProcessPipelineHook is part of redis.Hook.
func (l *link) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return l.process(ctx, sortedByArgs(cmds)) }
}

// errAbandoned is what a hook returns that does not wait for the call any more.
var errAbandoned = errors.New("the hook has lost its patience")

// process carries commands out. What an abandoned call brings is still written to
// its commands.
func (l *link) process(ctx context.Context, cmds []redis.Cmder) error {
	if cmds[0].Name() == "hello" { // it belongs to dialling, and takes no time either; see dial
		cmds[0].SetErr(replyError("ERR unknown command hello"))
		return cmds[0].Err()
	}
	f := l.drawFate()
	if f.abandonAfter == 0 {
		replies, err := l.call(ctx, f, cmds)
		return setReplies(cmds, replies, err)
	}
	returned := make(chan error, 1)
	w := l.client.world
	w.inFlight.Add(1)
	go func() {
		defer w.inFlight.Done()
		replies, err := l.call(ctx, f, cmds)
		w.quiesce() // go-redis, too, writes to the commands that it was abandoned with
		returned <- setReplies(cmds, replies, err)
	}()
	select {
	case err := <-returned:
		return err
	case <-time.After(f.abandonAfter):
		return errAbandoned
	}
}

// call exchanges the words of commands for replies.
func (l *link) call(ctx context.Context, f fate, cmds []redis.Cmder) ([]any, error) {
	batch := make([][]any, len(cmds))
	for i, cmd := range cmds {
		batch[i] = cmd.Args()
	}
	return l.roundTrip(ctx, f, batch)
}

// write gives commands their replies, or all of them the error.
func setReplies(cmds []redis.Cmder, replies []any, err error) (first error) {
	for i, cmd := range cmds {
		if err == nil {
			cmd.SetErr(setReply(cmd, replies[i]))
		} else {
			cmd.SetErr(err)
		}
		if first == nil {
			first = cmd.Err()
		}
	}
	return first
}

// inOrder puts the commands of a batch in an order that does not depend on which
// goroutine came first at one instant. Any will do: no two of them are about one
// token.
func sortedByArgs(cmds []redis.Cmder) []redis.Cmder {
	sorted := slices.Clone(cmds)
	slices.SortStableFunc(sorted, func(a, b redis.Cmder) int {
		return slices.CompareFunc(a.Args(), b.Args(), func(x, y any) int { return strings.Compare(argString(x), argString(y)) })
	})
	return sorted
}

// replyError is an error that a master replied.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it a redis.Error.
func (e replyError) RedisError() {}

// answer gives a command its reply, and returns the error that go-redis would.
func setReply(cmd redis.Cmder, reply any) error {
	switch reply := reply.(type) {
	case nilReply:
		return redis.Nil
	case errorReply:
		return replyError(reply)
	default:
		cmd.(*redis.Cmd).SetVal(reply)
		return nil
	}
}
