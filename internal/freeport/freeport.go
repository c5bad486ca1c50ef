// Package freeport chooses TCP ports on loopback for test servers that must keep their address when they are
// stopped and started again.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range lies below the ephemeral ports of every usual system (Linux starts at 32768). A port that the
// kernel handed out for `:0` can be taken by anybody's outgoing connection while its server is down, and a
// client that dials it then may even reach itself: TCP connects a socket to its own port.
const lowest, highest = 20000, 32000

// Pick returns a port that nothing listened on a moment ago. It is not reserved: whoever starts a server on it
// must be ready to find it taken and pick again.
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
