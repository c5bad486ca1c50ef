package quorumtest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// pipe is the client's end of an in-memory connection. Once the master has
// closed its end it behaves as a socket does, where net.Pipe is stricter:
// deadlines can still be set, so that a client gets to read the EOF, and a write
// fails as one to a connection that was reset.
type pipe struct{ net.Conn }

func (p pipe) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "pipe", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return n, err
}

func (p pipe) SetDeadline(t time.Time) error      { return unlessClosed(p.Conn.SetDeadline(t)) }
func (p pipe) SetReadDeadline(t time.Time) error  { return unlessClosed(p.Conn.SetReadDeadline(t)) }
func (p pipe) SetWriteDeadline(t time.Time) error { return unlessClosed(p.Conn.SetWriteDeadline(t)) }

func unlessClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
