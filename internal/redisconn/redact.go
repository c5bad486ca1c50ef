package redisconn

import (
	"context"
	"errors"
	"strings"

	"github.com/quorumlock/redlock/token"
)

// masterError is one master's error, safe to show. It hides context errors: a dial that timed out
// inside the client matches context.DeadlineExceeded, but the caller's own context may still be
// alive.
type masterError struct {
	text  string
	cause error // nil if showing it would undo the redaction
}

func (e *masterError) Error() string { return e.text }

func (e *masterError) Unwrap() error { return e.cause }

// maxText is how many bytes of a master's error are shown.
const maxText = 500

// redact makes a master's error safe to show. Masters repeat what they did not understand,
// including ownership tokens and passwords. The first of the secrets must be the token.
func redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text, _, changed := strings.Cut(strings.TrimPrefix(err.Error(), "fanout: "), ", with args beginning with")
	for i, secret := range secrets {
		if secret == "" || !strings.Contains(text, secret) {
			continue
		}
		changed = true
		shown := "[redacted]"
		if i == 0 { // the ownership token
			shown = token.Abbreviate(secret)
		}
		text = strings.ReplaceAll(text, secret, shown)
	}
	if len(text) > maxText {
		text, changed = strings.ToValidUTF8(text[:maxText], "")+"…", true
	}
	shown := &masterError{text: text}
	isContext := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if !changed && !isContext { //mutant:redact-context
		shown.cause = err
	}
	return shown
}
