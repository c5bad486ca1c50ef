package fakeclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/fakeclock"
)

func TestClock(t *testing.T) {
	var c fakeclock.Clock
	start := c.Now()
	c.Advance(time.Minute)
	c.Advance(time.Second)
	assert.Equal(t, 61*time.Second, c.Now().Sub(start))
	assert.Panics(t, func() { c.Advance(-1) })
}
