package redisconn

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/quorumlock/redlock/internal/wire"
)

// unauthenticated remembers that a master demands a password.
//
// A server closes the connection of a client that has not authenticated, once it reads a command of
// more than ten arguments. It says why, but the client keeps such connections in its pool, and may
// try several of them before it gives up. Then all that it reports is that they were closed.
type unauthenticated struct{ demanded atomic.Bool }

// explain adds the reason to a reply that did not come because of that.
func (u *unauthenticated) explain(r wire.Reply) wire.Reply {
	switch {
	case r.Kind == wire.ReplyError && strings.HasPrefix(r.Err.Error(), "NOAUTH"):
		u.demanded.Store(true)
	case r.Answered():
		if u.demanded.Load() {
			u.demanded.Store(false)
		}
	default:
		r.Err = u.explainError(r.Err)
	}
	return r
}

// explainError is explain for an error. The reason is no reply to this command, so the error does
// not wrap it.
func (u *unauthenticated) explainError(err error) error {
	var ofMaster wire.MasterError
	if err == nil || !u.demanded.Load() || isTimeout(err) || errors.As(err, &ofMaster) { //mutant:no-auth-closed
		return err
	}
	return fmt.Errorf("%w, after NOAUTH Authentication required", err)
}
