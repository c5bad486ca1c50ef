package redisconn

import "github.com/redis/go-redis/v9"

// fewConnections may be used even if they are more than half of a client's pool.
const fewConnections = 4

// Connections returns how many calls to the master should be in flight at most. A call for which
// the client has no connection waits in the client, where it cannot join a batch anymore. Half of a
// large pool is left to others who use the client.
func (m *Master) Connections() int {
	pool, active := 0, 0
	switch c := m.client.(type) {
	case *redis.Client:
		pool, active = c.Options().PoolSize, c.Options().MaxActiveConns
	case *redis.ClusterClient:
		pool, active = c.Options().PoolSize, c.Options().MaxActiveConns
	case *redis.Ring:
		pool, active = c.Options().PoolSize, c.Options().MaxActiveConns
	}
	if pool <= 0 { // the client does not say
		pool = fewConnections
	}
	if active > 0 {
		pool = min(pool, active)
	}
	return max(min(pool, fewConnections), pool/2) //mutant:half-the-pool
}
