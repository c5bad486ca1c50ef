package redisconn

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// Survey is what a master's server says about itself. What it does not say, or may not be asked by
// this user, is missing.
type Survey struct {
	Info    map[string]string // the fields of INFO
	InfoErr error             // why they are missing
	Fsync   string            // appendfsync
	// FsyncErr is why it is missing. It is only asked for if the server has an append-only file.
	FsyncErr error
	Marker   string // of the restart guard; "" for none

	// Time is the server's time, in microseconds. It was read between Sent and Received.
	Time           int64
	Sent, Received clock.Instant
}

// Single reports whether the master is a single server, which can be surveyed.
func (m *Master) Single() bool { return m.identity.kind == plain }

// SurveyScope says what a Survey asks for besides INFO and TIME.
type SurveyScope struct {
	Marker        bool
	Configuration bool
	Deep          bool // a person asks, and not a program every few seconds
}

// Survey asks the server about itself. The error says why it did not answer. Errors are not
// redacted.
//
// A server records what it denies. So INFO that was denied once is asked for again in a Deep survey
// only.
func (m *Master) Survey(ctx context.Context, scope SurveyScope) (Survey, error) {
	s, err := aside(ctx, m, func(ctx context.Context) (Survey, error) { return m.survey(ctx, scope) })
	if err != nil || !scope.Configuration || s.Info["aof_enabled"] != "1" {
		return s, err
	}
	s.Fsync, s.FsyncErr = aside(ctx, m, m.fsync)
	return s, nil
}

func (m *Master) survey(ctx context.Context, scope SurveyScope) (s Survey, err error) {
	pipe := m.client.Pipeline()
	now, info, marker := pipe.Time(ctx), redis.NewStringCmd(ctx), redis.NewStringCmd(ctx)
	denied := m.deniedInfo.Load()
	if denied == nil || scope.Deep {
		info = pipe.Info(ctx)
	} else {
		info.SetErr(*denied)
	}
	if scope.Marker {
		marker = pipe.Get(ctx, wire.MarkerKey)
	}
	s.Sent = m.clock.Now()
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return s, err
	}
	s.Received = m.clock.Now()
	m.deniedInfo.Store(nil)
	if s.InfoErr = info.Err(); s.InfoErr == nil {
		s.Info = fields(info.Val())
	} else if strings.HasPrefix(s.InfoErr.Error(), "NOPERM") {
		m.deniedInfo.Store(&s.InfoErr) //mutant:info-denied
	}
	if now.Err() == nil {
		s.Time = now.Val().UnixMicro()
	}
	s.Marker = marker.Val() // whoever may not read it cannot use the guard either
	return s, nil
}

// fields parses the reply of INFO.
func fields(info string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			all[name] = value
		}
	}
	return all
}

func (m *Master) fsync(ctx context.Context) (string, error) {
	reply, err := m.client.ConfigGet(ctx, "appendfsync").Result()
	return reply["appendfsync"], err
}

// TryMessages subscribes to a channel of the master, publishes a message there, and waits for it.
// The error says what does not work.
func (m *Master) TryMessages(ctx context.Context, channel string) error {
	_, err := aside(ctx, m, func(ctx context.Context) (struct{}, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		e := &echo{ctx: ctx, end: cancel, client: m.client, channel: channel}
		err := m.subscribe(ctx, channel, e)
		switch {
		case e.received:
			err = nil
		case e.err != nil:
			err = e.err
		}
		return struct{}{}, err
	})
	return err
}

// echo is a Listener that waits for its own message. One goroutine uses it.
type echo struct {
	ctx      context.Context
	end      context.CancelFunc
	client   redis.UniversalClient
	channel  string
	received bool
	err      error
}

// Subscribed publishes the message.
func (e *echo) Subscribed() {
	if e.err = e.client.Publish(e.ctx, e.channel, "").Err(); e.err != nil {
		e.end()
	}
}

// Received ends the subscription.
func (e *echo) Received(string) {
	e.received = true
	e.end()
}
