package quorum

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
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
	// attempts fail, and Lead between its terms. The pause is about MinBackoff after the first
	// attempt and doubles after each further one, up to MaxBackoff. Each pause is shortened at
	// random by up to half.
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
	// the name; see Lock.Fence, also for shared locks and permits. All clients of a name must use
	// the same setting. With Fencing, an acquisition takes a second round trip when clocks or
	// masters disagree.
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

	// Owner is the readable part of this Manager's tokens, which have the form random@owner. It
	// tells who holds a lock: in Inspect and List, in errors, and to anyone who reads the lock's
	// key on a master. It is also part of the client name of Open's connections. At most 64
	// characters of A-Z, a-z, 0-9 and . _ : / -.
	// Default: the host's name and the process ID, as in "web-3:4711".
	Owner string

	// LockDelay is how much longer than the TTL the masters keep a lock. A holder that is paused
	// past its window, and acts before it looks at the lock again, is still alone for that long. A
	// release frees the lock at once. If a holder dies or loses the lock, others wait for LockDelay
	// longer. It must be in whole milliseconds. The RestartGuard must cover the TTL and the
	// LockDelay together. Once does not use it.
	// Default: none.
	LockDelay time.Duration

	// Events is told what happens to the Manager's locks and masters, for logs and metrics.
	// Default: nobody is told.
	Events Events

	// TLS configures the connections of Open to rediss:// URLs: certificate authorities, client
	// certificates, and so on. Open copies it. Without a ServerName, each URL's host is verified. A
	// URL's skip_verify takes precedence over InsecureSkipVerify. If no URL begins with rediss://,
	// TLS is an error. New ignores it.
	// Default: the system's authorities, no client certificate, TLS 1.2 or later.
	TLS *tls.Config

	// Joint is the other set of masters while the set is changed: the old set if Open is given the
	// new one, or the other way round. A lock then needs a quorum of each set. A master in both
	// counts in both. So clients that use the old set alone, both, or the new set alone can run
	// side by side, as long as the first and the last do not. See "Changing the masters" in the
	// package documentation for the steps. Default: none.
	Joint []string

	// JointMasters is Joint for New. The caller still owns the clients.
	// Default: none.
	JointMasters []redis.UniversalClient

	// AnyMasters makes the Manager use its masters whatever set of masters their other clients use.
	// Nothing then keeps two clients of different sets from holding a lock at the same time. It is
	// for those who cannot give the rights to redlock:aux:set*, or who watch over the sets
	// themselves. With Cluster and Ring clients, it is always so.
	// Default: a Manager of another set is refused with ErrOtherMasters.
	AnyMasters bool

	// Clock measures the windows of validity.
	// Default: clock.Default(), which is the machine's clock, or that of a testing/synctest bubble
	// in which New or Open is called.
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
	orDefault(&filled.Owner, token.DefaultOwner())
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
		filled.Clock = clock.Default() //mutant:default-clock
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
	if err := token.CheckOwner(o.Owner); err != nil {
		bad(true, "Owner: %w", err)
	}
	bad(o.AttemptTimeout < time.Millisecond, "AttemptTimeout %v is under 1ms", o.AttemptTimeout)
	bad(o.MinBackoff < 0, "MinBackoff %v is negative", o.MinBackoff)
	bad(o.MaxBackoff < o.MinBackoff, "MaxBackoff %v is under MinBackoff %v", o.MaxBackoff, o.MinBackoff)
	bad(o.MaxPendingReleases < 0, "MaxPendingReleases %d is negative", o.MaxPendingReleases)
	bad(o.CloseTimeout < 0, "CloseTimeout %v is negative", o.CloseTimeout)
	bad(o.LockDelay < 0, "LockDelay %v is negative", o.LockDelay)
	bad(o.LockDelay%time.Millisecond != 0, "LockDelay %v is not in whole milliseconds", o.LockDelay)
	bad(o.RestartGuard > 0 && o.LockDelay >= o.RestartGuard, "LockDelay %v leaves no TTL under the RestartGuard %v", o.LockDelay, o.RestartGuard)
	bad(o.RestartGuard < 0, "RestartGuard %v is negative", o.RestartGuard)
	bad(o.RestartGuard%time.Millisecond != 0, "RestartGuard %v is not in whole milliseconds", o.RestartGuard)
	bad(strings.HasPrefix(o.Prefix, wire.AuxPrefix), "Prefix begins with %q, which is reserved for auxiliary keys", wire.AuxPrefix)
	return errors.Join(errs...)
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

// checkTTL returns the lease that a TTL asks for. It truncates the TTL to whole milliseconds. The
// masters keep the lock for delay longer, in all no longer than the restart guard.
func (o *Options) checkTTL(ttl, delay time.Duration) (lease, error) {
	l, err := o.lease(ttl, delay)
	if guard := o.RestartGuard; err == nil && guard > 0 && l.keep > guard {
		raise(o.overGuard, int64(l.keep)) // Diagnose tells
		what := fmt.Sprintf("TTL %v", l.ttl)
		if delay > 0 {
			what += fmt.Sprintf(" and the lock delay %v together are", delay)
		} else {
			what += " is"
		}
		return l, fmt.Errorf("%s over the restart guard %v: a master that forgot the lock could vote again before the lock expires", what, guard)
	}
	return l, err
}

// lease returns the lease that a TTL asks for, whatever the restart guard.
func (o *Options) lease(ttl, delay time.Duration) (lease, error) {
	if ttl < time.Millisecond {
		return lease{}, fmt.Errorf("TTL %v is under 1ms", ttl)
	}
	l := lease{ttl: ttl.Truncate(time.Millisecond)}
	l.keep = clock.Instant(l.ttl).Add(delay).Sub(0)      // saturated //mutant:lock-delay
	if l.window = o.Drift.Window(l.ttl); l.window <= 0 { //mutant:ttl-window
		return l, fmt.Errorf("TTL %v leaves no validity after a drift of %v", ttl, o.Drift.Of(l.ttl))
	}
	return l, nil
}
