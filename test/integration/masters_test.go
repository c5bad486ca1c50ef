// Package integration tries the library against real Redis masters, each in a container of its own, and against
// what can happen to them. Its tests take five shared masters from masters, or start their own with Start.
package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
	"github.com/redis/go-redis/v9"
)

// Signals for Master.Signal, by their Linux numbers: the container's, whatever system the tests run on.
const (
	SIGSTOP = dc.SIGSTOP
	SIGCONT = dc.SIGCONT
)

// actionTimeout bounds what is done to a master. All of it takes well under a second on an idle machine.
const actionTimeout = 20 * time.Second

// A Master is one Redis server in a container, on a host port that stays the same whatever is done to it. All its
// methods may be called from any goroutine; what two of them do to one master at once is the engine's choice.
//
// How a client sees each fault: Kill, Stop and Disconnect close its connections, and new ones are refused. Pause and
// SIGSTOP hang it: connections are accepted and nothing is answered, and what was sent is carried out later, on Unpause
// or SIGCONT. Nothing drops packets: the engine's proxy on the host side of the port answers for a master it cannot reach.
type Master struct {
	name    string
	port    int
	pool    *dockertest.Pool
	network *dockertest.Network
	box     *dockertest.Resource // never written after the start: its Expire reads it from another goroutine
}

// String returns the container's name.
func (m *Master) String() string { return m.name }

// Addr returns the master's host:port on loopback.
func (m *Master) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)) }

// URL returns the master's address as a redis:// URL.
func (m *Master) URL() string { return "redis://" + m.Addr() }

// Kill ends the master by SIGKILL, paused or not, and returns when it is gone. Its memory is lost; its
// append-only file, if it has one, stays.
func (m *Master) Kill() error { return m.signalAndWait("kill", dc.SIGKILL) }

// Stop shuts a master down that can hear it: by SIGTERM, upon which Redis closes its files in good order. It is not
// the engine's own stop, because dockertest sets the stop signal to one that Redis ignores.
func (m *Master) Stop() error { return m.signalAndWait("stop", dc.SIGTERM) }

func (m *Master) signalAndWait(verb string, sig dc.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	if err := m.pool.Client.KillContainer(dc.KillContainerOptions{ID: m.id(), Signal: sig, Context: ctx}); err != nil {
		return m.wrapErr(verb, err)
	}
	_, err := m.pool.Client.WaitContainerWithContext(m.id(), ctx)
	return m.wrapErr(verb, err)
}

// Start starts a master again that was killed or stopped. It returns when the master answers, or at once when it is
// disconnected. Without WithAOF it comes back empty.
func (m *Master) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	if err := m.pool.Client.StartContainerWithContext(m.id(), nil, ctx); err != nil {
		return m.wrapErr("start", err)
	}
	m.expire()
	state, err := m.inspect(ctx)
	if err != nil || !m.connected(state) {
		return m.wrapErr("start", err)
	}
	return m.wrapErr("start", m.ready(ctx))
}

// Pause freezes the master by its control group, as a stalled virtual machine is.
func (m *Master) Pause() error { return m.wrapErr("pause", m.pool.Client.PauseContainer(m.id())) }

// Unpause ends a Pause.
func (m *Master) Unpause() error { return m.wrapErr("unpause", m.pool.Client.UnpauseContainer(m.id())) }

// Signal sends sig to the master's process.
func (m *Master) Signal(sig dc.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	return m.wrapErr("signal", m.pool.Client.KillContainer(dc.KillContainerOptions{ID: m.id(), Signal: sig, Context: ctx}))
}

// Disconnect takes the master off its network. It goes on running, with its memory.
func (m *Master) Disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	opts := dc.NetworkConnectionOptions{Container: m.id(), Context: ctx}
	return m.wrapErr("disconnect", m.pool.Client.DisconnectNetwork(m.network.Network.ID, opts))
}

// Reconnect ends a Disconnect. The master is on its old host port again when it returns.
func (m *Master) Reconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	opts := dc.NetworkConnectionOptions{Container: m.id(), Context: ctx}
	return m.wrapErr("reconnect", m.pool.Client.ConnectNetwork(m.network.Network.ID, opts))
}

// Wipe makes a master that answers forget all its keys and scripts, as if it were new.
func (m *Master) Wipe() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	c := redis.NewClient(&redis.Options{
		Addr:                  m.Addr(),
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
	})
	defer func() { _ = c.Close() }()
	return m.wrapErr("wipe", errors.Join(c.FlushAll(ctx).Err(), c.ScriptFlush(ctx).Err()))
}

// Ping asks the master whether it lives, over a new connection and without a client library's retries, pools and
// logs, so that the error is the network's own: os.ErrDeadlineExceeded when it hangs for longer than patience,
// syscall.ECONNREFUSED when nobody listens. One that asks for a password lives.
func (m *Master) Ping(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	reply = strings.TrimSpace(reply)
	if wantsPassword := strings.HasPrefix(reply, "-NOAUTH "); reply != "+PONG" && !wantsPassword {
		return fmt.Errorf("PING answered with %q", reply)
	}
	return nil
}

// heal undoes whatever was done to the master, except to its keys.
func (m *Master) heal(ctx context.Context) error {
	if m.Ping(ctx, 250*time.Millisecond) == nil {
		return nil
	}
	state, err := m.inspect(ctx)
	if err != nil {
		return m.wrapErr("heal", err)
	}
	if state.State.Paused {
		if err := m.Unpause(); err != nil {
			return err
		}
	}
	if !m.connected(state) {
		if err := m.Reconnect(); err != nil {
			return err
		}
	}
	if !state.State.Running {
		return m.Start()
	}
	// The engine does not know of a SIGSTOP, and a SIGCONT too many does no harm.
	if err := m.Signal(SIGCONT); err != nil {
		return err
	}
	return m.wrapErr("heal", m.ready(ctx))
}

// ready waits until the master answers, or until it is clear that it never will. dockertest's own Retry first looks
// again after half a second, which is longer than a start takes.
func (m *Master) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	for try := 1; ; try++ {
		err := m.Ping(ctx, time.Second)
		if err == nil {
			return nil
		}
		if try%20 == 0 {
			if state, err := m.inspect(ctx); err == nil && !state.State.Running {
				return fmt.Errorf("ended with status %d: %s", state.State.ExitCode, m.log(ctx))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// log returns the last lines that the server wrote.
func (m *Master) log(ctx context.Context) string {
	var out bytes.Buffer
	err := m.pool.Client.Logs(dc.LogsOptions{
		Context: ctx, Container: m.id(),
		OutputStream: &out, ErrorStream: &out,
		Stdout: true, Stderr: true, Tail: "5",
	})
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return strings.TrimSpace(out.String())
}

func (m *Master) inspect(ctx context.Context) (*dc.Container, error) {
	return m.pool.Client.InspectContainerWithContext(m.id(), ctx)
}

func (m *Master) connected(state *dc.Container) bool {
	for _, n := range state.NetworkSettings.Networks {
		if n.NetworkID == m.network.Network.ID {
			return true
		}
	}
	return false
}

// expire has the engine end the container by itself after a while, should this process not live to do so. It holds one
// request open, hence a few goroutines, until the container ends.
func (m *Master) expire() { _ = m.box.Expire(uint(maxLifetime / time.Second)) } // always nil

func (m *Master) id() string { return m.box.Container.ID }

func (m *Master) wrapErr(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s (%s): %w", verb, m.name, m.Addr(), err)
}
