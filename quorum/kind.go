package quorum

import "github.com/quorumlock/redlock/internal/wire"

// Shared makes the lock a reader's: many may hold it at once, but none while a writer does, which
// asks for Exclusive. See "Shared locks and permits" in the package documentation.
//
// A shared lock cannot become an exclusive one. Two readers that both wanted that would wait for
// each other forever. Release it, and acquire an exclusive one; see ErrUpgrade.
func Shared() AcquireOption { return func(p *acquireParams) { p.setMode(wire.ModeShared) } }

// Exclusive makes the lock a writer's, beside Shared ones of the same name: nobody else holds it at
// the same time. Writers do not starve: readers that come later wait for them.
//
// Without Exclusive, a lock is of the plain kind, which other Redlock clients understand. A plain
// lock and an exclusive one exclude each other too, but neither waits in the other's queue.
func Exclusive() AcquireOption { return func(p *acquireParams) { p.setMode(wire.ModeExclusive) } }

// MaxPermits is the highest number of Permits.
const MaxPermits = 1000

// Permits makes the lock one of n permits: at most n hold the name at once, first come, first
// served. n must be from 1 to MaxPermits. All clients of a name must use the same n. While anybody
// holds or awaits one, a call with another n fails with an error that names both, and so does one
// with Shared or Exclusive: it is an ErrConflict.
func Permits(n int) AcquireOption {
	return func(p *acquireParams) {
		if n < 1 || n > MaxPermits {
			p.bad("Permits(%d): there must be from 1 to %d", n, MaxPermits)
			return
		}
		p.setMode(wire.ModePermit(n))
	}
}

// setMode makes the lock one of an ordered kind. It can be of one kind only.
func (p *acquireParams) setMode(mode wire.Mode) {
	if p.mode != "" && p.mode != mode {
		p.bad("a lock cannot be of two kinds, %v and %v", p.mode, mode)
		return
	}
	p.mode = mode
}

// checkMode checks the options of a lock of an ordered kind.
func (p *acquireParams) checkMode() {
	if p.mode != "" && p.minHold > 0 {
		p.bad("MinHold %v is for plain locks only, not for %v", p.minHold, p.mode)
	}
}

// ErrConflict means that the name is in use with another kind of lock that this one does not go
// together with: permits with another number of them, or with shared and exclusive locks. The error
// names both kinds. An AttemptError satisfies errors.Is for ErrConflict if any master said so.
var ErrConflict = wire.ErrConflict
