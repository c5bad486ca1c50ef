package redisconn

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/vote"
)

// Check returns an error if there are no masters or too many, or if they are not independent of
// each other, as far as their clients show. guarded means that the restart guard is on. The guard
// tracks single servers, so Check then refuses clients of several servers.
func Check(masters []redis.UniversalClient, guarded bool) error {
	switch n := len(masters); {
	case n == 0:
		return errors.New("quorum: no masters")
	case n > vote.MaxMasters:
		return fmt.Errorf("quorum: %d masters, but at most %d can be used", n, vote.MaxMasters)
	}
	seen := independence{clients: map[redis.UniversalClient]int{}, addresses: map[string]int{}}
	for i, client := range masters {
		if isNil(client) {
			return fmt.Errorf("quorum: master %d is nil", i)
		}
		id := identify(client, i)
		if err := usable(id, client, i, guarded); err != nil {
			return err
		}
		if err := seen.add(id, client, i); err != nil {
			return err
		}
	}
	return nil
}

func isNil(client redis.UniversalClient) bool {
	if client == nil {
		return true
	}
	v := reflect.ValueOf(client)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// usable returns an error for kinds of clients that cannot be used.
func usable(id identity, client redis.UniversalClient, i int, guarded bool) error {
	switch {
	case id.kind == batching:
		return fmt.Errorf("quorum: master %d is a %T: pass the client that it was made from; locks are pipelined anyway", i, client)
	case guarded && (id.kind == cluster || id.kind == ring): // one marker covers only one server
		return fmt.Errorf("quorum: master %d is a %T, which RestartGuard does not support", i, client)
	}
	return nil
}

// independence maps the clients and addresses seen so far to their masters.
type independence struct {
	clients   map[redis.UniversalClient]int
	addresses map[string]int
}

func (s *independence) add(id identity, client redis.UniversalClient, i int) error {
	if reflect.ValueOf(client).Comparable() { // a wrapper may not be
		if first, dup := s.clients[client]; dup {
			return fmt.Errorf("quorum: masters %d and %d are the same client", first, i)
		}
		s.clients[client] = i
	}
	for _, address := range id.addresses {
		if first, dup := s.addresses[address]; dup && first != i { //mutant:same-address
			return fmt.Errorf("quorum: masters %d and %d have the same address %s", first, i, address)
		}
		s.addresses[address] = i
	}
	return nil
}
