package quorumtest

import (
	"bufio"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// engine is the server behind a master's connections: a miniredis that executes one command at a
// time, by the master's own clock.
type engine struct {
	redis  *miniredis.Miniredis
	server *server.Server
	faults *faults

	mu       sync.Mutex // the server's one thread: held for each command and each look at the keys; guards the fields below
	clock    wallClock
	started  time.Time
	identity identity
	executed int
	legacy   bool
	current  execution
	replica  []copiedKey // what a failover brings back
}

func newEngine(f *faults) *engine {
	e := &engine{redis: miniredis.NewMiniRedis(), faults: f, clock: newWallClock()}
	e.server = serverOf(e.redis)
	e.server.SetPreHook(e.intercept)
	e.redis.SetTime(e.clock.now())
	e.redis.ClockTTL(true) // keys age whenever SetTime moves on
	e.boot()
	return e
}

// serverOf starts a miniredis without a port of its own. Only a connection starts one that has no
// listener, so it makes one, which it closes again.
func serverOf(r *miniredis.Miniredis) *server.Server {
	c, err := r.Dial()
	if err != nil {
		panic(fmt.Sprintf("quorumtest: an in-memory miniredis does not start: %v", err)) // it has no reason to
	}
	_ = c.Close() // it is a pipe
	return r.Server()
}

// exclusively runs f while no command is executed, with the server's clock at the present.
func (e *engine) exclusively(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.redis.SetTime(e.clock.now())
	f()
}

// settle returns when the command that is being executed, if any, is done.
func (e *engine) settle() {
	e.exclusively(func() {})
}

// advance sets the clock forward by d, or back if d is negative.
func (e *engine) advance(d time.Duration) {
	e.exclusively(func() {
		e.redis.DB(0) // miniredis ages keys when a database is asked for: up to the old time first
		e.clock.set(e.clock.now().Add(d))
		e.redis.SetTime(e.clock.now())
		if d < 0 {
			// It holds times to live, not instants, and leaves them alone when time goes back.
			e.redis.FastForward(d)
		}
	})
}

// reboot forgets what a restart forgets. The master must be down.
func (e *engine) reboot(memory Memory) {
	e.exclusively(func() {
		if memory == LoseMemory {
			e.redis.FlushAll()
		}
		e.quietly(nil, "SCRIPT", "FLUSH")
		e.boot()
	})
}

// boot gives the server a new identity. Callers hold mu, or own the engine.
func (e *engine) boot() {
	e.identity = newIdentity()
	e.started = e.clock.now()
}

// unsubscribe ends the goroutines that a subscription holds. Callers hold mu.
func (e *engine) unsubscribe(c *conn) {
	e.current = execution{}
	e.server.Dispatch(c.peer, []string{"UNSUBSCRIBE"})
	e.server.Dispatch(c.peer, []string{"PUNSUBSCRIBE"})
}

// quietly executes a command of the engine's own, on behalf of client unless that is nil. Nobody gets
// its reply. Callers hold mu.
func (e *engine) quietly(client *server.Peer, args ...string) {
	current := e.current
	defer func() { e.current = current }()
	e.current = execution{}
	p := server.NewPeer(bufio.NewWriter(io.Discard))
	if client != nil {
		p.Ctx = client.Ctx
	}
	e.server.Dispatch(p, args)
}

func (e *engine) close() {
	e.redis.Close()
}
