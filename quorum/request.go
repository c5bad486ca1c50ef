package quorum

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
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
	question  *question
	sealed    atomic.Bool  // it must not be written any more
	tries     atomic.Int32 // how often a client has written it to a connection
	reply     any          // what the master replied
	replyErr  error        // or what came instead of a reply
	err       error        // why outcome is what it is
	vote      vote         // acquire: what came with the outcome
	master    uint8
	form      form
	outcome   Outcome // Unknown until settled
	settled   bool
	forbidden bool // the client has no right to some key of the request
	handedOn  bool // leave: a waiter has the key now
}

// vote is what a master says besides its verdict on an acquire, or to a waiter.
type vote struct {
	standing string        // acquire: the other token that stands there, if it was taken
	fence    int64         // acquire: the fence that is stored there now
	anew     bool          // acquire: it is the one that was proposed, and was stored by this very request
	time     int64         // the master's time in microseconds; 0 if it did not tell
	left     time.Duration // wait: what the key has left, or the guard; negative if the key does not expire, or is not there
	rank     int64         // wait: how many waiters are before this one
	unheard  bool          // wait: nobody listens on the channel
	heldOut  bool          // acquire and wait: the guard holds the master out
	permit   string        // bootstrap: to be used up by the second step
}

// MarshalBinary returns the ownership token. A request stands for it among the
// arguments of its command, because that tells how often the client has put it on
// the wire: go-redis repeats by itself what was not answered, and does not tell.
// A first try that the network delivers later than the answer to the second is
// carried out like any other.
//
// Clients call it from goroutines of their own, perhaps after the call has returned.
func (q *request) MarshalBinary() ([]byte, error) {
	q.tries.Add(1)
	if q.sealed.Load() {
		return nil, errSealed
	}
	return q.question.claim.tokenText, nil
}

// errSealed keeps a client from putting a request on the wire that has been settled, as
// a hook might that asks twice, and returns when the first is answered.
var errSealed = errors.New("quorum: the request was settled before it was written")

// String returns the token, for hooks that look at the arguments of commands.
func (q *request) String() string { return q.question.claim.token }

// command returns the arguments of the command that puts the request in its form,
// appended to args.
func (q *request) command(args []any) []any {
	of, token := q.question.in(q.form)
	n := len(args)
	args = append(args, of...)
	if token > 0 {
		args[n+token] = q
	}
	return args
}

// mayComeLater tells whether a master may carry the request out after it has been
// settled with o: one that was not answered, or an earlier try of it.
func (q *request) mayComeLater(o Outcome) bool {
	switch o {
	case Unsent:
		return false
	case Unknown:
		return true
	case Refused:
		return q.replyErr == nil && !q.vote.heldOut || q.repeated() // who knows what an impossible reply means
	}
	return q.repeated()
}

// repeated tells whether the client may have put the request on the wire more than
// once. Of a client that encodes nothing that is not known.
func (q *request) repeated() bool { return !q.sentOnce() }

// sentOnce tells that the client has put the request on the wire once, and no more
// than that.
func (q *request) sentOnce() bool { return q.tries.Load() == 1 }

// rephrase tells whether the master did not understand the request as it was put
// and changed nothing, and puts it in the next form if so. That try is over.
func (q *request) rephrase() bool {
	err := q.replyErr
	switch {
	case err == nil, errors.Is(err, redis.Nil): // understood
		return false
	case q.form == plainForm && q.question.verb == acquireVerb && redis.HasErrorPrefix(err, "syntax error"):
		q.form = digestForm
	case q.form == digestForm && redis.HasErrorPrefix(err, "NOSCRIPT"):
		q.form = sourceForm
	case q.form != bareForm && q.question.canBeBare() && wantsFewerKeys(err):
		q.form, q.forbidden = bareForm, redis.HasErrorPrefix(err, "NOPERM")
	default:
		return false
	}
	if q.tries.Load() > 0 {
		q.tries.Add(-1)
	}
	return true
}

// wantsFewerKeys tells whether the master might carry the request out if it had no
// auxiliary keys: for want of rights to them, in a Cluster where they are in another
// slot, or while half of a slot has been moved.
func wantsFewerKeys(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "CROSSSLOT") || redis.HasErrorPrefix(err, "TRYAGAIN")
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
	q.sealed.Store(true) // before tries are read
	switch {
	case dropped != nil:
		return Unsent, dropped
	case q.tries.Load() == 0 && neverConnected(q.replyErr):
		return Unsent, q.replyErr
	}
	return q.readReply()
}

// neverConnected tells whether err says that there was no connection to write to.
func neverConnected(err error) bool {
	var failed *net.OpError
	return errors.Is(err, redis.ErrClosed) || errors.As(err, &failed) && failed.Op == "dial"
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
		case keepVerb, repairVerb, leaveVerb:
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
		case q.question.verb == bootstrapVerb:
			return q.readPermit(reply)
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
		q.vote.heldOut = true
		return Refused, &heldOut{left: lifetime(number)}
	}
	return unexpected(parts)
}

// readCode reads the reply of keep, repair and leave.
func (q *request) readCode(code int64) (Outcome, error) {
	switch code {
	case 1, 2:
		switch {
		case q.question.verb == leaveVerb:
			q.handedOn = code == 2
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

// mostRank is what a master may say at most of how many wait.
const mostRank = 1 << 20

// readReport reads wait's {code, milliseconds left, rank, time, listeners}.
func (q *request) readReport(parts []any) (Outcome, error) {
	if len(parts) != 5 {
		return unexpected(parts)
	}
	numbers := [5]int64{}
	for i, part := range parts {
		n, ok := part.(int64)
		if !ok {
			return unexpected(parts)
		}
		numbers[i] = n
	}
	q.vote.left, q.vote.rank, q.vote.time = lifetime(numbers[1]), max(min(numbers[2], mostRank), 0), numbers[3]
	q.vote.unheard = numbers[4] == 0
	switch numbers[0] {
	case 1:
		return Held, nil
	case 0:
		return Absent, nil
	case -1:
		return Taken, nil
	case -2:
		q.vote.heldOut = true
		return Refused, &heldOut{left: q.vote.left}
	}
	return unexpected(parts)
}

// readPermit reads bootstrap's {code, permit, milliseconds held out}.
func (q *request) readPermit(parts []any) (Outcome, error) {
	if len(parts) != 3 {
		return unexpected(parts)
	}
	code, ok1 := parts[0].(int64)
	permit, ok2 := parts[1].(string)
	left, ok3 := parts[2].(int64)
	switch {
	case !ok1 || !ok2 || !ok3:
	case code == 1:
		q.vote.permit = permit
		return Held, nil
	case code == -1 && left > 0:
		return Taken, &heldOut{left: lifetime(left)}
	case code == -1:
		return Taken, nil
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
