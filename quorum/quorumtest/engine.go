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

// engine is the server behind the connections of a master. It is a miniredis that executes one
// command at a time, by the master's own clock.
type engine struct {
	redis  *miniredis.Miniredis
	server *server.Server
	faults *faults

	// mu stands for the single thread of a server. It is held during each command and each direct
	// access to keys, and guards the fields below.
	mu       sync.Mutex
	clock    wallClock
	started  time.Time
	identity identity
	executed int
	legacy   bool
	current  execution
	replica  []copiedKey // the keys of the replica
}

func newEngine(f *faults) *engine {
	e := &engine{redis: miniredis.NewMiniRedis(), faults: f, clock: newWallClock()}
	e.server = serverOf(e.redis)
	e.server.SetPreHook(e.intercept)
	e.redis.SetTime(e.clock.now())
	e.redis.ClockTTL(true) // keys age when SetTime advances the time
	e.boot()
	return e
}

// serverOf starts a miniredis that does not listen on a port. Without a listener, only a connection
// starts its server, so serverOf opens one and closes it again.
func serverOf(r *miniredis.Miniredis) *server.Server {
	c, err := r.Dial()
	if err != nil {
		panic(fmt.Sprintf("quorumtest: cannot start in-memory miniredis: %v", err)) // an in-memory start cannot fail
	}
	_ = c.Close() // closing a pipe cannot fail
	return r.Server()
}

// exclusively runs f while no command is executed and the clock of miniredis is current.
func (e *engine) exclusively(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.redis.SetTime(e.clock.now())
	f()
}

// waitIdle waits for the end of the current command, if there is one.
func (e *engine) waitIdle() {
	e.exclusively(func() {})
}

// advance sets the clock forward by d, or back if d is negative.
func (e *engine) advance(d time.Duration) {
	e.exclusively(func() {
		e.redis.DB(0) // access a database, so that miniredis ages its keys up to the old time
		e.clock.set(e.clock.now().Add(d))
		e.redis.SetTime(e.clock.now())
		if d < 0 {
			// miniredis stores TTLs, not instants, and does not change them when time goes back.
			e.redis.FastForward(d)
		}
	})
}

// reboot loses what a restart loses. The master must be down.
func (e *engine) reboot(memory Memory) {
	e.exclusively(func() {
		if memory == LoseMemory {
			e.redis.FlushAll()
		}
		e.runInternally(nil, "SCRIPT", "FLUSH")
		e.boot()
	})
}

// boot gives the server a new identity. Callers hold mu, or are the only users of the engine.
func (e *engine) boot() {
	e.identity = newIdentity()
	e.started = e.clock.now()
}

// unsubscribe ends the goroutines of a subscription. Callers hold mu.
func (e *engine) unsubscribe(p *server.Peer) {
	e.current = execution{}
	e.server.Dispatch(p, []string{"UNSUBSCRIBE"})
	e.server.Dispatch(p, []string{"PUNSUBSCRIBE"})
}

// runInternally executes a command of the engine itself and discards the reply. It acts for client
// unless that is nil. Callers hold mu.
func (e *engine) runInternally(client *server.Peer, args ...string) {
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
