package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorumlock/redlock/internal/freeport"
)

// A postgresServer is a PostgreSQL server on loopback, with default settings.
type postgresServer struct {
	dir  string
	port int
	proc *process
}

// startPostgres creates a database cluster in a temporary directory and starts its server. If
// another process takes the port first, it tries others.
func startPostgres(ctx context.Context) (servers, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	const tries = 3
	var errs []error
	for range tries {
		s, err := launchPostgres(ctx, bin)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// postgresPrograms returns the directory of the server's programs. Debian keeps them apart from
// PATH, in a directory per version.
func postgresPrograms() (dir string, err error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("initdb, of Debian's package postgresql: %w", exec.ErrNotFound)
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return majorVersion(a) - majorVersion(b) })), nil
}

// majorVersion returns the version in a path like /usr/lib/postgresql/15/bin/initdb, or 0.
func majorVersion(path string) int {
	version, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 if it is no number
	return version
}

func launchPostgres(ctx context.Context, bin string) (s *postgresServer, err error) {
	s = &postgresServer{}
	if s.dir, err = os.MkdirTemp("", "compare-postgres-"); err != nil {
		return nil, err
	}
	if err := s.start(ctx, bin); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *postgresServer) start(ctx context.Context, bin string) error {
	account, err := s.account()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	data := filepath.Join(s.dir, "data")
	initialize := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	initialize.Dir, initialize.SysProcAttr = s.dir, account
	if output, err := initialize.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(output)))
	}
	if s.port, err = freeport.Pick(); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	cmd.Dir, cmd.SysProcAttr = s.dir, account
	if s.proc, err = startProcess(cmd); err != nil {
		return err
	}
	return s.proc.wait(ctx, func(ctx context.Context) error {
		found, err := s.query(ctx, "SHOW data_directory")
		if err == nil && found != data {
			err = fmt.Errorf("the port belongs to another server, of %s", found)
		}
		return err
	})
}

// account returns attributes that run a process as an ordinary user, who gets the directory. The
// server refuses to run as root.
func (s *postgresServer) account() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}},
		os.Chown(s.dir, int(uid), int(gid))
}

// close shuts the server down without delay.
func (s *postgresServer) close() error {
	var err error
	if s.proc != nil {
		err = s.proc.stop(syscall.SIGQUIT)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *postgresServer) addresses() []string { return []string{loopback(s.port)} }

// hang hangs the server's process and its children: there is one per connection.
func (s *postgresServer) hang(context.Context, int) (resume func() error, err error) {
	members, err := family(s.proc.pid())
	signal := func(sig syscall.Signal) error {
		var errs []error
		for _, p := range members {
			if err := syscall.Kill(p.pid, sig); !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	return func() error { return signal(syscall.SIGCONT) }, errors.Join(err, signal(syscall.SIGSTOP))
}

// reset ends all other sessions, and their locks with them.
func (s *postgresServer) reset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.proc.wait(ctx, func(ctx context.Context) error {
		left, err := s.query(ctx, `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		if err == nil && left != "0" {
			err = fmt.Errorf("%s sessions have not ended yet", left)
		}
		return err
	})
}

func (s *postgresServer) cpu(context.Context) (time.Duration, error) { return familyCPU(s.proc.pid()) }

func (s *postgresServer) version(ctx context.Context) (string, error) {
	text, err := s.query(ctx, "SHOW server_version") // such as "15.12 (Debian 15.12-0+deb12u2)"
	version, _, _ := strings.Cut(text, " ")
	return version, err
}

// query returns the only value of a query's result, as text.
func (s *postgresServer) query(ctx context.Context, sql string) (value string, err error) {
	conn, err := pgx.Connect(ctx, postgresURL(loopback(s.port)))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
}

func postgresURL(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable"
}
