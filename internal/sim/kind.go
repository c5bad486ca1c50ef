package sim

import (
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// kind is what kind of lock a call asks for. The zero value is a plain lock.
type kind struct {
	shared, exclusive bool
	permits           int
}

// ordered reports whether masters admit the lock in order; see package admission.
func (k kind) ordered() bool { return k.shared || k.exclusive || k.permits > 0 }

func (k kind) options() []quorum.AcquireOption {
	switch {
	case k.shared:
		return []quorum.AcquireOption{quorum.Shared()}
	case k.exclusive:
		return []quorum.AcquireOption{quorum.Exclusive()}
	case k.permits > 0:
		return []quorum.AcquireOption{quorum.Permits(k.permits)}
	}
	return nil
}

// tag makes a hold one of the kind. Plain locks and shared ones of one name exclude each other, but
// their fences are not ordered.
func (k kind) tag(h quorumtest.Hold, mixed bool) quorumtest.Hold {
	h.Shared, h.Permits = k.shared, k.permits
	if !k.ordered() && mixed {
		h.Fence = 0
	}
	return h
}

// usualKind returns the kind of a lock. Of shared and exclusive locks it is the exclusive one.
func (w *world) usualKind(name string) kind {
	r := newRandom(w.seed, w.actor("kind of "+name))
	switch {
	case !r.chance(w.cfg.Ordered):
		return kind{}
	case r.chance(0.5):
		return kind{exclusive: true}
	}
	return kind{permits: 1 + r.IntN(4)}
}

// drawKind draws the kind for one call.
func (w *world) drawKind(r random, name string) kind {
	k := w.usualKind(name)
	if k.exclusive && r.chance(0.7) {
		k = kind{shared: true}
	}
	if k.ordered() && r.chance(w.cfg.Mixed) {
		switch r.IntN(3) {
		case 0:
			return kind{}
		case 1:
			return kind{permits: 1 + r.IntN(4)}
		}
		return kind{shared: true}
	}
	return k
}
