package sim

import "time"

// injectMasterFaults injects faults into one master until the history is over.
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

// refusalReplies are the error replies of masters that are up but unusable. A real master refuses
// only writes when it is out of memory or a replica; here it refuses releases too.
var refusalReplies = []string{
	"LOADING Redis is loading the dataset in memory",
	"OOM command not allowed when used memory > 'maxmemory'.",
	"READONLY You can't write against a read only replica.",
	"WRONGTYPE Operation against a key holding the wrong kind of value",
}

// memory draws what a master remembers when it comes back.
func (w *world) memory(r random) memory {
	switch {
	case !w.cfg.Forget:
		return rememberAll
	case r.chance(0.5):
		return rememberSaved
	}
	return rememberNothing
}

// injectClientFaults injects faults into one client. It may freeze for longer than its locks last.
// Or it may be cut off for good, as if it had crashed: then its holds last until their windows
// close, and nobody releases the locks.
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
		w.log("client %d resumes", c.index)
		c.thaw()
	}
}

// A stopped process, as by SIGSTOP, does nothing while its clock goes on. Masters execute what it
// sent before. The replies wait for it, and so does everything that it was about to send.
//
// Virtual time cannot stop the Manager's own goroutines. So a freeze stops only what the simulation
// controls: the client's links let nothing in or out, and its workers do not act. The Manager's
// timers still fire. During the freeze the Manager decides what a stopped process would decide
// afterward, knowing everything that has arrived by then. A process that stops between two lines of
// the Manager's code, say after reading the clock, is not covered here. Package quorum's tests of
// machine sleep cover it.

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

// waitThawed returns once the client is not frozen. Everything that waits for a thaw continues
// after its own delay, because no two events share an instant.
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

func (w *world) fault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults++
}
