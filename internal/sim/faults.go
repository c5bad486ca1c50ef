package sim

import "time"

// afflict has one master suffer what masters do.
func (w *world) afflict(m *master) {
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
		if r.chance(0.5) {
			w.log("master %d hangs for %v", m.index, lasting)
			m.hang()
			time.Sleep(lasting)
			m.resume()
			continue
		}
		w.log("master %d is down for %v", m.index, lasting)
		m.kill()
		time.Sleep(lasting)
		m.start(w.memory(r))
	}
}

// memory draws what a master comes back with.
func (w *world) memory(r random) memory {
	switch {
	case !w.cfg.Forget:
		return whole
	case r.chance(0.5):
		return older
	}
	return none
}

// misfortune has one client suffer: it is cut off for ever, as one that crashed.
// Its locks are held until their windows close, and released by nobody.
func (c *client) misfortune() {
	w := c.world
	r := newRandom(w.seed, w.actor("misfortune", c.index))
	pause := time.Duration(min(r.ExpFloat64()/max(w.cfg.ClientFaults, 1e-9), 1e6) * float64(time.Second))
	if pause >= w.cfg.Length {
		return
	}
	time.Sleep(pause)
	w.fault()
	w.log("client %d crashes", c.index)
	c.gone.Store(true)
}

func (w *world) fault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults++
}
