package sim

import "time"

// Config describes a history. Random draws one from a seed.
type Config struct {
	Masters, Clients int
	Workers          int           // per client
	Names            int           // how many locks the workers contend for
	TTL              time.Duration // workers use TTLs around this one
	Length           time.Duration // of the part with faults
	Drift            float64       // maximum difference between two clock rates
	Latency          time.Duration // maximum one-way delay of a message that is not late
	Loss             float64       // probability that a message is lost
	Late             float64       // probability that a message is delayed beyond Latency
	Repeat           float64       // probability that a message is sent twice
	MasterFaults     float64       // per master and second
	ClientFaults     float64       // per client and second

	// Forget lets masters come back empty or with an older state. The library is safe against
	// that only with Guard.
	Forget bool
	// Abandon is the probability that a hook of the client returns from a call that goes on.
	Abandon float64
	// Tidy makes every holder release its lock, so nobody ever has to wait for a TTL to run out.
	Tidy bool
	// Patient gives clients no deadlines of their own.
	Patient bool

	// Delay is quorum.Options.LockDelay. MinHold is the probability that a holder asks for a
	// minimum hold, Resume that it gives its lock to another client, and Break that it hangs, and
	// that another client breaks its lock.
	Delay                  time.Duration
	MinHold, Resume, Break float64

	// Ordered is the probability that a lock is of an ordered kind: shared and exclusive, or
	// permits. Mixed is the probability that a call for it asks for another kind.
	Ordered, Mixed float64

	// Several is the probability that a worker acquires several locks together.
	Several float64

	// Change is a change of the set of masters; with it, there are so many clients of each phase.
	Change Change

	// SameNames says that all clients know the masters by the same addresses.
	SameNames bool

	Fencing    bool
	Guard      time.Duration // quorum.Options.RestartGuard; 0 turns the guard off
	Skew       time.Duration // maximum difference between the wall clocks of two masters
	ClientSkew time.Duration // maximum difference between a client's wall clock and true time
}

// Random draws a configuration in which the library guarantees safety.
func Random(seed uint64) Config {
	r := newRandom(seed, "config")
	pick := func(of ...int) int { return of[r.IntN(len(of))] }
	cfg := Config{
		Masters: pick(1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7, 9),
		Clients: pick(1, 2, 3, 4), Workers: pick(1, 2, 3), Names: pick(1, 1, 2, 3, 4), TTL: r.between(100*time.Millisecond, 2*time.Second),
		Length:  r.between(2*time.Second, 5*time.Second),
		Drift:   0.0099 * r.Float64(),
		Latency: r.between(100*time.Microsecond, 20*time.Millisecond),
		Loss:    float64(pick(0, 1, 5, 20)) / 100, Late: float64(pick(0, 1, 5)) / 100, Repeat: float64(pick(0, 0, 5)) / 100,
		MasterFaults: float64(pick(0, 1, 5)) / 10, ClientFaults: float64(pick(0, 0, 1, 3)) / 10,
		Patient: r.chance(0.2),
	}
	cfg.Fencing = r.chance(0.5)
	if cfg.Fencing {
		cfg.Skew = time.Duration(pick(0, 0, 1, 600)) * time.Minute
		cfg.ClientSkew = time.Duration(pick(0, 0, 1, 600, 1e6)) * time.Minute
	}
	cfg.Abandon = float64(pick(0, 0, 0, 5)) / 100
	cfg.Ordered, cfg.Mixed = float64(pick(0, 0, 50, 100))/100, float64(pick(0, 0, 10))/100
	cfg.skewKinds(seed)
	cfg.drawChange(seed)
	if r.chance(0.2) {
		cfg.Delay = r.between(time.Millisecond, cfg.TTL).Truncate(time.Millisecond)
	}
	if cfg.Names > 1 {
		cfg.Several = float64(pick(0, 20, 50, 80)) / 100
	}
	if r.chance(0.15) && !cfg.Change.Exists() {
		// The TTL is so long that any key left unreleased blocks the lock for the whole history.
		cfg.Tidy, cfg.TTL, cfg.ClientFaults = true, 20*time.Minute, 0
		cfg.Late, cfg.Repeat = float64(pick(1, 5))/100, float64(pick(0, 5, 20))/100
		return cfg
	}
	cfg.MinHold, cfg.Break, cfg.Resume = float64(pick(0, 0, 10))/100, float64(pick(0, 0, 10))/100, float64(pick(0, 0, 10))/100
	if r.chance(0.3) {
		cfg.Guard = cfg.LongestTTL()
		// Across a master that forgot, fences stay ordered only if clocks agree better than the
		// guard.
		cfg.Forget, cfg.Skew = r.chance(0.7), min(cfg.Skew, cfg.Guard/4)
		cfg.SameNames = cfg.SameNames || cfg.Forget // who else could tell what a master was called?
	}
	cfg.Change.Wait = cfg.LongestTTL() + cfg.Skew + 2*cfg.ClientSkew
	return cfg
}

// drawChange draws a change of masters for some histories.
func (c *Config) drawChange(seed uint64) {
	c.SameNames = newRandom(seed, "names").chance(0.6)
	r := newRandom(seed, "change")
	if c.Masters < 2 || !r.chance(0.2) {
		return
	}
	c.Change.Old = 1 + r.IntN(c.Masters)
	c.Change.From = r.IntN(c.Change.Old + 1)
	c.Change.Unchecked = r.chance(0.2)
	if c.Change.From == c.Masters {
		c.Change.From--
	}
	c.Clients, c.Workers, c.Length = min(c.Clients, 3), min(c.Workers, 2), 2*c.Length
	// New masters have no fences. The clocks keep the order if they agree better than the wait.
	c.Skew, c.ClientSkew = min(c.Skew, time.Second), min(c.ClientSkew, time.Second)
}

// skewKinds draws the skew of clocks if locks of an ordered kind are all for which it matters.
func (c *Config) skewKinds(seed uint64) {
	if c.Ordered == 0 || c.Fencing {
		return
	}
	r, minutes := newRandom(seed, "clocks"), []int{0, 0, 1, 600}
	c.Skew = time.Duration(minutes[r.IntN(4)]) * time.Minute
	c.ClientSkew = time.Duration(minutes[r.IntN(4)]) * time.Minute
}

// LongestTTL returns how long masters keep a lock at most that clients request, the lock delay
// included. A restart guard must be at least this long.
func (c Config) LongestTTL() time.Duration {
	return (3*c.TTL + c.Delay + time.Millisecond).Truncate(time.Millisecond)
}

// longestFreeze is longer than any lock that clients request can last.
func (c Config) longestFreeze() time.Duration { return 3 * c.TTL }

func (c Config) delay(r random) time.Duration { return r.between(10*time.Microsecond, c.Latency) }
