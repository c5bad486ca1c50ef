package redisconn_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisconn"
)

// Calls to a master leave half of a large pool to others, and never wait for a connection.
func TestConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		client redis.UniversalClient
		want   int
	}{
		"large pool":       {redis.NewClient(&redis.Options{PoolSize: 40}), 20},
		"small pool":       {redis.NewClient(&redis.Options{PoolSize: 6}), 4},
		"three":            {redis.NewClient(&redis.Options{PoolSize: 3}), 3},
		"one":              {redis.NewClient(&redis.Options{PoolSize: 1}), 1},
		"limit":            {redis.NewClient(&redis.Options{PoolSize: 40, MaxActiveConns: 3}), 3},
		"cluster":          {redis.NewClusterClient(&redis.ClusterOptions{PoolSize: 20}), 10},
		"ring":             {redis.NewRing(&redis.RingOptions{PoolSize: 24}), 12},
		"ring by default":  {redis.NewRing(&redis.RingOptions{}), 4},
		"unknown wrapper":  {wrapper{redis.NewClient(&redis.Options{PoolSize: 40})}, 4},
		"limit of a shard": {redis.NewClusterClient(&redis.ClusterOptions{PoolSize: 20, MaxActiveConns: 1}), 1},
	} {
		masters := redisconn.Masters([]redis.UniversalClient{tt.client}, time.Second)
		assert.Equal(t, tt.want, masters[0].Connections(), name)
		require.NoError(t, tt.client.Close())
	}
}

// wrapper is a client that this library does not know.
type wrapper struct{ redis.UniversalClient }

// Open's clients have connections for all calls that may be in flight.
func TestDialedClientsHaveConnections(t *testing.T) {
	for url, want := range map[string]int{
		"redis://h": 16, "redis://h?pool_size=3": 3, "redis://h?pool_size=100": 50, "redis://h?max_active_conns=2": 2,
	} {
		clients, err := redisconn.Dial([]string{url}, time.Second, 16)
		require.NoError(t, err)
		assert.Equal(t, want, redisconn.Masters(clients, time.Second)[0].Connections(), url)
		require.NoError(t, redisconn.Close(clients))
	}
}
