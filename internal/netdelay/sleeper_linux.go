package netdelay

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerfd is a timer of the kernel that is read like a file.
type timerfd struct {
	fd   int // of file, which would make it blocking when asked for it
	file *os.File
}

func newSleeper() (sleeper, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &timerfd{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

// sleep sleeps for d, which must be positive.
func (t *timerfd) sleep(d time.Duration) {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if err := unix.TimerfdSettime(t.fd, 0, &once, nil); err != nil {
		time.Sleep(d) // it cannot fail with these arguments
		return
	}
	var expirations [8]byte
	_, _ = t.file.Read(expirations[:]) // nobody closes it meanwhile
}

func (t *timerfd) close() { _ = t.file.Close() } // nothing was written
