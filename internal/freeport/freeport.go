// Package freeport picks TCP ports on loopback for test servers that must keep their address across
// restarts.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range lies below the ephemeral ports of every common system (Linux starts at 32768). While a
// server is down, any outgoing connection may take a port that the kernel picked for ":0". A client
// that then dials the port may even reach itself, because TCP can connect a socket to its own port.
const lowest, highest = 20000, 32000

// Pick returns a port that nobody listened on a moment ago. It does not reserve the port. A caller
// that finds the port taken must pick again.
func Pick() (int, error) {
	const tries = 100
	var errs []error
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("freeport: %w", err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("freeport: no free port in %d tries: %w", tries, errors.Join(errs...))
}
