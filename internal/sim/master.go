package sim

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// master is a modelled Redis master: the model, a clock with a rate of its own,
// and a state.
type master struct {
	index int
	world *world
	rate  float64 // its seconds per true second

	mu          sync.Mutex // guards all below
	failovers   int
	model       *model
	saved       map[string]entry // its keys at an earlier time
	down        bool
	hung        chan struct{} // closed when it continues; nil while it runs
	incarnation int           // counts its lives: what was sent to an earlier one is lost

	subscribers map[string][]*subscriber // by channel

	refusal string                // what it answers to whatever it is asked; "" if it does as it is asked
	history map[string][]interval // what stood there when, by key
}

// now returns the instant of the master's clock.
func (m *master) now() time.Duration {
	return time.Duration(float64(m.world.now()) * m.rate)
}

// execute carries out a batch once the master runs, unless it dies before.
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
		// What piled up is carried out in an order of the server's own.
		time.Sleep(stagger)
	}
	defer m.mu.Unlock()
	for _, args := range batch {
		if m.refusal != "" {
			replies = append(replies, errorReply(m.refusal))
			continue
		}
		replies = append(replies, m.model.execute(m.now(), args))
		m.record(keyOf(args))
	}
	for _, message := range m.model.published {
		for _, s := range m.subscribers[message.channel] {
			s.deliver(message)
		}
	}
	m.model.published = nil
	return replies, true
}

// subscribe has what is published on a channel delivered to s, once the master
// runs. It returns false if the master has died before.
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

// listeners returns how many are subscribed to a channel. The caller holds mu.
func (m *master) listeners(channel string) int { return len(m.subscribers[channel]) }

// runID is another one in each life.
func (m *master) runID() string { return fmt.Sprintf("%04x%04x", m.index, m.incarnation) }

// state returns the master's life, and whether it is down.
func (m *master) state() (incarnation int, down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.incarnation, m.down
}

// stands tells whether anything stands under key.
func (m *master) hasKey(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, exists := m.model.get(m.now(), key)
	return exists
}

// standing returns what stands under key.
func (m *master) storedToken(key string) (token string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model.get(m.now(), key)
}

// fence returns the fence that is stored for a name, 0 for none.
func (m *master) fence(name string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, _ := m.model.fenceAt(m.now(), "redlock:aux:fence{"+name+"}") // nothing else is ever stored there
	return stored
}

// keys returns how many keys there are, besides the marker of the restart guard,
// after a time.
func (m *master) keys(after time.Duration) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for key := range m.model.keys {
		if _, ok := m.model.get(m.now()+after, key); ok && key != "redlock:aux:marker" {
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

// refuse has the master answer everything with an error from now on, and with ""
// no more.
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
			_ = s.conn.Close() // it is a pipe
		}
	}
	m.subscribers = map[string][]*subscriber{}
}

// memory is what a master comes back with.
type memory int

const (
	rememberAll   memory = iota
	rememberSaved        // what it had when it was last saved
	rememberNothing
)

func (m memory) String() string { return [...]string{"all", "an older state", "nothing"}[m] }

// start brings a killed master back. Its scripts are gone in any case.
func (m *master) start(with memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := m.model.keys
	m.model = newModel(m.runID(), m.model.epoch)
	m.model.listeners = m.listeners
	switch with {
	case rememberAll:
		m.model.keys = keys
	case rememberSaved:
		maps.Copy(m.model.keys, m.saved)
	case rememberNothing:
	}
	m.down = false
	m.recordAll()
}

// failOver has a replica take the master's place, and the master take it back from
// the replica: the process is the same, and has what the replica had got. Who was
// connected is not any more.
func (m *master) failOver() {
	m.kill()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failovers++
	m.model.data = fmt.Sprintf("%04x%04x", m.index, 0xf000+m.failovers)
	m.model.keys = maps.Clone(m.saved)
	if m.model.keys == nil {
		m.model.keys = map[string]entry{}
	}
	m.down = false
	m.recordAll()
}

// save keeps what the master has for a start with an older state.
func (m *master) save() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = maps.Clone(m.model.keys)
}
