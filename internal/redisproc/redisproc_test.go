//go:build unix

package redisproc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
	"github.com/quorumlock/redlock/internal/redisproc"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func client(t *testing.T, p *redisproc.Proc) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(p.URL())
	require.NoError(t, err)
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	opts.ContextTimeoutEnabled = true
	c := redis.NewClient(opts)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// refused reports whether the address refuses connections. It dials without go-redis, which logs
// failed dials.
func refused(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func TestMastersAreIndependent(t *testing.T) {
	procs := redisproc.Start(t, 3)
	require.Len(t, procs, 3)
	for _, p := range procs {
		ok, err := client(t, p).SetNX(t.Context(), "k", p.Addr(), 0).Result()
		require.NoError(t, err)
		require.True(t, ok, "the key already exists, so two masters share memory")
	}
}

func TestLaunchStartsMasterOrReturnsErrNotFound(t *testing.T) {
	_ = redisproc.Start(t, 1) // skips the test without redis-server
	p, err := redisproc.Launch(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, client(t, p).Ping(t.Context()).Err())
	require.NoError(t, p.Kill())

	t.Setenv("PATH", t.TempDir())
	_, err = redisproc.Launch(t.TempDir())
	require.ErrorIs(t, err, exec.ErrNotFound)
}

func TestRestartAfterKillComesBackEmpty(t *testing.T) {
	p := redisproc.Start(t, 1)[0]
	require.NoError(t, client(t, p).Set(t.Context(), "k", "v", 0).Err())

	require.NoError(t, p.Kill())
	require.True(t, refused(p.Addr()))
	require.ErrorIs(t, p.Kill(), os.ErrProcessDone)
	require.ErrorIs(t, p.Signal(syscall.SIGCONT), os.ErrProcessDone)

	require.NoError(t, p.Restart(false))
	require.ErrorIs(t, client(t, p).Get(t.Context(), "k").Err(), redis.Nil, "a killed master has saved nothing")
}

func TestRestartKeepsOrWipesKeys(t *testing.T) {
	p := redisproc.Start(t, 1)[0]
	addr := p.Addr()
	require.NoError(t, client(t, p).Set(t.Context(), "k", "v", 0).Err())

	require.NoError(t, p.Restart(false))
	require.Equal(t, addr, p.Addr())
	require.Equal(t, "v", client(t, p).Get(t.Context(), "k").Val())

	require.NoError(t, p.Restart(true))
	require.Equal(t, addr, p.Addr())
	require.ErrorIs(t, client(t, p).Get(t.Context(), "k").Err(), redis.Nil)
}

func TestStoppedMasterHangsUntilContinued(t *testing.T) {
	p := redisproc.Start(t, 1)[0]
	c := client(t, p)
	require.NoError(t, c.Ping(t.Context()).Err())

	require.NoError(t, p.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Ping(ctx).Err(), os.ErrDeadlineExceeded)

	require.NoError(t, p.Signal(syscall.SIGCONT))
	require.NoError(t, c.Ping(t.Context()).Err())

	require.NoError(t, p.Signal(syscall.SIGSTOP)) // the cleanup must cope with a stopped process
}

func TestTLSNeedsCertificatesOfOneAuthority(t *testing.T) {
	certificates := redisproc.NewCertificates(t)
	p := redisproc.Start(t, 1, redisproc.TLS(certificates))[0]
	ping := func(config *tls.Config) error {
		opts, err := redis.ParseURL(p.URL())
		require.NoError(t, err)
		config.ServerName = opts.TLSConfig.ServerName
		opts.TLSConfig, opts.MaxRetries, opts.DialerRetries = config, -1, 1
		c := redis.NewClient(opts)
		defer c.Close()
		return c.Ping(t.Context()).Err()
	}
	require.NoError(t, ping(certificates.Config()))
	require.NoError(t, p.Restart(false))
	require.NoError(t, ping(certificates.Config()))

	anonymous := certificates.Config()
	anonymous.Certificates = nil
	require.Error(t, ping(anonymous))

	stranger := redisproc.NewCertificates(t).Config()
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, ping(stranger), &unknown)
	stranger.RootCAs = certificates.Config().RootCAs
	require.Error(t, ping(stranger))
}
