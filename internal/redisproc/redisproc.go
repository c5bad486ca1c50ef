// Package redisproc runs plain redis-server processes for tests and benchmarks: real masters without a
// container's network between them and the client, started in a few milliseconds, and stoppable by signals.
package redisproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/freeport"
	"github.com/redis/go-redis/v9"
)

// startTimeout bounds a start and a shutdown. Both take milliseconds; a shared CI machine may need seconds.
const startTimeout = 15 * time.Second

// program is what is run, from wherever PATH has it.
const program = "redis-server"

// A Proc is one redis-server process on a loopback port that stays the same for the Proc's life. It keeps nothing
// on disk but what Restart saves. Addr and URL may be called by anybody at any time; one goroutine at a time
// may signal, kill and restart a Proc.
type Proc struct {
	bin  string // the redis-server program
	dir  string // its working directory, where Restart saves
	port int

	mu  sync.Mutex // guards run
	run *run
}

// Start starts n independent masters and waits until they answer. They are killed when the test ends, also
// where it ends by a crash (on Linux).
//
// Without redis-server on PATH the test is skipped, except when REQUIRE_REDIS=1: then it fails.
func Start(tb testing.TB, n int) []*Proc {
	tb.Helper()
	lookUp(tb)
	procs := make([]*Proc, n)
	for i := range procs {
		p, err := Launch(tb.TempDir())
		if err != nil {
			tb.Fatalf("start master %d of %d: %v", i+1, n, err)
		}
		tb.Cleanup(func() { _ = p.Kill() }) // an error means that it is gone already
		procs[i] = p
	}
	return procs
}

// lookUp finds redis-server on PATH, or skips the test or fails it.
func lookUp(tb testing.TB) (bin string) {
	tb.Helper()
	bin, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			tb.Fatalf("REQUIRE_REDIS=1, but there is no redis-server on PATH: %v", err)
		}
		tb.Skipf("no redis-server on PATH (set REQUIRE_REDIS=1 to fail instead)")
	}
	return bin
}

// AtLeast tells whether the redis-server on PATH has this version or a later one, for tests of what older ones
// lack. A Valkey counts by its own version; its first, 7.2, has all of Redis 7.2.
//
// Without redis-server on PATH it does what Start does.
func AtLeast(tb testing.TB, major, minor int) bool {
	tb.Helper()
	output, err := exec.Command(lookUp(tb), "--version").Output()
	if err != nil {
		tb.Fatalf("redis-server --version: %v", err)
	}
	got, err := parseVersion(string(output))
	if err != nil {
		tb.Fatal(err)
	}
	return slices.Compare(got, []int{major, minor}) >= 0
}

// parseVersion reads the major and minor version from "Redis server v=7.0.15 sha=…" or "Valkey server v=8.0.1 …".
func parseVersion(text string) ([]int, error) {
	_, version, _ := strings.Cut(text, " v=")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return nil, fmt.Errorf("redisproc: no version in %q: %w", text, err)
	}
	return []int{major, minor}, nil
}

// Launch starts one master with dir as its working directory and waits until it answers, for programs that are no
// tests. Whoever launched it kills it. Without redis-server on PATH the error is exec.ErrNotFound.
func Launch(dir string) (*Proc, error) {
	bin, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("redisproc: %w", err)
	}
	p := &Proc{bin: bin, dir: dir}
	if err := p.startAnywhere(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr returns the master's host:port.
func (p *Proc) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// URL returns the master's address as a redis:// URL.
func (p *Proc) URL() string { return "redis://" + p.Addr() }

// Signal sends sig to the process. SIGSTOP makes the master hang: its kernel goes on accepting connections and
// data, as it does for a process that is stuck. SIGCONT lets it go on.
func (p *Proc) Signal(sig os.Signal) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("redisproc: signal %s: %w", p.Addr(), os.ErrProcessDone)
	}
	return r.cmd.Process.Signal(sig)
}

// Kill ends the process at once, stopped or not, and returns when it is gone. Its memory is lost, and
// connections to it are refused until Restart.
func (p *Proc) Kill() error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("redisproc: kill %s: %w", p.Addr(), os.ErrProcessDone)
	}
	err := r.cmd.Process.Kill()
	<-r.done
	p.set(nil)
	return err
}

// Restart starts the master again on the same address, killing or shutting it down first if it runs. With wipe
// it comes back empty. Without, a running master saves its keys and comes back with them, and a killed one comes
// back with what the last Restart saved. A master stopped by SIGSTOP cannot save: continue it first.
func (p *Proc) Restart(wipe bool) error {
	if err := p.stop(wipe); err != nil {
		return fmt.Errorf("redisproc: restart %s: %w", p.Addr(), err)
	}
	if wipe {
		if err := os.RemoveAll(filepath.Join(p.dir, "dump.rdb")); err != nil {
			return fmt.Errorf("redisproc: restart %s: %w", p.Addr(), err)
		}
	}
	return p.start()
}

func (p *Proc) stop(wipe bool) error {
	r := p.current()
	switch {
	case r == nil:
		return nil
	case wipe:
		return p.Kill()
	}

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c := p.client()
	defer func() { _ = c.Close() }()
	// A client hears of a shutdown only by its connection's end, so the process is asked whether it worked.
	reply := c.ShutdownSave(ctx)
	select {
	case <-r.done:
		p.set(nil)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shutdown: %w", errors.Join(ctx.Err(), reply.Err()))
	}
}

// startAnywhere chooses the port. It tries others when somebody else was faster.
func (p *Proc) startAnywhere() error {
	const tries = 5
	var errs []error
	for range tries {
		var err error
		if p.port, err = freeport.Pick(); err != nil {
			return err
		}
		if err = p.start(); err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *Proc) start() error {
	r := launch(exec.Command(p.bin,
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(p.port),
		"--dir", p.dir,
		"--save", "",
		"--appendonly", "no",
		"--loglevel", "warning",
		"--daemonize", "no",
	))
	p.set(r)
	if err := p.ready(r); err != nil {
		if r.cmd.Process != nil {
			_ = r.cmd.Process.Kill()
			<-r.done
		}
		p.set(nil)
		return fmt.Errorf("redisproc: start %s: %w: %s", p.Addr(), err, strings.TrimSpace(r.output.String()))
	}
	return nil
}

// ready waits until this very process answers: on a port that was taken by somebody else in the last
// millisecond another one would.
func (p *Proc) ready(r *run) error {
	if r.err != nil {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := p.dialable(ctx, r); err != nil {
		return err
	}
	c := p.client()
	defer func() { _ = c.Close() }()
	info, err := c.InfoMap(ctx, "server").Result()
	if err != nil {
		return err
	}
	if got, want := info["Server"]["process_id"], strconv.Itoa(r.cmd.Process.Pid); got != want {
		return fmt.Errorf("the port belongs to another redis-server (process %s, not %s)", got, want)
	}
	for c.Ping(ctx).Err() != nil { // LOADING
		if err := r.wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// dialable waits for the listener with a bare dial, because go-redis logs every dial that fails.
func (p *Proc) dialable(ctx context.Context, r *run) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Addr())
		if err == nil {
			return conn.Close()
		}
		if err := r.wait(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *Proc) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                  p.Addr(),
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
	})
}

func (p *Proc) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (p *Proc) set(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run = r
}

// A run is one life of a process.
type run struct {
	cmd    *exec.Cmd
	err    error         // of the start; set before launch returns
	done   chan struct{} // closed when the process is gone and output complete
	output bytes.Buffer  // may be read once done is closed
}

// launch starts cmd on a thread of its own and keeps that thread until the process is gone: the parent-death
// signal is sent when the thread that started a process ends, not only when our process does.
func launch(cmd *exec.Cmd) *run {
	r := &run{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &r.output, &r.output
	cmd.SysProcAttr = dieWithParent()
	started := make(chan struct{})
	go func() {
		defer close(r.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r.err = cmd.Start()
		close(started)
		if r.err == nil {
			_ = cmd.Wait() // how it ended is of no interest: it was killed, or its output says why
		}
	}()
	<-started
	return r
}

// wait passes d, or returns an error when there is nothing left to wait for.
func (r *run) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-r.done:
		return errors.New("redis-server ended")
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
