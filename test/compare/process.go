package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// A process is a running server process. On Linux it dies if this program crashes.
type process struct {
	cmd    *exec.Cmd
	err    error         // error of the start; set before startProcess returns
	done   chan struct{} // closed when the process is gone and output is complete
	output bytes.Buffer  // readable once done is closed
}

// startProcess starts cmd. It does so on an OS thread of its own, and keeps that thread until the
// process is gone: the kernel sends the parent-death signal when the starting thread ends.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &p.output
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	dieWithParent(cmd)
	started := make(chan struct{})
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p.err = cmd.Start()
		close(started)
		if p.err == nil {
			_ = cmd.Wait() // the output says what failed
		}
	}()
	<-started
	return p, p.err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// kill kills the process and waits until it is gone.
func (p *process) kill() error {
	err := p.signal(os.Kill)
	<-p.done
	return err
}

// stop ends the process with a signal that it obeys, or kills it if it does not.
func (p *process) stop(sig os.Signal) error {
	if err := p.signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(startTimeout):
		return p.kill()
	}
}

// startTimeout bounds a start. It takes a second or two, but a shared machine may need longer.
const startTimeout = time.Minute

// wait waits until check succeeds. It fails if the process or ctx ends first.
func (p *process) wait(ctx context.Context, check func(ctx context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		err := check(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the process ended: %s", strings.TrimSpace(p.output.String()))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
