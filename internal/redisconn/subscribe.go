package redisconn

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Listener receives the messages of a channel.
type Listener interface {
	// Subscribed is called once the subscription is confirmed, and again whenever the client has
	// reconnected on its own. Messages may have been missed before each call.
	Subscribed()
	// Received is called with each message.
	Received(payload string)
}

// idlePing is how long a connection may be silent before it is pinged. If it stays silent for as
// long again, it is given up.
const idlePing = 10 * time.Second

// Subscribe listens on a channel of the master for as long as the connection lasts. It returns
// when the connection is lost, when the client panics, or when ctx ends. The error says why.
func (m *Master) Subscribe(ctx context.Context, channel string, l Listener) error {
	// A session that panicked has ended like any other.
	return sheltered(func() error { return m.subscribe(ctx, channel, l) })
}

func (m *Master) subscribe(ctx context.Context, channel string, l Listener) error {
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	// A PubSub cannot be closed while it connects, so its context must end the connecting.
	ctx = context.WithValue(alive, endsConnection{}, alive)
	sub := m.client.Subscribe(ctx)
	receiving := false
	defer func() {
		// While it reconnects in the middle of receiving, go-redis holds a mutex that Close waits
		// for. If a hook panics there, go-redis never unlocks the mutex.
		if !receiving {
			_ = sub.Close() // nothing can be done about an error
		}
	}()
	if err := m.connect(ctx, sub, channel); err != nil {
		return err
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
			return err
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

// connect subscribes within the timeout of a call. A client that waits for its context to end would
// otherwise wait forever.
func (m *Master) connect(ctx context.Context, sub *redis.PubSub, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout) //mutant:subscribing-ends
	defer cancel()
	return sub.Subscribe(ctx, channel)
}

// endsConnection is a context key. Its value is a second context, whose end closes the connections
// that are dialed with the first. The first context ends as soon as they are made, so it cannot
// serve that purpose itself. The dialer of Open's clients honors the key.
type endsConnection struct{}

// closeAtEnd closes conn when the context under endsConnection in ctx ends.
func closeAtEnd(ctx context.Context, conn net.Conn) {
	if alive, ok := ctx.Value(endsConnection{}).(context.Context); ok {
		context.AfterFunc(alive, func() { _ = conn.Close() }) // its user gets the error //mutant:subscription-ends
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
