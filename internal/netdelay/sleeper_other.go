//go:build !linux

package netdelay

import "time"

// ticks sleeps as exactly as Go does.
type ticks struct{}

func newSleeper() (sleeper, error) { return ticks{}, nil }

func (ticks) sleep(d time.Duration) { time.Sleep(d) }
func (ticks) close()                {}
