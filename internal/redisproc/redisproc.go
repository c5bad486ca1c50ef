// Package redisproc runs redis-server processes for tests and benchmarks. The masters are real,
// have no container network between them and the client, start in a few milliseconds, and can be
// stopped by signals.
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

// startTimeout bounds a start and a shutdown. Both take milliseconds, but a shared CI machine may
// need seconds.
const startTimeout = 15 * time.Second

// program is the name of the server on PATH.
const program = "redis-server"

// A Proc is one redis-server process on a loopback port. The port stays the same across restarts.
// Only Restart writes to disk.
//
// Addr and URL are safe for concurrent use. The other methods must not be called concurrently.
type Proc struct {
	bin  string // the redis-server program
	dir  string // the working directory, where Restart saves the keys
	port int
	tls  *Certificates // nil if the port is for plain TCP

	mu  sync.Mutex // guards run
	run *run
}

// Option changes how a master is started.
type Option func(*Proc)

// TLS makes the master's port one for TLS, with the server's certificate. Clients need a
// certificate of the same authority.
func TLS(c *Certificates) Option { return func(p *Proc) { p.tls = c } }

// Start starts n independent masters and waits until they answer. It kills them when the test ends.
// On Linux they also die if the test process crashes.
//
// Without redis-server on PATH, Start skips the test. With REQUIRE_REDIS=1 it fails the test
// instead.
func Start(tb testing.TB, n int, opts ...Option) []*Proc {
	tb.Helper()
	lookUp(tb)
	procs := make([]*Proc, n)
	for i := range procs {
		p, err := Launch(tb.TempDir(), opts...)
		if err != nil {
			tb.Fatalf("start master %d of %d: %v", i, n, err)
		}
		tb.Cleanup(func() { _ = p.Kill() }) // an error means that it is already gone
		procs[i] = p
	}
	return procs
}

// lookUp finds redis-server on PATH. Without it, lookUp skips or fails the test; see Start.
func lookUp(tb testing.TB) (bin string) {
	tb.Helper()
	bin, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			tb.Fatalf("REQUIRE_REDIS=1, but no redis-server on PATH: %v", err)
		}
		tb.Skipf("no redis-server on PATH (set REQUIRE_REDIS=1 to fail instead)")
	}
	return bin
}

// AtLeast reports whether the redis-server on PATH has at least the given version. Tests use it for
// features that older servers lack. Valkey counts by its own version: its first release, 7.2, has
// all features of Redis 7.2.
//
// Without redis-server on PATH, AtLeast skips or fails the test, as Start does.
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

// parseVersion returns the major and minor version from text like "Redis server v=7.0.15 sha=…" or
// "Valkey server v=8.0.1 …".
func parseVersion(text string) ([]int, error) {
	_, version, _ := strings.Cut(text, " v=")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return nil, fmt.Errorf("redisproc: no version in %q: %w", text, err)
	}
	return []int{major, minor}, nil
}

// Launch starts one master with dir as its working directory and waits until it answers. It is for
// programs that are not tests. The caller must kill the master. Without redis-server on PATH, the
// error wraps exec.ErrNotFound.
func Launch(dir string, opts ...Option) (*Proc, error) {
	bin, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("redisproc: %w", err)
	}
	p := &Proc{bin: bin, dir: dir}
	for _, opt := range opts {
		opt(p)
	}
	if err := p.startAnywhere(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr returns the master's host:port.
func (p *Proc) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// URL returns the master's address as a redis:// URL, or as a rediss:// URL if it serves TLS.
func (p *Proc) URL() string {
	if p.tls != nil {
		return "rediss://" + p.Addr()
	}
	return "redis://" + p.Addr()
}

// Signal sends sig to the process. SIGSTOP makes the master hang: the kernel still accepts
// connections and data, as it does for a stuck process. SIGCONT resumes it.
func (p *Proc) Signal(sig os.Signal) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("redisproc: signal %s: %w", p.Addr(), os.ErrProcessDone)
	}
	return r.cmd.Process.Signal(sig)
}

// Kill kills the process, even a stopped one, and waits until it is gone. The keys in memory are
// lost. Connections are refused until Restart.
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

// Restart starts the master again on the same address. It first ends the process if it is running.
// With wipe, the master comes back empty. Otherwise a running master saves its keys and comes back
// with them, and a killed one comes back with the keys that the last Restart saved. A master
// stopped by SIGSTOP cannot save, so it must be resumed first.
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
	// A successful shutdown closes the connection without a reply, so only the end of the process
	// confirms it.
	reply := c.ShutdownSave(ctx)
	select {
	case <-r.done:
		p.set(nil)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shutdown: %w", errors.Join(ctx.Err(), reply.Err()))
	}
}

// startAnywhere picks a port and starts the master. If another process takes the port first, it
// tries another one.
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
	args := append(p.portArgs(),
		"--bind", "127.0.0.1",
		"--dir", p.dir,
		"--save", "",
		"--appendonly", "no",
		"--loglevel", "warning",
		"--daemonize", "no",
	)
	r := launch(exec.Command(p.bin, args...))
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

// portArgs returns the arguments that open the port.
func (p *Proc) portArgs() []string {
	port := strconv.Itoa(p.port)
	if p.tls == nil {
		return []string{"--port", port}
	}
	return []string{
		"--port", "0", "--tls-port", port, "--tls-auth-clients", "yes", "--tls-ca-cert-file", p.tls.file("ca.crt"),
		"--tls-cert-file", p.tls.file("server.crt"), "--tls-key-file", p.tls.file("server.key"),
	}
}

// ready waits until this very process answers. Another process may have taken the port in the last
// millisecond, and would answer instead.
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
	for c.Ping(ctx).Err() != nil { // still loading
		if err := r.wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// dialable waits for the listener. It dials without go-redis, which logs every failed dial.
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
	opts := &redis.Options{
		Addr:                  p.Addr(),
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
	}
	if p.tls != nil {
		opts.TLSConfig = p.tls.Config()
	}
	return redis.NewClient(opts)
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

// A run is one execution of the program.
type run struct {
	cmd    *exec.Cmd
	err    error         // error of the start; set before launch returns
	done   chan struct{} // closed when the process is gone and output is complete
	output bytes.Buffer  // readable once done is closed
}

// launch starts cmd on its own OS thread and keeps that thread until the process is gone. The
// kernel sends the parent-death signal when the thread that started the child ends, not only when
// our process ends.
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
			_ = cmd.Wait() // ignored: the process was killed, or its output says what failed
		}
	}()
	<-started
	return r
}

// wait waits for d. It returns an error if the process or ctx ends first.
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
