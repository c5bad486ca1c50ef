package netdelay

import (
	"io"
	"time"
)

// NewLine returns the functions of a line whose sleeper sleeps as Go does.
func NewLine(delay time.Duration) (forward func(to io.Writer, from io.Reader), stop func()) {
	l := newLine(delay, coarse{})
	return l.forward, l.close
}

type coarse struct{}

func (coarse) sleep(d time.Duration) { time.Sleep(d) }
func (coarse) close()                {}

// Sleep sleeps with a sleeper of its own.
func Sleep(d time.Duration) error {
	s, err := newSleeper()
	if err != nil {
		return err
	}
	s.sleep(d)
	s.close()
	return nil
}
