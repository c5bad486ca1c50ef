package sim

import "time"

// afflict has one master suffer what masters do.
func (w *world) injectMasterFaults(m *master) {
	r := newRandom(w.seed, w.actor("afflict", m.index))
	for n := 0; ; n++ {
		quiet := r.ExpFloat64() / max(w.cfg.MasterFaults, 1e-9)
		pause := time.Duration(min(quiet, 1e6) * float64(time.Second))
		if w.now()+pause >= w.cfg.Length {
			return
		}
		time.Sleep(pause / 2)
		m.save()
		time.Sleep(pause - pause/2)
		w.fault()
		lasting := r.between(10*time.Millisecond, 2*time.Second)
		switch r.IntN(4) {
		case 0:
			refusal := refusalReplies[r.IntN(len(refusalReplies))]
			w.log("master %d refuses everything for %v: %s", m.index, lasting, refusal)
			m.refuse(refusal)
			time.Sleep(lasting)
			m.refuse("")
		case 1:
			w.log("master %d hangs for %v", m.index, lasting)
			m.hang()
			time.Sleep(lasting)
			m.resume()
		default:
			if w.cfg.Forget && r.chance(0.3) {
				w.log("master %d fails over to a replica, and back", m.index)
				m.failOver()
				continue
			}
			w.log("master %d is down for %v", m.index, lasting)
			m.kill()
			time.Sleep(lasting)
			with := w.memory(r)
			w.log("master %d is back and remembers %v", m.index, with)
			m.start(with)
		}
	}
}

// refusals are what masters say that are up and do nothing. A real one refuses
// only writes for want of memory, and as a replica; here it refuses releases too.
var refusalReplies = []string{
	"LOADING Redis is loading the dataset in memory",
	"OOM command not allowed when used memory > 'maxmemory'.",
	"READONLY You can't write against a read only replica.",
	"WRONGTYPE Operation against a key holding the wrong kind of value",
}

// memory draws what a master comes back with.
func (w *world) memory(r random) memory {
	switch {
	case !w.cfg.Forget:
		return rememberAll
	case r.chance(0.5):
		return rememberSaved
	}
	return rememberNothing
}

// misfortune has one client suffer. It may be frozen for a while, for longer than
// its locks last, or be cut off for ever, as one that crashed: its locks are held
// until their windows close, and released by nobody.
func (c *client) injectClientFaults() {
	w := c.world
	r := newRandom(w.seed, w.actor("misfortune", c.index))
	for {
		quiet := r.ExpFloat64() / max(w.cfg.ClientFaults, 1e-9)
		pause := time.Duration(min(quiet, 1e6) * float64(time.Second))
		if w.now()+pause >= w.cfg.Length {
			return
		}
		time.Sleep(pause)
		w.fault()
		if r.chance(0.3) {
			w.log("client %d crashes", c.index)
			c.gone.Store(true)
			return
		}
		lasting := r.between(10*time.Millisecond, w.cfg.longestFreeze())
		w.log("client %d is frozen for %v", c.index, lasting)
		c.freeze()
		time.Sleep(lasting)
		w.log("client %d goes on", c.index)
		c.thaw()
	}
}

// A process that is stopped, as by SIGSTOP, does nothing, and its clock goes on.
// What it sent before is carried out; the answers wait for it, and so does what
// it was about to send, for which it found time enough before.
//
// In a bubble of virtual time nobody can stop the Manager's own goroutines. So
// freezing is put together from what the world has in its hands: the client's
// links let nothing out and nothing in, and its workers do not act. Meanwhile the
// Manager's timers fire, so it decides during the freeze what a stopped process
// would decide at its end, with all that came in by then. A process that is stopped
// between two lines of the Manager's code, say after a look at the clock, is not
// covered; quorum's tests of machine sleep are about that.

func (c *client) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = make(chan struct{})
}

func (c *client) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.frozen)
	c.frozen = nil
}

// awake returns once the client is not frozen. What waits for that goes on after
// a while of its own, because no two events share an instant.
func (c *client) waitThawed(stagger time.Duration) {
	for {
		c.mu.Lock()
		frozen := c.frozen
		c.mu.Unlock()
		if frozen == nil {
			return
		}
		<-frozen
		time.Sleep(stagger)
	}
}

// longestFreeze is longer than any lock lasts that the clients ask for.
func (c Config) longestFreeze() time.Duration { return 3 * c.TTL }

func (w *world) fault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults++
}
