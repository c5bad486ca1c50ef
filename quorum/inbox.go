package quorum

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// inbox is where the masters tell a Manager's waiters that a lock was handed on to
// them: one channel, subscribed to on every master once somebody waits, whatever
// the number of locks.
//
// What comes there is a hint and no more. Messages get lost, and anybody may
// publish there; a waiter has a lock only once it has claimed it.
type inbox struct {
	manager    *Manager
	channel    string
	subscribed []subscription // per master
	group      errgroup.Group
	ctx        context.Context // of the subscriptions
	cancel     context.CancelFunc

	mu      sync.Mutex // guards all below
	entries map[string]*entry
	open    bool
	closed  bool
}

const (
	// listenPing is after how long a silent connection is asked whether it is
	// still there, and given up if it does not answer for as long again.
	listenPing = 10 * time.Second
	// firstRelisten is how long after a failure a subscription is tried again.
	// It doubles up to longestRelisten.
	firstRelisten   = 50 * time.Millisecond
	longestRelisten = 5 * time.Second
)

func newInbox(m *Manager) *inbox {
	b := &inbox{manager: m, entries: map[string]*entry{}, subscribed: make([]subscription, len(m.masters))}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// register has messages for the entry delivered. It returns the channel's name.
func (b *inbox) register(e *entry) (channel string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return "", ErrClosed
	case !b.open:
		id, err := b.manager.tokens.New()
		if err != nil {
			return "", err
		}
		b.open, b.channel = true, auxiliaryPrefix+"inbox:"+id
		for i, m := range b.manager.masters {
			if m.publishes() {
				b.group.Go(func() error { b.listen(i); return nil })
			}
		}
	}
	b.entries[e.claim.token] = e
	return b.channel, nil
}

func (b *inbox) unregister(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, e.claim.token)
}

// deliver tells a waiter that a master has granted it the lock.
func (b *inbox) deliver(master int, token string) {
	b.mu.Lock()
	e := b.entries[token]
	b.mu.Unlock()
	if e != nil {
		e.told(master)
	}
}

// connected has every waiter ask the master how things stand: it may have missed
// something. Meanwhile messages are received.
func (b *inbox) connected(master int) {
	b.subscribed[master].confirmed(b.manager.opts.Clock.Now())
	b.group.Go(func() error { b.catchUp(master); return nil })
}

// catchUp has the waiters ask, each at its time: nobody sleeps as briefly as a crowd
// of waiters would need it between one and the next.
func (b *inbox) catchUp(master int) {
	now := b.manager.opts.Clock.Now
	began := now()
	for _, e := range b.byJitter() {
		due := began.Add(time.Duration(e.jitter * float64(askSpread)))
		if wait := due.Sub(now()); wait > 0 && !b.manager.sleep(b.ctx, wait) {
			return
		}
		e.ask(master)
	}
}

// byJitter returns the entries there are, in the order in which they ask.
func (b *inbox) byJitter() []*entry {
	b.mu.Lock()
	entries := slices.Collect(maps.Values(b.entries))
	b.mu.Unlock()
	slices.SortFunc(entries, func(x, y *entry) int { return cmp.Compare(x.jitter, y.jitter) })
	return entries
}

// askSpread is over how long the waiters spread their questions to a master that is
// back, lest they all ask it in one moment.
const askSpread = time.Millisecond

// listen subscribes to a master, again and again, until the inbox is closed.
func (b *inbox) listen(master int) {
	for pause := firstRelisten; ; pause = min(2*pause, longestRelisten) {
		began := b.manager.opts.Clock.Now()
		_ = sheltered(func() error { b.session(master); return nil }) // a session that failed, like others
		b.subscribed[master].over()
		if b.manager.opts.Clock.Now().Sub(began) > longestRelisten {
			pause = firstRelisten
		}
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// session is one subscription, for as long as its connection lasts.
func (b *inbox) session(master int) {
	alive, cancel := context.WithCancel(b.ctx)
	defer cancel()
	b.subscribed[master].end.Store(&cancel)
	// A PubSub that connects cannot be closed, so its context has to end that.
	ctx := context.WithValue(alive, endsConnection{}, alive)
	sub := b.manager.masters[master].client.Subscribe(ctx)
	receiving := false
	defer func() {
		// go-redis holds a lock that Close waits for while it dials anew in the middle of
		// receiving, and does not let go of it if a hook panics there.
		if !receiving {
			_ = sub.Close() // nothing is left to be said on it
		}
	}()
	if b.subscribe(ctx, sub) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = sheltered(sub.Close) })
	defer stop()
	for asked := false; ; {
		receiving = true
		message, err := sub.ReceiveTimeout(ctx, listenPing)
		receiving = false
		silent := isTimeout(err)
		if silent && !asked {
			err = sub.Ping(ctx)
		}
		if err != nil {
			return
		}
		asked = silent
		switch message := message.(type) {
		case *redis.Subscription:
			b.connected(master)
		case *redis.Message:
			b.deliver(master, message.Payload)
		}
	}
}

// subscribe connects, for no longer than a call may take: what waits for its context
// would wait for ever otherwise.
func (b *inbox) subscribe(ctx context.Context, sub *redis.PubSub) error {
	ctx, cancel := context.WithTimeout(ctx, b.manager.opts.AttemptTimeout)
	defer cancel()
	return sub.Subscribe(ctx, b.channel)
}

// endsConnection is the key to the context whose end is to end the connections that
// are dialled with it: not the one they are dialled with itself, which ends as soon
// as they are made. The clients of Open heed it.
type endsConnection struct{}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// close ends the subscriptions, and waits a moment for them, until ctx ends at the
// latest. One that is stuck in a client of the caller's ends with that client's call,
// and nothing depends on it.
func (b *inbox) close(ctx context.Context) {
	b.mu.Lock()
	b.closed = true
	open := b.open
	b.mu.Unlock()
	b.cancel()
	if !open {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeMoment)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.group.Wait() // they return no error
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
