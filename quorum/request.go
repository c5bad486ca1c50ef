package quorum

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	vote     vote  // acquire: what came with the outcome
	master   uint8
	form     form
	outcome  Outcome // Unknown until settled
	settled  bool
	released bool // leave: the token stood there, and is gone by this request
}

// vote is what a master says besides its verdict on an acquire.
type vote struct {
	standing string // the other token that stands there, if it was taken
	fence    int64  // the fence that is stored there now
	anew     bool   // it is the one that was proposed, and was stored by this very request
	time     int64  // the master's time in microseconds; 0 if it did not tell
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
		if q.question.verb == acquireVerb && q.form == plainForm {
			return q.readToken(reply)
		}
	case int64:
		switch q.question.verb {
		case keepVerb, repairVerb, leaveVerb, bootstrapVerb:
			return q.readCode(reply)
		}
	case []any:
		switch {
		case q.question.verb == acquireVerb && q.form != plainForm:
			return q.readVote(reply)
		case q.question.verb == inspectVerb:
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
	if q.question.verb == acquireVerb && q.form == plainForm {
		return Held, nil
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
	q.vote.standing = standing
	return Taken, nil
}

// readVote reads the acquire script's {code, text, number, time}.
func (q *request) readVote(parts []any) (Outcome, error) {
	if len(parts) != 4 {
		return unexpected(parts)
	}
	code, ok1 := parts[0].(int64)
	text, ok2 := parts[1].(string)
	number, ok3 := parts[2].(int64)
	clock, ok4 := parts[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return unexpected(parts)
	}
	q.vote.time = clock
	switch code {
	case 1:
		fence, err := strconv.ParseInt(text, 10, 64)
		if err != nil || fence < 0 || fence > highestFence {
			return unexpected(parts)
		}
		q.vote.fence = fence
		q.vote.anew = number == 1 && fence == q.question.proposal && fence > 0
		return Held, nil
	case -1:
		return q.readToken(text)
	case -2:
		return Refused, &heldOut{left: time.Duration(number) * time.Millisecond}
	}
	return unexpected(parts)
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

// readHolding reads inspect's reply, which stays in reply.
func (q *request) readHolding(parts []any) (Outcome, error) {
	h, ok := readHolding(parts)
	switch {
	case !ok:
		return unexpected(parts)
	case h.left == noKey:
		return Absent, nil
	}
	return Taken, nil
}

// holding is what a master says to inspect.
type holding struct {
	standing string
	left     int64 // milliseconds, as PTTL says them
	heldOut  int64 // milliseconds
	evicts   string
}

// noKey is what PTTL says where there is no key.
const noKey = -2

func readHolding(parts []any) (h holding, ok bool) {
	if len(parts) != 4 {
		return h, false
	}
	standing, ok1 := parts[0].(string)
	left, ok2 := parts[1].(int64)
	out, ok3 := parts[2].(int64)
	evicts, ok4 := parts[3].(string)
	return holding{standing: standing, left: left, heldOut: out, evicts: evicts}, ok1 && ok2 && ok3 && ok4
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
