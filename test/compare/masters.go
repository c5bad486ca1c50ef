package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/redisproc"
)

// masterCount is the number of masters. Single-master libraries use the first one.
const masterCount = 5

// masters are independent Redis servers.
type masters struct {
	dir   string
	procs []*redisproc.Proc
	admin []*redis.Client
}

// startMasters starts the masters, with their files in a temporary directory.
func startMasters() (*masters, error) {
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	m := &masters{dir: dir}
	for i := range masterCount {
		home := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return nil, errors.Join(err, m.close())
		}
		p, err := redisproc.Launch(home)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.procs = append(m.procs, p)
		m.admin = append(m.admin, redis.NewClient(&redis.Options{Addr: p.Addr(), ContextTimeoutEnabled: true}))
	}
	return m, nil
}

func (m *masters) close() error {
	errs := []error{closeAll(m.admin)}
	for _, p := range m.procs {
		errs = append(errs, p.Kill())
	}
	return errors.Join(append(errs, os.RemoveAll(m.dir))...)
}

func (m *masters) addresses() (addresses []string) {
	for _, p := range m.procs {
		addresses = append(addresses, p.Addr())
	}
	return addresses
}

// signal sends sig to the first n masters.
func (m *masters) signal(n int, sig os.Signal) error {
	var errs []error
	for _, p := range m.procs[:n] {
		errs = append(errs, p.Signal(sig))
	}
	return errors.Join(errs...)
}

func (m *masters) hang(_ context.Context, n int) (resume func() error, err error) {
	return func() error { return m.signal(n, syscall.SIGCONT) }, m.signal(n, syscall.SIGSTOP)
}

func (m *masters) reset(ctx context.Context) error {
	var errs []error
	for _, c := range m.admin {
		errs = append(errs, c.FlushAll(ctx).Err())
	}
	return errors.Join(errs...)
}

func (m *masters) cpu(ctx context.Context) (sum time.Duration, err error) {
	for _, c := range m.admin {
		info, err := c.InfoMap(ctx, "cpu").Result()
		if err != nil {
			return 0, err
		}
		for _, mode := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(info["CPU"][mode], 64)
			if err != nil {
				return 0, fmt.Errorf("INFO cpu: %s: %w", mode, err)
			}
			sum += time.Duration(seconds * float64(time.Second))
		}
	}
	return sum, nil
}

func (m *masters) version(ctx context.Context) (string, error) {
	info, err := m.admin[0].InfoMap(ctx, "server").Result()
	return info["Server"]["redis_version"], err
}
