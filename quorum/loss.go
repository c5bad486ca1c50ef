package quorum

// These errors say why a lock was lost. Each also satisfies errors.Is for ErrLost. They are the
// causes of the context that Do passes to its function, and part of the errors of Do, Extend and
// Release.
var (
	// ErrExpired: the window of validity closed before a quorum confirmed an extension, or while
	// the process or the machine was asleep.
	ErrExpired error = &loss{text: "its window of validity has closed"}

	// ErrDenied: a majority of the masters answered that they store another token or none. The lock
	// was taken over, or the masters forgot it.
	ErrDenied error = &loss{text: "a majority of the masters stores another token or none"}

	// ErrHoldLimit: the lock was held for as long as AutoRenew or Options.MaxHold allows.
	ErrHoldLimit error = &loss{text: "held for as long as allowed"}
)

// errManagerClosed and errReleased end locks too.
var (
	errManagerClosed error = &loss{text: "manager closed", also: ErrClosed}
	errReleased      error = &loss{text: "released"}
)

// loss is a way to lose a lock.
type loss struct {
	text string
	also error // a sentinel that it wraps besides ErrLost; may be nil
}

func (l *loss) Error() string { return "quorum: lock lost: " + l.text }

// Is makes every loss an ErrLost.
func (l *loss) Is(target error) bool { return target == ErrLost } //nolint:errorlint // this is what errors.Is asks

func (l *loss) Unwrap() error { return l.also }
