package redisconn

import (
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// kind distinguishes clients that need different treatment.
type kind uint8

const (
	plain kind = iota // one server, perhaps found through Sentinel, or a wrapper around some client
	cluster
	ring
	batching // an AutoPipeliner, which sends calls through another client
)

// identity is what is known about a client without asking its master.
type identity struct {
	kind      kind
	name      string   // as shown in errors and reports
	addresses []string // where it connects to, as far as it shows
	password  string
	database  int
}

// sentinelAddr is the address that go-redis reports if Sentinel determines the real one.
const sentinelAddr = "FailoverClient"

func identify(client redis.UniversalClient, index int) identity {
	id := identity{name: fmt.Sprintf("master %d", index)}
	switch c := client.(type) {
	case *redis.Client:
		id.password, id.database = c.Options().Password, c.Options().DB
		if addr := c.Options().Addr; addr == sentinelAddr {
			id.name = fmt.Sprintf("master %d (by Sentinel)", index)
		} else {
			id.name, id.addresses = addr, []string{canonical(addr)}
		}
	case *redis.ClusterClient:
		id.kind, id.password = cluster, c.Options().Password
		id.name = "cluster " + strings.Join(c.Options().Addrs, ",")
		for _, addr := range c.Options().Addrs {
			id.addresses = append(id.addresses, canonical(addr))
		}
	case *redis.Ring:
		id.kind, id.password = ring, c.Options().Password
		for _, addr := range c.Options().Addrs {
			id.addresses = append(id.addresses, canonical(addr))
		}
	case *redis.AutoPipeliner:
		id.kind = batching
	}
	return id
}

// canonical makes the usual spellings of one address equal.
func canonical(addr string) string {
	if strings.HasPrefix(addr, "/") { // a socket's path, which is case-sensitive
		return addr
	}
	addr = strings.ToLower(addr)
	for _, host := range []string{"localhost:", "[::1]:"} {
		if port, ok := strings.CutPrefix(addr, host); ok {
			return "127.0.0.1:" + port
		}
	}
	return addr
}
