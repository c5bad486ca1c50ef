package redisconn

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/wire"
)

// introduce returns a hook that tells the master a connection's name, as CLIENT LIST shows it.
//
// HELLO sets a name and needs no right to do so. go-redis' own ClientName option sends CLIENT
// SETNAME as well, and gives the connection up if that is refused. A master that does not know
// HELLO is older than access rights. A name that is refused all the same does not matter.
func introduce(name string, protocol int) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error {
		err := conn.Hello(ctx, protocol, "", "", name).Err()
		if isRefusal(err) { //mutant:name-by-setname
			err = conn.ClientSetName(ctx, name).Err()
		}
		if isRefusal(err) { //mutant:name-refused
			return nil
		}
		return err
	}
}

// isRefusal reports whether err is a master's answer.
func isRefusal(err error) bool {
	var ofMaster wire.MasterError
	return errors.As(err, &ofMaster)
}
