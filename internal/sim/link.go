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

// link is the network between one client and one master. It replaces go-redis' own: its hook never
// lets a command through to a socket.
type link struct {
	client  *client
	master  *master
	patient bool // calls ignore the caller's deadline, as with go-redis' defaults

	mu   sync.Mutex // guards draw and push
	draw random
	push random // for subscriptions and their messages
}

// fate is what happens to one call.
type fate struct {
	requestDelay, replyDelay time.Duration
	repeatDelay              time.Duration // delay of the second request; the first may arrive later
	loseRequest              bool
	loseReply                bool
	repeatAfter              time.Duration // the client repeats the request after this long; 0 for never
	abandonAfter             time.Duration // a hook returns after this long although the call goes on; 0 for never
	refusedAfter, timeoutLag time.Duration
	stagger, stagger2        time.Duration // delay after a hang until execution; after a freeze until the call continues
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

// callTimeout is quorum.Options.AttemptTimeout in the simulation. patience is how long a call
// without a deadline lasts.
const (
	callTimeout = 200 * time.Millisecond
	patience    = 5 * callTimeout
)

// roundTrip sends a batch and waits for the replies. A client that repeats requests does so once,
// if it has no reply by then, or only an error that go-redis retries.
func (l *link) roundTrip(ctx context.Context, f fate, batch [][]any) ([]any, error) {
	l.client.waitThawed(f.stagger)
	defer l.client.waitThawed(f.stagger2)
	if l.client.gone.Load() {
		return nil, l.waitForTimeout(ctx, f)
	}
	incarnation, down := l.master.state()
	if down {
		time.Sleep(f.refusedAfter)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	arrived := make(chan []any, 2)
	first, err := marshal(batch)
	if err != nil {
		return nil, err
	}
	if !f.loseRequest {
		l.send(f.requestDelay, f.stagger, f.replyDelay, f.loseReply, incarnation, first, arrived)
	}
	timeout, repeat := l.timeoutTimer(ctx, f), l.repeatTimer(f)
	for {
		select {
		case replies := <-arrived:
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
			l.send(f.repeatDelay, f.stagger2, f.replyDelay+1, false, incarnation, second, arrived)
		case <-timeout:
			return nil, l.timeoutError()
		}
	}
}

// marshal returns a batch as it is written to the wire. It calls the MarshalBinary methods of
// arguments, by which a request learns that it is written. If one of them returns an error, the
// whole batch fails.
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

// repeatTimer fires when the client repeats the request. It is nil for never.
func (l *link) repeatTimer(f fate) <-chan time.Time {
	if f.repeatAfter == 0 {
		return nil
	}
	return time.After(f.repeatAfter)
}

// retryable reports whether go-redis would retry after these replies.
func retryable(replies []any) bool {
	if len(replies) == 0 {
		return true
	}
	reply, failed := replies[0].(errorReply)
	return failed && (strings.HasPrefix(string(reply), "LOADING ") || strings.HasPrefix(string(reply), "READONLY "))
}

// send has the batch executed later, whether or not anybody waits for it.
func (l *link) send(requestDelay, stagger, replyDelay time.Duration, lost bool, incarnation int, batch [][]any, arrived chan<- []any) {
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
		case arrived <- replies: // nil if the connection broke with the master
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

func (l *link) waitForTimeout(ctx context.Context, f fate) error {
	<-l.timeoutTimer(ctx, f)
	return l.timeoutError()
}

func (l *link) timeoutError() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// DialHook implements redis.Hook. Only subscriptions dial.
func (l *link) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return l.dial() }
}

// ProcessHook implements redis.Hook.
func (l *link) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return l.process(ctx, []redis.Cmder{cmd}) }
}

// ProcessPipelineHook implements redis.Hook.
func (l *link) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return l.process(ctx, sortedByArgs(cmds)) }
}

// errAbandoned is the error of a hook that no longer waits for its call.
var errAbandoned = errors.New("sim: hook abandoned the call")

// process executes commands. The replies of an abandoned call are still written to its commands.
func (l *link) process(ctx context.Context, cmds []redis.Cmder) error {
	if cmds[0].Name() == "hello" { // part of dialing, which takes no time; see dial
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
		w.quiesce() // go-redis also writes to the commands of an abandoned call
		returned <- setReplies(cmds, replies, err)
	}()
	select {
	case err := <-returned:
		return err
	case <-time.After(f.abandonAfter):
		return errAbandoned
	}
}

// call exchanges the arguments of commands for replies.
func (l *link) call(ctx context.Context, f fate, cmds []redis.Cmder) ([]any, error) {
	batch := make([][]any, len(cmds))
	for i, cmd := range cmds {
		batch[i] = cmd.Args()
	}
	return l.roundTrip(ctx, f, batch)
}

// setReplies gives each command its reply, or all of them the error.
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

// sortedByArgs sorts the commands of a batch. The order must not depend on which goroutine came
// first at one instant. Any order will do, because no two commands of a batch concern the same
// token.
func sortedByArgs(cmds []redis.Cmder) []redis.Cmder {
	sorted := slices.Clone(cmds)
	slices.SortStableFunc(sorted, func(a, b redis.Cmder) int {
		return slices.CompareFunc(a.Args(), b.Args(), func(x, y any) int { return strings.Compare(argString(x), argString(y)) })
	})
	return sorted
}

// replyError is an error reply of a master.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (e replyError) RedisError() {}

// setReply gives a command its reply, and returns the error that go-redis would return.
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
