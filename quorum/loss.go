package quorum

import "errors"

// These errors say why a lock is over. Each also satisfies errors.Is for ErrLost, ErrReleased and
// ErrDetached included: whoever still relies on the lock must stop. They are the
// causes of the lock's contexts, and part of the errors of Do, Lead, Extend and Release.
var (
	// ErrExpired: the window of validity closed before a quorum confirmed an extension, or while
	// the process or the machine was asleep.
	ErrExpired error = &loss{text: "its window of validity has closed"}

	// ErrDenied: a majority of the masters answered that they store another token or none. The lock
	// was taken over, or the masters forgot it.
	ErrDenied error = &loss{text: "a majority of the masters stores another token or none"}

	// ErrHoldLimit: the lock was held for as long as AutoRenew or MaxHold allows.
	ErrHoldLimit error = &loss{text: "held for as long as allowed"}

	// ErrReleased: the lock was released. Lock.Err returns it, and it is the cause of the lock's
	// contexts.
	ErrReleased error = &loss{text: "released"}

	// ErrDetached: the lock was given to another process; see Lock.Detach.
	ErrDetached error = &loss{text: "detached"}
)

// errManagerClosed ends locks too.
var errManagerClosed error = &loss{text: "manager closed", also: ErrClosed}

// isOwnEnd reports whether a lock ended because its holder wanted it to.
func isOwnEnd(why error) bool { return errors.Is(why, ErrReleased) || errors.Is(why, ErrDetached) }

// loss is a way to lose a lock.
type loss struct {
	text string
	also error // a sentinel that it wraps besides ErrLost; may be nil
}

// lossPrefix begins the text of every loss.
const lossPrefix = "quorum: lock lost: "

func (l *loss) Error() string { return lossPrefix + l.text }

// Is makes every loss an ErrLost.
func (l *loss) Is(target error) bool { return target == ErrLost } //nolint:errorlint // this is what errors.Is asks

func (l *loss) Unwrap() error { return l.also }
