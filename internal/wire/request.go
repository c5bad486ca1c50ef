package wire

import (
	"strconv"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Subject is what requests are about: a lock's key, the token to store under it, and the
// deployment's settings.
type Subject struct {
	Key, Token string
	Fencing    bool
	Guard      time.Duration // the restart guard; 0 for none

	keyArg    any    // Key again, as part of commands
	tokenText []byte // Token again, as written to connections
}

// NewSubject returns a Subject. token is empty for requests that only inspect.
func NewSubject(key, token string, fencing bool, guard time.Duration) Subject {
	return Subject{Key: key, Token: token, Fencing: fencing, Guard: guard, keyArg: key, tokenText: []byte(token)}
}

// Request is a request to every master. It does not change once it is submitted, so all masters'
// calls can share it.
type Request struct {
	Subject *Subject
	TTL     time.Duration // acquire, extend and repair
	Heir    Heir          // release

	proposal int64 // acquire with fencing: the proposed fence
	deadline time.Duration
	name     any   // of the script's operation
	keys     []any // its keys
	args     []any // its arguments after the token
	Op       vote.Op
	waiter   bool     // acquire: for a waiter
	ordered  bool     // it is about an entry of ordered admission
	place    int64    // the fence of the entry
	channels []string // that notify the waiter with the entry, by master
	writes   []Write  // members: by master
}

// Proposal returns the fence that an acquire request proposes, or 0 without fencing.
func (r *Request) Proposal() int64 { return r.proposal }

// Confirms reports whether an acquire request is a waiter's.
func (r *Request) Confirms() bool { return r.waiter }

// Expires reports whether the request has a deadline; see SetDeadline.
func (r *Request) Expires() bool {
	switch r.Op {
	case vote.Acquire, vote.Repair, vote.Wait:
		return true
	}
	return false
}

// SetDeadline sets an instant of the client's clock, after which a master does not execute the
// request anymore. Requests that give the token nothing have none. It must be called before the
// request is submitted.
func (r *Request) SetDeadline(deadline time.Duration) {
	if r.Expires() {
		r.deadline = deadline
		r.args[0] = deadline.Microseconds() //mutant:request-deadline
	}
}

// binds reports whether the request grants or keeps something.
func (r *Request) binds() bool {
	switch r.Op {
	case vote.Acquire, vote.Extend, vote.Repair, vote.Wait:
		return true
	}
	return false
}

// Heir says to whom a master may hand on a released lock: Anyone in the queue, Nobody, or the
// waiters with a lower ticket.
type Heir string

// Heirs that do not depend on a ticket.
const (
	Anyone Heir = ""
	Nobody Heir = "0" // tickets are higher
)

// LowerThan returns the heirs with a lower ticket.
func LowerThan(ticket int64) Heir { return Heir(strconv.FormatInt(ticket, 10)) }

// The names of the script's operations. They are of type any because commands consist of that.
var (
	nameAcquire   any = "acquire"
	nameConfirm   any = "confirm"
	nameExtend    any = "extend"
	nameRepair    any = "repair"
	nameRelease   any = "release"
	nameDrop      any = "drop"
	nameWait      any = "wait"
	nameInspect   any = "inspect"
	namePeek      any = "peek"
	nameBootstrap any = "bootstrap"
	nameMembers   any = "members"
	nameDated     any = "dated"
	nameTombstone any = "tombstone"
	nameLeave     any = "leave"
	nameBreak     any = "break"
	nameAdmit     any = "admit"
	nameRemain    any = "remain"
	nameRenew     any = "renew"
	nameReadmit   any = "readmit"
	nameDepart    any = "depart"
)

// none stands for an argument that is left out.
var none any = ""

// Acquire requests the key. Without fencing, proposal and retention are ignored.
func (s *Subject) Acquire(ttl time.Duration, proposal int64, retention time.Duration) Request {
	return Request{
		Subject: s, Op: vote.Acquire, TTL: ttl, proposal: proposal, name: nameAcquire,
		keys: s.fenced([]any{s.keyArg}), args: s.keeping(ttl, proposal, retention),
	}
}

// Confirm is Acquire for a waiter. It also removes the waiter from the queue.
func (s *Subject) Confirm(ttl time.Duration, proposal int64, retention time.Duration) Request {
	r := s.Acquire(ttl, proposal, retention)
	r.waiter, r.name = true, nameConfirm
	r.keys = s.fenced([]any{s.keyArg, queueKey(s.Key)})
	return r
}

// Extend asks the masters to keep the key for the token, and the fence as well.
func (s *Subject) Extend(ttl time.Duration, fence int64, retention time.Duration) Request {
	return Request{
		Subject: s, Op: vote.Extend, TTL: ttl, name: nameExtend,
		keys: s.fenced([]any{s.keyArg}), args: s.keeping(ttl, fence, retention),
	}
}

// ExtendDated is Extend for a lock that was handed on to the token at the given time, in
// microseconds by the masters' clocks. The masters keep that date for as long as said.
func (s *Subject) ExtendDated(ttl time.Duration, fence int64, retention time.Duration, since int64, keep time.Duration) Request {
	r := s.Extend(ttl, fence, retention)
	r.name, r.keys = nameDated, append(r.keys, sinceKey(s.Key))
	r.args = append(r.args, strconv.FormatInt(since, 10), keep.Milliseconds())
	return r
}

// Repair is like Extend, but also gives a vacant key to the token.
func (s *Subject) Repair(ttl time.Duration, fence int64, retention time.Duration) Request {
	r := s.Extend(ttl, fence, retention)
	r.Op, r.name = vote.Repair, nameRepair
	return r
}

// keeping returns the arguments of an operation that gives the token the key, or keeps it there.
func (s *Subject) keeping(ttl time.Duration, fence int64, retention time.Duration) []any {
	args := []any{none, ttl.Milliseconds()}
	if s.Fencing {
		args = append(args, strconv.FormatInt(fence, 10), retention.Milliseconds())
	}
	return args
}

// fenced adds the fence's key if there is fencing.
func (s *Subject) fenced(keys []any) []any {
	if s.Fencing {
		return append(keys, fenceKey(s.Key))
	}
	return keys
}

// Release gives up the token and hands the key on to an heir. queued says whether the token may
// ever have been put into the queues. If it was not, and nobody may inherit, the master need not
// look at its queue. next is the fence that a waiter may get with the key, 0 for none.
func (s *Subject) Release(to Heir, queued bool, next int64) Request {
	r := Request{Subject: s, Op: vote.Release, Heir: to, name: nameRelease}
	if to == Nobody && !queued {
		r.name, r.keys = nameDrop, []any{s.keyArg}
		return r
	}
	r.keys, r.args = []any{s.keyArg, queueKey(s.Key)}, []any{none, none}
	if to != Anyone {
		r.args[0] = string(to)
	}
	if next > 0 {
		r.args[1] = strconv.FormatInt(next, 10)
	}
	return r
}

// Tombstone releases the token like Release, but hands the key on to nobody and keeps it taken for
// the given time, which is rounded up to whole milliseconds.
func (s *Subject) Tombstone(left time.Duration, queued bool) Request {
	r := Request{
		Subject: s, Op: vote.Release, Heir: Nobody, name: nameTombstone, keys: []any{s.keyArg},
		args: []any{(left + time.Millisecond - 1).Milliseconds()},
	}
	if queued {
		r.name, r.keys = nameLeave, append(r.keys, queueKey(s.Key))
	}
	return r
}

// Break releases the token, which is another client's, and bars it from the key for the given time.
// next is the fence that a waiter may get with the key, 0 for none.
func (s *Subject) Break(next int64, barred time.Duration) Request {
	r := s.Release(Anyone, true, next) //mutant:break-hands-on
	r.Op, r.name = vote.Break, nameBreak
	r.keys = append(r.keys, brokenKey(s.Key, s.Token))
	r.args = append(r.args, barred.Milliseconds())
	return r
}

// Place describes the place in one master's queue that a waiter asks for.
type Place struct {
	Ticket    int64         // 0 for none: then the request only asks for a report
	Lease     time.Duration // how long the master keeps the place
	Grant     time.Duration // how long the master grants the key to the waiter
	Question  int64         // comes back with a grant; see Grant
	Retention time.Duration // how long the master keeps the waiter's fence
	Channel   string        // the channel that notifies the waiter
}

// Wait keeps a waiter's place in the queue.
func (s *Subject) Wait(p Place) Request {
	ticket, retention := none, int64(0)
	if p.Ticket != 0 {
		ticket = strconv.FormatInt(p.Ticket, 10)
	}
	if s.Fencing {
		retention = p.Retention.Milliseconds()
	}
	return Request{
		Subject: s, Op: vote.Wait, name: nameWait, keys: []any{s.keyArg, queueKey(s.Key), recordsKey(s.Key)},
		args: []any{none, ticket, p.Lease.Milliseconds(), p.Grant.Milliseconds(), p.Question, retention, p.Channel},
	}
}

// Inspect asks for a report on the lock and the master. The entry with the subject's token, if it
// has one, is listed however many there are.
func (s *Subject) Inspect() Request {
	return Request{
		Subject: s, Op: vote.Inspect, name: nameInspect, keys: []any{s.keyArg, queueKey(s.Key)}, args: []any{s.Token},
	}
}

// Write is a new record of the set that one master belongs to. The zero value is none.
type Write struct {
	ID     string // a name for the master if it has none; "" not to ask for its name
	Expect string // the tag and the generation of the record that is replaced; "" for none
	Record string
	Idle   bool // only if the lease is over
}

// Members asks masters for the record with the given key, and may write another one; see package
// membership. writes is by master.
func (s *Subject) Members(key string, writes []Write) Request {
	return Request{Subject: s, Op: vote.Members, name: nameMembers, keys: []any{key}, writes: writes}
}

// Bootstrap asks masters to declare themselves empty. The first request carries a word that was
// never used before and asks for a permit. The second carries "" and the permits that the masters
// gave.
func (s *Subject) Bootstrap(word string, permits []string) Request {
	return Request{
		Subject: s, Op: vote.Bootstrap, name: nameBootstrap, keys: []any{permitKey},
		args: []any{word, strings.Join(permits, "\n")},
	}
}
