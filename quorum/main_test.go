package quorum_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/leaktest"
)

// silentLogger keeps go-redis from logging failed dials to standard error. Many tests cause them.
type silentLogger struct{}

func (silentLogger) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silentLogger{})
	leaktest.Main(m)
}
