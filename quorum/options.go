package quorum

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/internal/wire"
)

// Options configures a Manager. The zero value, like a nil *Options, means the defaults. New and
// Open copy the Options. A negative or contradictory value is an error, and is never silently
// replaced.
type Options struct {
	// Prefix is put in front of each lock's name to form its key on the masters.
	// Default: none. Other Redlock clients and this one then exclude each other on the same names.
	Prefix string

	// Drift is how much the masters' clocks may gain on this process's clock during a TTL. It is
	// subtracted from each window of validity.
	// Default (the zero value): clock.DefaultDrift, 1% of the TTL + 2 ms.
	Drift clock.Drift

	// AttemptTimeout is how long an attempt waits for the masters it needs. It is also how long a
	// call to a master may take before the master counts as not answering. An attempt never waits
	// longer than its window of validity. A hung master delays no one while a majority answers, so
	// the timeout may be much longer than a round trip. It must be at least 1 ms.
	// Default: 1 s.
	AttemptTimeout time.Duration

	// MinBackoff and MaxBackoff bound the pauses between attempts. Acquire pauses between attempts
	// when too few masters answer to form a queue, or when they refuse one. Once pauses when
	// attempts fail. The pause is about MinBackoff after the first attempt and doubles after each
	// further one, up to MaxBackoff. Each pause is shortened at random by up to half.
	// Default: 16 ms and 512 ms.
	MinBackoff, MaxBackoff time.Duration

	// MaxPendingReleases bounds the undelivered releases kept per unreachable master. Beyond that,
	// the keys that expire soonest are left to expire.
	// Default: 16384. Each release takes about 0.5 KB, which is 8 MB for one master. If more
	// masters have yet to release the same lock, each of them adds about 0.1 KB.
	MaxPendingReleases int

	// CloseTimeout is the longest that Close may take.
	// Default: 5 s.
	CloseTimeout time.Duration

	// Fencing gives each lock a fencing token that is higher than that of every earlier holder of
	// the name; see Lock.Fence. All clients of a name must use the same setting. With Fencing, an
	// acquisition takes a second round trip when clocks or masters disagree.
	// Default: none.
	Fencing bool

	// RestartGuard quarantines masters that may have forgotten keys. If a master restarted, was
	// flushed or was replaced, it casts no vote for new locks until this long after it was first
	// seen in its new state. The guard must be at least the longest TTL that any client uses for
	// these names. This Manager refuses longer TTLs, also in Extend and Once. If masters fail over
	// to replicas, add min-replicas-max-lag. Masters that nobody has seen yet are quarantined as
	// well, so a new deployment must call Manager.Bootstrap or wait. RestartGuard must be in whole
	// milliseconds. It does not support Cluster or Ring clients.
	// Default: none. See "The restart guard" in the package documentation for what the guard does
	// not detect.
	RestartGuard time.Duration

	// MaxHold bounds how long Do keeps a lock alive, so that a job that hangs does not keep its
	// lock forever. After MaxHold, the context of Do's function ends, with ErrHoldLimit as its
	// cause. For Acquire and TryAcquire, AutoRenew has its own maxHold. MaxHold must be at least 1
	// ms.
	// Default: no bound.
	MaxHold time.Duration

	// OnceGivesBack makes Once release its period if its function returns an error or panics, so
	// that another replica, or the next call, can try again.
	// Default: the period stays taken.
	OnceGivesBack bool

	// Owner is the readable part of this Manager's tokens, which have the form random@owner. It
	// tells who holds a lock: in Inspect and List, in errors, and to anyone who reads the lock's key
	// on a master. It is also part of the client name of Open's connections. At most 64 characters
	// of A-Z, a-z, 0-9 and . _ : / -.
	// Default: the host's name and the process ID, as in "web-3:4711".
	Owner string

	// LockDelay is how much longer than the TTL the masters keep a lock. A holder that is paused
	// past its window, and acts before it looks at the lock again, is still alone for that long.
	// A release frees the lock at once. If a holder dies, others wait for LockDelay longer. LockDelay
	// must be in whole milliseconds. The RestartGuard must cover the TTL and the LockDelay together.
	// Default: none.
	LockDelay time.Duration

	// Events is told what happens to the Manager's locks and masters, for logs and metrics.
	// Default: nobody is told.
	Events Events

	// TLS configures the connections of Open to rediss:// URLs: certificate authorities, client
	// certificates, and so on. Without a ServerName, the URL's host is verified. New ignores it.
	// Default: the system's authorities, no client certificate.
	TLS *tls.Config

	// Clock measures the windows of validity.
	// Default: clock.System().
	Clock clock.Clock

	hooks     *testhook.Hooks // nil for none
	overGuard *atomic.Int64   // the longest TTL that checkTTL refused because of RestartGuard
}

// Only this module's own tests can set the hooks.
func init() {
	testhook.Set = func(options any, h testhook.Hooks) { options.(*Options).hooks = &h }
}

const (
	defaultAttemptTimeout  = time.Second
	defaultMinBackoff      = 16 * time.Millisecond
	defaultMaxBackoff      = 512 * time.Millisecond
	defaultPendingReleases = 16384
	defaultCloseTimeout    = 5 * time.Second
)

// withDefaults returns a checked copy of o with its zero values filled in.
func (o *Options) withDefaults() (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	orDefault(&filled.Drift, clock.DefaultDrift)
	orDefault(&filled.AttemptTimeout, defaultAttemptTimeout)
	orDefault(&filled.MaxPendingReleases, defaultPendingReleases)
	orDefault(&filled.CloseTimeout, defaultCloseTimeout)
	if filled.MinBackoff == 0 {
		filled.MinBackoff = defaultMinBackoff
		if filled.MaxBackoff > 0 {
			filled.MinBackoff = min(filled.MinBackoff, filled.MaxBackoff)
		}
	}
	orDefault(&filled.MaxBackoff, max(defaultMaxBackoff, filled.MinBackoff))
	filled.overGuard = new(atomic.Int64)
	if filled.hooks == nil {
		filled.hooks = new(testhook.Hooks)
	}
	if filled.Clock == nil {
		filled.Clock = clock.System()
	}
	if now := filled.Clock.Now(); now <= 0 {
		filled.Clock = shiftedClock{filled.Clock, clock.Instant(time.Second).Sub(now)}
	}
	return filled, filled.check()
}

// shiftedClock makes a clock's instants positive: 0 stands for "not yet" in many places. It begins
// with a whole second, because renewals are rounded to a grid of instants.
type shiftedClock struct {
	clock.Clock
	by time.Duration
}

// Now returns the clock's time in its new place.
func (c shiftedClock) Now() clock.Instant { return c.Clock.Now().Add(c.by) }

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// check returns everything that is wrong with o.
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
	bad(o.MaxPendingReleases < 0, "MaxPendingReleases %d is negative", o.MaxPendingReleases)
	bad(o.CloseTimeout < 0, "CloseTimeout %v is negative", o.CloseTimeout)
	bad(o.MaxHold < 0, "MaxHold %v is negative", o.MaxHold)
	bad(o.MaxHold > 0 && o.MaxHold < minHoldLimit, "MaxHold %v is under %v", o.MaxHold, minHoldLimit)
	bad(o.RestartGuard < 0, "RestartGuard %v is negative", o.RestartGuard)
	bad(o.RestartGuard%time.Millisecond != 0, "RestartGuard %v is not in whole milliseconds", o.RestartGuard)
	bad(strings.HasPrefix(o.Prefix, wire.AuxPrefix), "Prefix begins with %q, which is reserved for auxiliary keys", wire.AuxPrefix)
	return errors.Join(errs...)
}

// AcquireOption changes one acquisition.
type AcquireOption func(*acquireParams)

// acquireParams holds the parameters of one acquisition.
type acquireParams struct {
	name   string
	ttl    time.Duration // whole milliseconds
	window time.Duration // ttl − drift
	renew  bool
	limit  time.Duration // how long it may be renewed; 0 for no limit
	err    error         // what is wrong with an option

	seekHolder bool // find out whether a single other token has a majority
}

// ends returns when a lock requested at start is over, however often it is renewed.
func (p *acquireParams) ends(start clock.Instant) clock.Instant {
	if p.limit > 0 {
		return start.Add(p.limit)
	}
	return clock.Never
}

// checkAcquire checks the parameters of an acquisition. It truncates the TTL to whole milliseconds,
// the masters' unit.
func (o *Options) checkAcquire(name string, ttl time.Duration, opts []AcquireOption) (acquireParams, error) {
	p := acquireParams{name: name}
	if err := o.checkName(name); err != nil {
		return p, fmt.Errorf("quorum: acquire: %w", err)
	}
	var err error
	if p.ttl, p.window, err = o.checkTTL(ttl); err != nil { //mutant:acquire-ttl
		return p, acquireError(name, err)
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&p)
		}
	}
	if p.err != nil {
		return p, acquireError(name, p.err)
	}
	return p, nil
}

// acquireError returns the error of an acquisition whose parameters are wrong. Nothing has been
// sent.
func acquireError(name string, err error) error {
	return fmt.Errorf("quorum: acquire %s: %w", quote(name), err)
}

func (o *Options) checkName(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case strings.HasPrefix(o.Prefix+name, wire.AuxPrefix):
		return fmt.Errorf("name %s begins with %q, which is reserved for auxiliary keys", quote(name), wire.AuxPrefix)
	}
	return nil
}

// checkTTL returns the TTL in whole milliseconds and the window it leaves.
func (o *Options) checkTTL(ttl time.Duration) (whole, window time.Duration, err error) {
	if ttl < time.Millisecond {
		return 0, 0, fmt.Errorf("TTL %v is under 1ms", ttl)
	}
	whole = ttl.Truncate(time.Millisecond)
	if guard := o.RestartGuard; guard > 0 && whole > guard {
		raise(o.overGuard, int64(whole)) // Diagnose tells
		return 0, 0, fmt.Errorf("TTL %v is over the restart guard %v: a master that forgot the lock could vote again before the lock expires", whole, guard)
	}
	if window = o.Drift.Window(whole); window <= 0 { //mutant:ttl-window
		return 0, 0, fmt.Errorf("TTL %v leaves no validity after a drift of %v", ttl, o.Drift.Of(whole))
	}
	return whole, window, nil
}
