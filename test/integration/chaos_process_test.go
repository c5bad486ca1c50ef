package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// chaosProcess is a client process.
type chaosProcess struct {
	setup  chaosSetup
	record *chaosRecord
	cmd    *exec.Cmd
	stdin  io.Closer
	output bytes.Buffer  // output of the process; readable once ended is closed
	ended  chan struct{} // closed when the process is gone and all its events are read
	err    error         // the result of the process
}

func startChaosProcess(record *chaosRecord, setup chaosSetup) (*chaosProcess, error) {
	setup.Holder = fmt.Sprintf("process %d", setup.ProcessID)
	text, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	events, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &chaosProcess{setup: setup, record: record, ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestChaosClient$")
	p.cmd.Env = append(os.Environ(), chaosVariable+"="+string(text))
	p.cmd.ExtraFiles = []*os.File{writer}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	dieWithTest(p.cmd)
	p.stdin, err = p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	_ = writer.Close()
	if err != nil {
		_ = events.Close()
		return nil, err
	}
	go func() {
		record.read(setup.Holder, events)
		_ = events.Close()
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *chaosProcess) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *chaosProcess) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// killWhileHolding kills the process while it holds a lock, if it acquires one soon. It returns the
// number of locks that it held.
func (p *chaosProcess) killWhileHolding(now func() time.Duration) (held int, err error) {
	for range 500 {
		if held = p.record.holdCount(p.setup.Holder, now()); held > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	err = p.cmd.Process.Kill()
	<-p.ended
	return held, err
}

// quit stops the process gracefully and waits for it.
func (p *chaosProcess) quit() {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(quitTimeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // prints the stacks of all goroutines
		<-p.ended
		p.record.violation("%s has not stopped after %v", p.setup.Holder, quitTimeout)
	}
	if p.err != nil {
		p.record.violation("%s: %v\n%s", p.setup.Holder, p.err, p.output.Bytes())
	}
}

// quitTimeout is how long a process may take to stop: to end its calls, then to close its Manager.
const quitTimeout = 15 * time.Second
