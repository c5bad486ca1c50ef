package redlockprom_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/leaktest"
)

// silent keeps go-redis from logging failed dials. Tests stop masters.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	leaktest.Main(m)
}
