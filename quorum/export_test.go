package quorum

import "github.com/quorumlock/redlock/clock"

// Contention lets tests use a contention.
type Contention struct{ contention }

// Mark records that somebody waits for a lock.
func (c *Contention) Mark(key string, now clock.Instant) { c.mark(key, now) }

// Contended reports whether somebody waited for a lock recently.
func (c *Contention) Contended(key string, now clock.Instant) bool { return c.contended(key, now) }

// Remembered returns how many locks are remembered.
func (c *Contention) Remembered() int { return len(c.recent) + len(c.before) }

// Remembered returns how many locks a Manager keeps in memory as held.
func Remembered(m *Manager) int { return m.engine.held.n }

// Contexts returns how many contexts a lock refers to.
func Contexts(l *Lock) int { return len(l.derived) }

// ContextsOfAll returns how many contexts a whole refers to.
func ContextsOfAll(s *Locks) int { return len(s.derived) }

// EndUntold ends a lock as it is while another goroutine is about to tell of its end.
func EndUntold(l *Lock, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = true
	l.finish(why)
}

// AskSoon makes every waiter ask a master, as a new subscription does, but at once.
func AskSoon(m *Manager, master int) {
	for _, w := range m.notifier.byJitter() {
		w.askSoon(master)
	}
}
