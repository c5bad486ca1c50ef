package quorum

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// notifier receives the masters' messages that a lock was handed on to one of the Manager's
// waiters. It uses one channel on each master for all locks, and subscribes to them once somebody
// waits.
//
// A message counts as the grant of the master on whose channel it came. So each master has a
// channel of its own, with a random name: masters that are databases of one server share all
// channels, and every subscription would get every message.
//
// Messages get lost, and may be late. A message is trusted only as far as it names a waiter's
// token. Those who can read the tokens on a master could as well change the locks there.
type notifier struct {
	engine        *engine
	subscriptions []*subscription // one per master
	group         sync.WaitGroup
	ctx           context.Context // of the subscriptions
	cancel        context.CancelFunc

	mu       sync.Mutex // guards all below
	channels []string   // by master; nil before the first waiter
	entries  map[string]notified
	closed   bool
}

// notified is a waiter's queueEntry, and all that the notifier knows of it.
type notified interface {
	token() string
	jitter() float64                     // from 0 to 1; spreads what all waiters would do at once
	received(master int, payload string) // a message names the token
	askSoon(master int)                  // the waiter must ask the master, because it may have missed messages
}

const (
	// firstResubscribe is the pause before a failed subscription is tried again. It doubles up to
	// maxResubscribe.
	firstResubscribe = 50 * time.Millisecond
	maxResubscribe   = 5 * time.Second
	// askSpread is the time over which the waiters spread their calls to a master that is back.
	askSpread = time.Millisecond
)

func newNotifier(e *engine) *notifier {
	n := &notifier{engine: e, entries: map[string]notified{}}
	for i := range e.masters {
		n.subscriptions = append(n.subscriptions, &subscription{notifier: n, master: i})
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// register starts delivering messages to a waiter. It returns the names of the masters' channels.
func (n *notifier) register(w notified) (channels []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, errClosedNotAcquired
	case n.channels == nil:
		for i, m := range n.engine.masters {
			channel := wire.Channel(n.engine.newID(n.ctx)) //mutant:own-channel
			n.channels = append(n.channels, channel)
			if m.Publishes() {
				n.group.Go(func() { n.listen(n.subscriptions[i], channel) })
			}
		}
	}
	n.entries[w.token()] = w
	return n.channels, nil
}

func (n *notifier) unregister(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.entries, token)
}

// deliver passes on a message to the waiter that it names.
func (n *notifier) deliver(master int, payload string) {
	token, _, _ := strings.Cut(payload, " ")
	n.mu.Lock()
	w := n.entries[token]
	n.mu.Unlock()
	if w != nil {
		w.received(master, payload)
	}
}

// notifies reports whether messages from a master can be expected.
func (n *notifier) notifies(master int) bool { return n.subscriptions[master].active() }

// unheard handles an answer that nobody listens on the channel.
func (n *notifier) unheard(master int, asked clock.Instant) {
	n.subscriptions[master].unheard(asked)
}

// catchUp makes the waiters ask a master, each at its own time within askSpread. The times count
// from the start, because no sleep is as short as the gap between two waiters in a crowd.
func (n *notifier) catchUp(master int) {
	now := n.engine.clock.Now
	began := now()
	for _, w := range n.byJitter() {
		due := began.Add(time.Duration(w.jitter() * float64(askSpread)))
		if wait := due.Sub(now()); wait > 0 && !n.engine.sleep(n.ctx, wait) { //mutant:catch-up-spreads
			return
		}
		w.askSoon(master)
	}
}

// byJitter returns the waiters in the order in which they ask.
func (n *notifier) byJitter() []notified {
	n.mu.Lock()
	all := slices.Collect(maps.Values(n.entries))
	n.mu.Unlock()
	slices.SortFunc(all, func(x, y notified) int { return cmp.Compare(x.jitter(), y.jitter()) })
	return all
}

// listen keeps the notifier subscribed to a master until the notifier is closed.
func (n *notifier) listen(s *subscription, channel string) {
	for pause := firstResubscribe; ; pause = min(2*pause, maxResubscribe) {
		began := n.engine.clock.Now()
		n.session(s, channel)
		if n.engine.clock.Now().Sub(began) > maxResubscribe {
			pause = firstResubscribe
		}
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// session runs one subscription for as long as its connection lasts.
func (n *notifier) session(s *subscription, channel string) {
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	s.end.Store(&cancel)
	err := n.engine.masters[s.master].Subscribe(ctx, channel, s)
	s.over()
	switch {
	case n.ctx.Err() != nil: // the notifier is closed
		return
	case ctx.Err() != nil:
		err = errUnheard
	}
	n.engine.statuses[s.master].unsubscribed(err)
}

// errUnheard is why unheard ended a subscription.
var errUnheard = errors.New("the master does not know of the subscription")

// close ends the subscriptions. It waits for them for closeMoment at most, or until ctx ends. A
// subscription that is stuck in a client of the caller's ends with that client's call, and nothing
// depends on it.
func (n *notifier) close(ctx context.Context) {
	n.mu.Lock()
	n.closed = true
	open := n.channels != nil
	n.mu.Unlock()
	n.cancel()
	if !open {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeMoment) //mutant:notifier-closes
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.group.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// subscription is the notifier's subscription to one master. It is a redisconn.Listener.
type subscription struct {
	notifier *notifier
	master   int
	since    atomic.Int64 // when it was confirmed, plus 1; 0 while it is not active
	end      atomic.Pointer[context.CancelFunc]
}

// Subscribed makes every waiter ask the master, because it may have missed a message. Messages are
// received at the same time.
func (s *subscription) Subscribed() {
	s.since.Store(int64(s.notifier.engine.clock.Now()) + 1)
	s.notifier.engine.statuses[s.master].subscribed()
	s.notifier.group.Go(func() { s.notifier.catchUp(s.master) }) //mutant:subscribed-catches-up
}

// Received delivers a message.
func (s *subscription) Received(payload string) {
	s.notifier.deliver(s.master, payload)
}

func (s *subscription) over() { s.since.Store(0) }

// active reports whether messages can be expected.
func (s *subscription) active() bool { return s.since.Load() != 0 }

// unheard handles an answer in which a master knows of no listener. The call was made at the
// instant asked. If that is after the subscription was confirmed, the subscription is with a
// different server than the one that gets the releases: an old primary that Sentinel has replaced
// and that is still running. So unheard ends the subscription, and listen makes a new one.
func (s *subscription) unheard(asked clock.Instant) {
	since := s.since.Load()
	if since == 0 || asked <= clock.Instant(since) || !s.since.CompareAndSwap(since, 0) {
		return
	}
	(*s.end.Load())()
}
