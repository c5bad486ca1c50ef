package main

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/internal/netdelay"
)

// A relay is one proxy per server, between it and the clients. It counts the commands that pass.
type relay struct {
	proxies []*netdelay.Proxy
	passed  atomic.Int64
}

// newRelay returns a relay that delays each direction.
func newRelay(targets []string, delay time.Duration) (*relay, error) {
	r := &relay{}
	for _, target := range targets {
		p, err := netdelay.New(target, delay, r.counter)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.proxies = append(r.proxies, p)
	}
	return r, nil
}

// counter returns a writer that counts the commands of one connection.
func (r *relay) counter() io.Writer {
	return &respCounter{commands: func() { r.passed.Add(1) }}
}

func (r *relay) addresses() (addresses []string) {
	for _, p := range r.proxies {
		addresses = append(addresses, p.Addr())
	}
	return addresses
}

// commands returns the number of commands that have passed.
func (r *relay) commands() int64 { return r.passed.Load() }

func (r *relay) close() error {
	var errs []error
	for _, p := range r.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
