package sim

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
)

// master is a simulated Redis master: a model, a clock with its own rate, and a state.
type master struct {
	index int
	world *world
	rate  float64 // master seconds per true second

	mu          sync.Mutex // guards the fields below
	failovers   int
	model       *model
	saved       map[string]entry // its keys at an earlier instant
	down        bool
	hung        chan struct{} // closed when the master resumes; nil while it runs
	incarnation int           // incremented by each kill; requests to an earlier incarnation are lost

	subscribers map[string][]*subscriber // by channel

	refusal string                // the error reply to every request; "" to execute requests
	history map[string][]interval // what was stored when, by key

	entryTokens map[string]map[string]bool // by key: the entries of ordered admission that stood when last recorded
	everEntered map[string][]string        // by key: those that ever stood
}

// now returns the instant on the clock of the master.
func (m *master) now() time.Duration {
	return time.Duration(float64(m.world.now()) * m.rate)
}

// execute executes a batch once the master is not hung. It returns false if the master dies first.
func (m *master) execute(incarnation int, stagger time.Duration, batch [][]any) (replies []any, ok bool) {
	for {
		m.mu.Lock()
		if m.down || m.incarnation != incarnation {
			m.mu.Unlock()
			return nil, false
		}
		hung := m.hung
		if hung == nil {
			break
		}
		m.mu.Unlock()
		<-hung
		// The server executes piled-up requests in an order of its own.
		time.Sleep(stagger)
	}
	defer m.mu.Unlock()
	for _, args := range batch {
		if m.refusal != "" {
			replies = append(replies, errorReply(m.refusal))
			continue
		}
		replies = append(replies, m.model.execute(m.now(), args))
	}
	for _, message := range m.model.published {
		for _, s := range m.subscribers[message.channel] {
			s.deliver(message)
		}
	}
	m.model.published = nil
	return replies, true
}

// subscribe subscribes s to a channel once the master is not hung. It returns false if the master
// dies first.
func (m *master) subscribe(incarnation int, channel string, s *subscriber) bool {
	if _, ok := m.execute(incarnation, s.link.drawStagger(), nil); !ok {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.incarnation != incarnation {
		return false
	}
	m.subscribers[channel] = append(m.subscribers[channel], s)
	return true
}

// listeners returns the number of subscribers of a channel. The caller holds mu.
func (m *master) listeners(channel string) int { return len(m.subscribers[channel]) }

// runID returns the run ID, which differs for each incarnation.
func (m *master) runID() string { return fmt.Sprintf("%04x%04x", m.index, m.incarnation) }

// state returns the incarnation, and whether the master is down.
func (m *master) state() (incarnation int, down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.incarnation, m.down
}

// hasKey reports whether key exists.
func (m *master) hasKey(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, exists := m.model.get(m.now(), key)
	return exists
}

// storedToken returns the token stored under key.
func (m *master) storedToken(key string) (token string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model.get(m.now(), key)
}

// fence returns the fence stored for a name and a kind of lock, or 0.
func (m *master) fence(name string, k kind) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k.shared {
		return m.model.storedFence(m.now(), "redlock:aux:readers{"+name+"}")
	}
	return m.model.storedFence(m.now(), "redlock:aux:fence{"+name+"}")
}

// keys returns how many keys will be left after a while, not counting the marker of the restart
// guard.
func (m *master) keys(after time.Duration) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for key := range m.model.keys {
		if _, ok := m.model.get(m.now()+after, key); ok && key != wire.MarkerKey && key != wire.SetKey("") {
			n++
		}
	}
	return n
}

func (m *master) hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hung == nil {
		m.hung = make(chan struct{})
	}
}

func (m *master) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hung != nil {
		close(m.hung)
		m.hung = nil
	}
}

// refuse makes the master reply to all requests with an error. An empty string ends that.
func (m *master) refuse(with string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusal = with
}

func (m *master) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	m.incarnation++
	for _, subscribers := range m.subscribers {
		for _, s := range subscribers {
			_ = s.conn.Close() // closing a pipe cannot fail
		}
	}
	m.subscribers = map[string][]*subscriber{}
}

// memory is what a master remembers when it comes back.
type memory int

const (
	rememberAll   memory = iota
	rememberSaved        // the state at the last save
	rememberNothing
)

func (m memory) String() string { return [...]string{"all", "an older state", "nothing"}[m] }

// start brings a killed master back. It always loses its scripts.
func (m *master) start(with memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := m.model.keys
	m.model = newModel(m.runID(), m.model.epoch)
	m.model.listeners, m.model.executed = m.listeners, m.record
	switch with {
	case rememberAll:
		m.model.keys = keys
	case rememberSaved:
		m.model.keys = cloneKeys(m.saved)
	case rememberNothing:
	}
	m.down = false
	m.recordAll()
}

// failOver lets a replica take over and then the master take back its role. The process is the
// same, but it has the data of the replica. All connections break.
func (m *master) failOver() {
	m.kill()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failovers++
	m.model.data = fmt.Sprintf("%04x%04x", m.index, 0xf000+m.failovers)
	m.model.keys = cloneKeys(m.saved)
	if m.model.keys == nil { // it was never saved
		m.model.keys = map[string]entry{}
	}
	m.down = false
	m.recordAll()
}

// save saves the keys for a later start with an older state.
func (m *master) save() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = cloneKeys(m.model.keys)
}

// cloneKeys returns a copy that shares nothing with the original.
func cloneKeys(keys map[string]entry) map[string]entry {
	copied := maps.Clone(keys)
	for key, e := range copied {
		e.queue, e.waiters = maps.Clone(e.queue), maps.Clone(e.waiters)
		copied[key] = e
	}
	return copied
}
