// Package integration tests the library against real Redis masters, each in its own container, and
// the faults that they may have. Tests use the five shared masters of masters, or start their own
// with Start.
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

// Signals for Master.Signal. Their numbers are those of Linux, because the container runs Linux
// even if the tests do not.
const (
	SIGSTOP = dc.SIGSTOP
	SIGCONT = dc.SIGCONT
)

// actionTimeout bounds each action on a master. All of them take well under a second on an idle
// machine, but on a busy one the engine has taken more than 20 seconds to start a container.
const actionTimeout = time.Minute

// A Master is a Redis server in a container. Its host port stays the same in all faults. Its
// methods are safe for concurrent use, but the result of concurrent actions on one master is up to
// the Docker engine.
//
// Clients see the faults as follows. Kill, Stop and Disconnect close connections, and new ones are
// refused. Pause and SIGSTOP hang the master: connections are accepted but requests are not
// answered, and are executed after Unpause or SIGCONT. No fault drops packets, because the engine's
// proxy on the host port answers for a master that it cannot reach.
type Master struct {
	name    string
	port    int
	pool    *dockertest.Pool
	network *dockertest.Network
	box     *dockertest.Resource // not modified after the start, because its Expire reads it from another goroutine
}

// String returns the container's name.
func (m *Master) String() string { return m.name }

// Addr returns the master's host:port on loopback.
func (m *Master) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)) }

// URL returns the master's address as a redis:// URL.
func (m *Master) URL() string { return "redis://" + m.Addr() }

// Kill kills the master by SIGKILL, even a paused one, and waits until it is gone. Its memory is
// lost. Its append-only file, if any, remains.
func (m *Master) Kill() error { return m.signalAndWait("kill", dc.SIGKILL) }

// Stop stops a responsive master by SIGTERM, which makes Redis close its files properly. It does
// not use the stop action of the engine, because dockertest sets a stop signal that Redis ignores.
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

// Start starts a killed or stopped master. It returns when the master answers, or at once if the
// master is disconnected. Without WithAOF the master comes back empty.
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

// Pause freezes the master through its control group, like a stalled virtual machine.
func (m *Master) Pause() error { return m.wrapErr("pause", m.pool.Client.PauseContainer(m.id())) }

// Unpause ends a Pause.
func (m *Master) Unpause() error { return m.wrapErr("unpause", m.pool.Client.UnpauseContainer(m.id())) }

// Signal sends sig to the master's process.
func (m *Master) Signal(sig dc.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	return m.wrapErr("signal", m.pool.Client.KillContainer(dc.KillContainerOptions{ID: m.id(), Signal: sig, Context: ctx}))
}

// Disconnect disconnects the master from its network. It keeps running, with its memory.
func (m *Master) Disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	opts := dc.NetworkConnectionOptions{Container: m.id(), Context: ctx}
	return m.wrapErr("disconnect", m.pool.Client.DisconnectNetwork(m.network.Network.ID, opts))
}

// Reconnect ends a Disconnect. When it returns, the master has its old host port again.
func (m *Master) Reconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	opts := dc.NetworkConnectionOptions{Container: m.id(), Context: ctx}
	return m.wrapErr("reconnect", m.pool.Client.ConnectNetwork(m.network.Network.ID, opts))
}

// patientClient returns a client for actions on the master. It waits as long as the context of a
// call says, and for actionTimeout at most. By default, go-redis waits for a few seconds, and a
// busy machine may take longer.
func (m *Master) patientClient() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                  m.Addr(),
		ContextTimeoutEnabled: true,
		DialTimeout:           actionTimeout,
		ReadTimeout:           actionTimeout,
		MaxRetries:            -1,
		DialerRetries:         1,
	})
}

// Wipe makes a responsive master forget all keys and scripts, as if it were new.
func (m *Master) Wipe() error {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	c := m.patientClient()
	defer func() { _ = c.Close() }()
	return m.wrapErr("wipe", errors.Join(c.FlushAll(ctx).Err(), c.ScriptFlush(ctx).Err()))
}

// Ping checks over a new connection whether the master answers. It uses no client library with
// retries, pools and logs, so the error is that of the network: os.ErrDeadlineExceeded if the
// master hangs for longer than timeout, and syscall.ECONNREFUSED if nothing listens. A master that
// requires a password counts as answering.
func (m *Master) Ping(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
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
		return fmt.Errorf("reply to PING is %q", reply)
	}
	return nil
}

// heal ends all faults of the master. It does not restore keys.
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
	// The engine does not report SIGSTOP, and a superfluous SIGCONT is harmless.
	if err := m.Signal(SIGCONT); err != nil {
		return err
	}
	return m.wrapErr("heal", m.ready(ctx))
}

// ready waits until the master answers or has clearly failed. The Retry of dockertest would first
// check again after half a second, which is longer than a start takes.
func (m *Master) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	var last error // not that of an attempt that ctx ended
	for try := 1; ; try++ {
		err := m.Ping(ctx, time.Second)
		if err == nil {
			return nil
		} else if ctx.Err() == nil || last == nil {
			last = err
		}
		if try%20 == 0 {
			if state, err := m.inspect(ctx); err == nil && !state.State.Running {
				return fmt.Errorf("exited with status %d: %s", state.State.ExitCode, m.log(ctx))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w", ctx.Err(), last)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// log returns the last lines of the server log.
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

// expire makes the engine stop the container after a while, in case this process dies before. It
// keeps a request open, and thus a few goroutines, until the container stops.
func (m *Master) expire() { _ = m.box.Expire(uint(maxLifetime / time.Second)) } // the result is always nil

func (m *Master) id() string { return m.box.Container.ID }

func (m *Master) wrapErr(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s (%s): %w", verb, m.name, m.Addr(), err)
}
