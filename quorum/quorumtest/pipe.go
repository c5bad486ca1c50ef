package quorumtest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// pipe is the client's end of an in-memory connection. Once the master has closed its end, pipe
// behaves like a socket, while net.Pipe is stricter. Deadlines can still be set, so that a client
// gets to read EOF. A write fails with EPIPE.
type pipe struct{ net.Conn }

func (p pipe) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "pipe", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return n, err
}

func (p pipe) SetDeadline(t time.Time) error      { return ignoreClosed(p.Conn.SetDeadline(t)) }
func (p pipe) SetReadDeadline(t time.Time) error  { return ignoreClosed(p.Conn.SetReadDeadline(t)) }
func (p pipe) SetWriteDeadline(t time.Time) error { return ignoreClosed(p.Conn.SetWriteDeadline(t)) }

func ignoreClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
