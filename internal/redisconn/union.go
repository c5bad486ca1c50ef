package redisconn

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/vote"
)

// Union checks the masters of a set, and those of another set while the set of masters is changed;
// joint is empty if it is not. It returns each master once, those of set first, and the quorum
// system. A master is in both sets if both have its client, or clients with one address. It is then
// reached through the client in set.
func Union(set, joint []redis.UniversalClient, guarded bool) ([]redis.UniversalClient, vote.System, error) {
	if err := Check(set, guarded); err != nil {
		return nil, vote.System{}, err
	}
	if len(joint) == 0 {
		return set, vote.Majority(len(set)), nil
	}
	if err := Check(joint, guarded); err != nil {
		return nil, vote.System{}, errors.New("quorum: options: Joint: " + strings.TrimPrefix(err.Error(), "quorum: "))
	}
	all := slices.Clone(set)
	var members vote.Set
	for i, client := range joint {
		at, err := find(all[:len(set)], client)
		if err != nil {
			return nil, vote.System{}, fmt.Errorf("quorum: options: Joint: master %d %w", i, err)
		}
		if at < 0 {
			at, all = len(all), append(all, client)
		}
		if at >= vote.MaxMasters {
			return nil, vote.System{}, fmt.Errorf("quorum: more than %d masters in both sets", vote.MaxMasters)
		}
		if members.Has(at) {
			return nil, vote.System{}, fmt.Errorf("quorum: options: Joint: master %d is master %d of the other set, and so is another one", i, at)
		}
		members |= vote.Only(at)
	}
	return all, vote.Joint(vote.Majority(len(set)).All(), members), nil
}

// find returns the index of the master that client connects to, or -1.
func find(masters []redis.UniversalClient, client redis.UniversalClient) (int, error) {
	id := identify(client, 0)
	for i, other := range masters {
		if reflect.ValueOf(other).Comparable() && other == client {
			return i, nil
		}
		known := identify(other, 0)
		shares := func(address string) bool { return slices.Contains(known.addresses, address) }
		switch {
		case !slices.ContainsFunc(id.addresses, shares):
		case id.kind != known.kind:
			return 0, fmt.Errorf("has the address %s of master %d of the other set, but is a %T instead of a %T", id.addresses[0], i, client, other)
		case id.database != known.database:
			return 0, errors.New("has the address of a master of the other set, but another database")
		default:
			return i, nil
		}
	}
	return -1, nil
}
