package quorum

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// form is how a request is put to a master. A master that does not understand
// one is asked in the next.
type form uint8

const (
	plainForm  form = iota // acquire only: one SET
	digestForm             // EVALSHA
	sourceForm             // EVAL
)

// request is a question to one master: the payload of a lane's operation. Its
// lane owns it until it is settled, whoever asked from then on.
type request struct {
	question *question
	reply    any   // what the master replied
	replyErr error // or what came instead of a reply
	err      error // why outcome is what it is
	master   uint8
	form     form
	outcome  Outcome // Unknown until settled
	settled  bool
	released bool // leave: the token stood there, and is gone by this request
}

// rephrase tells whether the master did not understand the request as it was put
// and changed nothing, and puts it in the next form if so.
func (q *request) rephrase() bool {
	err := q.replyErr
	switch {
	case err == nil, errors.Is(err, redis.Nil): // understood
		return false
	case q.form == plainForm && q.question.verb == acquireVerb && redis.HasErrorPrefix(err, "syntax error"):
		q.form = digestForm
	case q.form == digestForm && redis.HasErrorPrefix(err, "NOSCRIPT"):
		q.form = sourceForm
	default:
		return false
	}
	return true
}

// answered tells whether the master replied to the request at all.
func (q *request) answered() bool {
	return q.replyErr == nil && q.reply != nil || isReply(q.replyErr)
}

// isReply tells whether err is what a master replied, nil replies included.
func isReply(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) { // spares errors.As its allocation
		return err != nil
	}
	var reply redis.Error
	return errors.As(err, &reply)
}

// read turns what became of the request into an outcome.
func (q *request) read(dropped error) (Outcome, error) {
	if dropped != nil {
		return Unsent, dropped
	}
	return q.readReply()
}

func (q *request) readReply() (Outcome, error) {
	err := q.replyErr
	switch {
	case errors.Is(err, redis.Nil):
		return q.readNil()
	case isReply(err):
		return Refused, err
	case err != nil:
		return Unknown, err
	case q.reply == nil: // nothing was read, though no error says so
		return Unknown, errors.New("no reply")
	}
	switch reply := q.reply.(type) {
	case string:
		if q.question.verb == acquireVerb {
			return q.readToken(reply)
		}
	case int64:
		switch q.question.verb {
		case keepVerb, repairVerb, leaveVerb:
			return q.readCode(reply)
		}
	case []any:
		if q.question.verb == inspectVerb {
			return q.readHolding(reply)
		}
	}
	return unexpected(q.reply)
}

func unexpected(reply any) (Outcome, error) {
	return Refused, fmt.Errorf("unexpected reply of type %T", reply)
}

// readNil: to SET NX GET, nil says that nothing stood there, so the token does
// now.
func (q *request) readNil() (Outcome, error) {
	switch q.question.verb {
	case acquireVerb:
		return Held, nil
	case inspectVerb:
		return Absent, nil
	}
	return unexpected(nil)
}

// readToken: the own token stands there already only if the client repeated the
// request, because no other request carries it. The window counts from before
// the first of them.
func (q *request) readToken(standing string) (Outcome, error) {
	if standing == q.question.claim.token {
		return Held, nil
	}
	return Taken, nil
}

// readCode reads the reply of keep, repair and leave.
func (q *request) readCode(code int64) (Outcome, error) {
	switch code {
	case 1:
		if q.question.verb == leaveVerb {
			q.released = true
			return Absent, nil
		}
		return Held, nil
	case 0:
		return Absent, nil
	case -1:
		return Taken, nil
	}
	return unexpected(code)
}

// readHolding reads inspect's {token, milliseconds left}. The parts stay in
// reply.
func (q *request) readHolding(parts []any) (Outcome, error) {
	if _, _, ok := holding(parts); !ok {
		return unexpected(parts)
	}
	return Taken, nil
}

func holding(parts []any) (standing string, ms int64, ok bool) {
	if len(parts) != 2 {
		return "", 0, false
	}
	standing, ok1 := parts[0].(string)
	ms, ok2 := parts[1].(int64)
	return standing, ms, ok1 && ok2
}

// describe names a master in errors: by its address, never with its
// credentials.
func describe(client redis.UniversalClient, index int) string {
	switch c := client.(type) {
	case *redis.Client:
		if addr := c.Options().Addr; addr != sentinelAddr {
			return addr
		}
		return fmt.Sprintf("master %d (by Sentinel)", index)
	case *redis.ClusterClient:
		return "cluster " + strings.Join(c.Options().Addrs, ",")
	}
	return fmt.Sprintf("master %d", index)
}

// sentinelAddr is what go-redis has for an address where Sentinel tells the real
// one.
const sentinelAddr = "FailoverClient"
