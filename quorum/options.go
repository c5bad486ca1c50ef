package quorum

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// Options configures a Manager. The zero value, like a nil *Options, means the
// defaults. New and Open copy it. A negative or contradictory value is an error,
// never replaced by something else.
type Options struct {
	// Prefix comes before each lock's name in its key on the masters.
	// Default: none, so that other Redlock clients and this one exclude each
	// other on the same names.
	Prefix string

	// Drift is what the masters' clocks may gain on this process's while a TTL
	// runs out. It is taken off each window of validity.
	// Default (the zero value): clock.DefaultDrift, 1% of the TTL + 2 ms.
	Drift clock.Drift

	// AttemptTimeout is how long one attempt waits for the masters it needs,
	// and how long a call to a master may take before the master counts as not
	// answering. An attempt never waits for longer than its window of validity.
	// A master that hangs delays nobody while a majority answers, so this may
	// be much longer than a round trip. At least 1 ms.
	// Default: 1 s.
	AttemptTimeout time.Duration

	// MinBackoff and MaxBackoff bound how long Acquire waits between attempts
	// where too few masters answer for a queue, or refuse one, and Once where
	// attempts fail: about MinBackoff after the first, twice as long after each
	// further one, up to MaxBackoff, each shortened at random by up to half.
	// Default: 16 ms and 512 ms.
	MinBackoff, MaxBackoff time.Duration

	// MaxDebts is for how many keys per master the Manager remembers that it
	// has yet to release them there, while the master cannot be reached. Past
	// that, those that expire soonest are left to do so.
	// Default: 16384. Each takes about 0.5 KB, so that is 8 MB for one master.
	// A lock that further masters have yet to release adds less than 0.1 KB for each.
	MaxDebts int

	// CloseTimeout is the longest that Close takes.
	// Default: 5 s.
	CloseTimeout time.Duration

	// Fencing gives each lock a fencing token, which is higher than that of every
	// earlier holder of the name; see Lock.Fence. All who lock a name must agree
	// on it. It costs a script in the place of a plain command for each
	// acquisition, and a second round trip where clocks or masters disagree.
	// Default: none.
	Fencing bool

	// RestartGuard holds masters out that may have forgotten keys: one that
	// restarted, was flushed or replaced casts no vote for new locks until this
	// long after it was first seen so. It must be at least the longest TTL that
	// anybody uses for these names; this Manager refuses longer ones, in Extend
	// and Once too. Masters that nobody has seen yet are held out as well, so a
	// new deployment begins with Manager.Bootstrap, or waits. Whole milliseconds.
	// Where masters fail over to replicas, add min-replicas-max-lag. Cluster and
	// Ring clients are not supported.
	// Default: none. See "The restart guard" in the package documentation for what
	// the guard does not see.
	RestartGuard time.Duration

	// MaxHold bounds how long Do keeps a lock alive, as AutoRenew's maxHold does
	// for one that is taken by hand: then its function's context ends, with
	// ErrHoldLimit for a cause, so that a job that hangs does not keep its lock
	// for ever. At least 1 ms.
	// Default: no bound.
	MaxHold time.Duration

	// OnceGivesBack makes Once release its period if its function returns an
	// error or panics, so that another replica, or the next call, can try again.
	// Default: the period stays taken.
	OnceGivesBack bool

	// Clock tells the time that windows of validity are counted in.
	// Default: clock.System().
	Clock clock.Clock

	// Random is where ownership tokens are drawn from, for tests. Two processes
	// that draw the same tokens can hold the same lock at the same time.
	// Default: crypto/rand.
	Random io.Reader
}

const (
	defaultAttemptTimeout = time.Second
	defaultMinBackoff     = 16 * time.Millisecond
	defaultMaxBackoff     = 512 * time.Millisecond
	defaultMaxDebts       = 16384
	defaultCloseTimeout   = 5 * time.Second
)

// withDefaults returns a checked copy of o with its zero values filled in.
func (o *Options) withDefaults() (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	orDefault(&filled.Drift, clock.DefaultDrift)
	orDefault(&filled.AttemptTimeout, defaultAttemptTimeout)
	orDefault(&filled.MaxDebts, defaultMaxDebts)
	orDefault(&filled.CloseTimeout, defaultCloseTimeout)
	if filled.MinBackoff == 0 {
		filled.MinBackoff = defaultMinBackoff
		if filled.MaxBackoff > 0 {
			filled.MinBackoff = min(filled.MinBackoff, filled.MaxBackoff)
		}
	}
	orDefault(&filled.MaxBackoff, max(defaultMaxBackoff, filled.MinBackoff))
	if filled.Clock == nil {
		filled.Clock = clock.System()
	}
	return filled, filled.check()
}

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// check returns all that is wrong with o.
func (o *Options) check() error {
	var errs []error
	bad := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf("quorum: options: "+format, args...))
		}
	}
	if err := o.Drift.Check(); err != nil {
		bad(true, "%w", err)
	}
	bad(o.AttemptTimeout < time.Millisecond, "AttemptTimeout %v is under 1ms", o.AttemptTimeout)
	bad(o.MinBackoff < 0, "MinBackoff %v is negative", o.MinBackoff)
	bad(o.MaxBackoff < o.MinBackoff, "MaxBackoff %v is under MinBackoff %v", o.MaxBackoff, o.MinBackoff)
	bad(o.MaxDebts < 0, "MaxDebts %d is negative", o.MaxDebts)
	bad(o.CloseTimeout < 0, "CloseTimeout %v is negative", o.CloseTimeout)
	bad(o.MaxHold < 0, "MaxHold %v is negative", o.MaxHold)
	bad(o.MaxHold > 0 && o.MaxHold < shortestHold, "MaxHold %v is under %v", o.MaxHold, shortestHold)
	bad(o.RestartGuard < 0, "RestartGuard %v is negative", o.RestartGuard)
	bad(o.RestartGuard%time.Millisecond != 0, "RestartGuard %v is not in whole milliseconds", o.RestartGuard)
	bad(strings.HasPrefix(o.Prefix, auxiliaryPrefix), "Prefix begins with %q, which is for auxiliary keys", auxiliaryPrefix)
	return errors.Join(errs...)
}

// AcquireOption changes one acquisition.
type AcquireOption func(*acquisition)

// acquisition is what was asked of one TryAcquire or Acquire.
type acquisition struct {
	name   string
	ttl    time.Duration // whole milliseconds
	window time.Duration // ttl − drift
	renew  bool
	limit  time.Duration // on how long it is renewed; 0 for none
	err    error         // what is wrong with an option

	seekHolder bool // find out whether one other token has a majority
}

// acquisition checks what was asked for. TTLs are cut to whole milliseconds,
// which is what masters count in.
func (m *Manager) acquisition(name string, ttl time.Duration, opts []AcquireOption) (acquisition, error) {
	a := acquisition{name: name}
	if err := m.checkName(name); err != nil {
		return a, fmt.Errorf("quorum: acquire: %w", err)
	}
	var err error
	if a.ttl, a.window, err = m.checkTTL(ttl); err != nil {
		return a, fmt.Errorf("quorum: acquire %s: %w", quote(name), err)
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&a)
		}
	}
	if a.err != nil {
		return a, fmt.Errorf("quorum: acquire %s: %w", quote(name), a.err)
	}
	return a, nil
}

func (m *Manager) checkName(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case strings.HasPrefix(m.opts.Prefix+name, auxiliaryPrefix):
		return fmt.Errorf("name %s begins with %q, which is for auxiliary keys", quote(name), auxiliaryPrefix)
	}
	return nil
}

// checkTTL returns the TTL that masters count and the window it leaves.
func (m *Manager) checkTTL(ttl time.Duration) (whole, window time.Duration, err error) {
	if ttl < time.Millisecond {
		return 0, 0, fmt.Errorf("TTL %v is under 1ms", ttl)
	}
	whole = ttl.Truncate(time.Millisecond)
	if guard := m.opts.RestartGuard; guard > 0 && whole > guard {
		return 0, 0, fmt.Errorf("TTL %v is over the restart guard %v: a master that forgot it could be back before it is over", whole, guard)
	}
	if window = m.opts.Drift.Window(whole); window <= 0 {
		return 0, 0, fmt.Errorf("TTL %v leaves no validity after a drift of %v", ttl, m.opts.Drift.Of(whole))
	}
	return whole, window, nil
}
