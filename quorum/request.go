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
	bareForm               // leave and inspect only: EVAL, without the auxiliary keys
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
	handedOn bool // and a waiter has the key now
}

// vote is what a master says besides its verdict on an acquire, or to a waiter.
type vote struct {
	standing string // acquire: the other token that stands there, if it was taken
	fence    int64  // acquire: the fence that is stored there now
	anew     bool   // acquire: it is the one that was proposed, and was stored by this very request
	time     int64  // the master's time in microseconds; 0 if it did not tell
	left     int64  // wait: the milliseconds that the key has left, as PTTL says them
	rank     int64  // wait: how many waiters are before this one
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
	case q.form != bareForm && q.question.canBeBare() && (redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "CROSSSLOT")):
		q.form = bareForm
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
		case q.question.verb == waitVerb:
			return q.readReport(reply)
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
	case 1, 2:
		switch {
		case q.question.verb == leaveVerb:
			q.released, q.handedOn = true, code == 2
			return Absent, nil
		case code == 2:
			return unexpected(code)
		}
		return Held, nil
	case 0:
		return Absent, nil
	case -1:
		return Taken, nil
	}
	return unexpected(code)
}

// readReport reads wait's {code, milliseconds left, rank, time}.
func (q *request) readReport(parts []any) (Outcome, error) {
	if len(parts) != 4 {
		return unexpected(parts)
	}
	numbers := [4]int64{}
	for i, part := range parts {
		n, ok := part.(int64)
		if !ok {
			return unexpected(parts)
		}
		numbers[i] = n
	}
	q.vote.left, q.vote.rank, q.vote.time = numbers[1], numbers[2], numbers[3]
	switch numbers[0] {
	case 1:
		return Held, nil
	case 0:
		return Absent, nil
	case -1:
		return Taken, nil
	case -2:
		return Refused, &heldOut{left: time.Duration(q.vote.left) * time.Millisecond}
	}
	return unexpected(parts)
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
	waiting  int64
	waited   int64 // milliseconds
}

// noKey is what PTTL says where there is no key.
const noKey = -2

func readHolding(parts []any) (h holding, ok bool) {
	if len(parts) != 6 {
		return h, false
	}
	standing, ok1 := parts[0].(string)
	left, ok2 := parts[1].(int64)
	out, ok3 := parts[2].(int64)
	evicts, ok4 := parts[3].(string)
	waiting, ok5 := parts[4].(int64)
	waited, ok6 := parts[5].(int64)
	return holding{standing, left, out, evicts, waiting, waited}, ok1 && ok2 && ok3 && ok4 && ok5 && ok6
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
