package redisconn

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Listener is told what comes on a channel.
type Listener interface {
	// Subscribed is called once messages are received, and again whenever the client has
	// reconnected by itself: messages may have been missed.
	Subscribed()
	// Received is called with each message.
	Received(payload string)
}

// idlePing is how long a connection may be silent before it is pinged. It is given up if it does
// not answer for as long again.
const idlePing = 10 * time.Second

// Subscribe listens on a channel of the master for as long as the connection lasts. It returns
// when the connection is lost, when the client panics, or when ctx ends.
func (m *Master) Subscribe(ctx context.Context, channel string, l Listener) {
	// A session that panicked has ended like any other.
	_ = sheltered(func() error { m.subscribe(ctx, channel, l); return nil })
}

func (m *Master) subscribe(ctx context.Context, channel string, l Listener) {
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	// A PubSub that is connecting cannot be closed, so its context has to end the connecting.
	ctx = context.WithValue(alive, endsConnection{}, alive)
	sub := m.client.Subscribe(ctx)
	receiving := false
	defer func() {
		// While it reconnects in the middle of receiving, go-redis holds a lock that Close waits
		// for, and never lets go of it if a hook panics there.
		if !receiving {
			_ = sub.Close() // nothing is left to be said on it
		}
	}()
	if m.connect(ctx, sub, channel) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = sheltered(sub.Close) })
	defer stop()
	for pinged := false; ; {
		receiving = true
		message, err := sub.ReceiveTimeout(ctx, idlePing)
		receiving = false
		silent := isTimeout(err)
		if silent && !pinged {
			err = sub.Ping(ctx)
		}
		if err != nil {
			return
		}
		pinged = silent
		switch message := message.(type) {
		case *redis.Subscription:
			l.Subscribed()
		case *redis.Message:
			l.Received(message.Payload)
		}
	}
}

// connect subscribes, for no longer than a call may take. A client that waits for its context
// would otherwise wait forever.
func (m *Master) connect(ctx context.Context, sub *redis.PubSub, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout) //mutant:subscribing-ends
	defer cancel()
	return sub.Subscribe(ctx, channel)
}

// endsConnection is the key under which a context carries another one, whose end closes the
// connections that are dialed with the first. The first ends as soon as they are made, so it
// cannot serve itself. The dialer of Open's clients heeds it.
type endsConnection struct{}

// closeAtEnd closes conn when the context ends that ctx carries under endsConnection.
func closeAtEnd(ctx context.Context, conn net.Conn) {
	if alive, ok := ctx.Value(endsConnection{}).(context.Context); ok {
		context.AfterFunc(alive, func() { _ = conn.Close() }) // whoever uses it gets the error //mutant:subscription-ends
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
