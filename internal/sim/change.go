package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Change is a change of the set of masters in the middle of a history. First, all clients use the
// old set. Each is replaced, at some moment, by one that uses both sets. Once all of those of the
// old set have stopped, and some time has passed, each is replaced by one that uses the new set.
// The zero value is no change.
type Change struct {
	Old  int           // the old set is the first masters
	From int           // the new set is the masters from this one on
	Wait time.Duration // between the last client of the old set and the first of the new one
	// Unchecked makes masters and clients keep no records of the sets, and nobody declares the new
	// one.
	Unchecked bool
	// Abrupt leaves out the clients that use both sets, and the wait.
	Abrupt bool
}

// Exists reports whether there is a change.
func (c Change) Exists() bool { return c.Old > 0 }

// phase is which clients of a change a client belongs to.
type phase uint8

const (
	only      phase = iota // there is no change
	old                    // uses the old set
	joint                  // uses both
	young                  // uses the new set
	added                  // prepares the masters that are not in the old set
	operators              // use both sets, to declare the new one
)

// String names a phase.
func (p phase) String() string {
	return [...]string{"", "old ", "joint ", "new ", "added ", "operator "}[p]
}

// change is a Change in a running history.
type change struct {
	Change
	olds     sync.WaitGroup // the clients of the old set that have not stopped
	declared chan struct{}  // closed when clients of the new set may start
}

// declare declares the new set, in the name of an operator, when no client of the old set runs
// anymore, or a little earlier.
func (w *world) declare() {
	r := newRandom(w.seed, "declare")
	switch {
	case !w.change.Exists() || w.change.Abrupt:
	case w.change.Unchecked:
		w.change.olds.Wait()
		time.Sleep(w.change.Wait)
	default:
		if r.chance(0.8) {
			w.change.olds.Wait()
		} else {
			time.Sleep(r.between(0, w.cfg.Length/4))
		}
		w.declareMasters(r)
	}
	close(w.change.declared)
}

// declareMasters calls DeclareMasters, again and again if it fails.
func (w *world) declareMasters(r random) {
	operator := w.newClient(len(w.clients), operators)
	defer operator.close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), r.between(time.Millisecond, 2*time.Minute))
		err := operator.manager.DeclareMasters(ctx)
		cancel()
		w.log("the new masters are declared: %v", err)
		if w.now() > time.Hour {
			w.violation("the new masters are not declared after an hour: %v", err)
			return
		}
		if err == nil {
			return
		}
	}
}

// members returns the masters that a client of a phase is made for: the set, and the other one.
func (w *world) members(p phase) (set, other vote.Set) {
	all := vote.Majority(len(w.masters)).All()
	before, after := all, all
	if w.change.Exists() {
		before, after = vote.Majority(w.change.Old).All(), all&^(vote.Only(w.change.From)-1)
	}
	switch p {
	case added:
		return after &^ before, 0
	case old:
		return before, 0
	case joint, operators:
		return after, before
	}
	return after, 0
}

// systemOf returns the quorum system of a client of a phase.
func (w *world) systemOf(p phase) vote.System {
	set, other := w.members(p)
	if other == 0 {
		other = set
	}
	return vote.Joint(set, other)
}

// phases returns the phases of the clients in a history.
func (w *world) phases() []phase {
	switch {
	case !w.change.Exists():
		return []phase{only}
	case w.change.Abrupt:
		return []phase{old, young}
	}
	return []phase{old, joint, young}
}

// live waits until a client's time has come, and sets when it is over.
func (c *client) live() {
	w, r := c.world, newRandom(c.world.seed, c.world.actor("life", c.index))
	length := w.cfg.Length
	switch {
	case c.phase == old:
		c.until = r.between(length/8, length/4)
		return
	case c.phase == joint:
		time.Sleep(r.between(0, length/4))
		c.until = r.between(length*3/5, length*4/5)
	case c.phase == young && w.change.Abrupt:
		time.Sleep(r.between(length/8, length/4))
	case c.phase == young:
		<-w.change.declared
		time.Sleep(r.between(0, length/20))
	}
	if c.phase != joint {
		c.until = max(length, w.now()+length/4)
	}
}

// runLastJob takes a period just before a client of the old set stops. Nobody releases it.
func (c *client) runLastJob() {
	w := c.world
	if name := w.lockName(0); c.phase == old && !c.gone.Load() && !w.usualKind(name).ordered() {
		r := newRandom(w.seed, w.actor("last job", c.index))
		c.useOnce(r, fmt.Sprintf("old client %d", c.index), name, w.cfg.TTL)
	}
}

// stop ends a client's process when its time is over. Its locks are left to expire, unless it
// releases them before.
func (c *client) stop() {
	if c.phase != old && c.phase != joint {
		return
	}
	c.world.log("client %d stops", c.index)
	c.close()
	if c.phase == old {
		c.world.change.olds.Done()
	}
}
