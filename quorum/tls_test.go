package quorum_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// secured are real masters that serve TLS only and require client certificates.
type secured struct {
	*redisproc.Certificates
	urls  []string
	admin *redis.Client // of the first master
}

func startSecured(t *testing.T, n int) *secured {
	t.Helper()
	s := &secured{Certificates: redisproc.NewCertificates(t)}
	for _, p := range redisproc.Start(t, n, redisproc.TLS(s.Certificates)) {
		s.urls = append(s.urls, p.URL())
	}
	o, err := redis.ParseURL(s.urls[0])
	require.NoError(t, err)
	o.TLSConfig = s.Config()
	o.TLSConfig.ServerName = "127.0.0.1"
	s.admin = redis.NewClient(o)
	t.Cleanup(func() { assert.NoError(t, s.admin.Close()) })
	return s
}

// tryWith acquires and releases a lock with a TLS configuration. It returns the error of the
// attempt, which must take less than a second.
func tryWith(t *testing.T, config *tls.Config, urls ...string) error {
	t.Helper()
	m, err := quorum.Open(urls, &quorum.Options{TLS: config, CloseTimeout: 10 * time.Millisecond})
	require.NoError(t, err)
	defer m.Close()
	began := time.Now()
	l, err := m.TryAcquire(patiently(t), name, ttl)
	if err != nil {
		assert.Less(t, time.Since(began), time.Second)
		return err
	}
	return l.Release(patiently(t))
}

// TestTLS acquires a lock, extends it, waits for it, hands it on and releases it, all over TLS.
func TestTLS(t *testing.T) {
	s := startSecured(t, 3)
	config := s.Config()
	holder := open(t, quorum.Options{TLS: config}, s.urls...)
	waiter := open(t, quorum.Options{TLS: config}, s.urls...)
	assert.Empty(t, config.ServerName, "the caller's configuration is its own")

	l, err := holder.TryAcquire(patiently(t), name, ttl)
	require.NoError(t, err)
	require.NoError(t, l.Extend(patiently(t), ttl))
	acquired := make(chan error, 1)
	go func() {
		next, err := waiter.Acquire(patiently(t), name, ttl)
		if err == nil {
			err = next.Release(patiently(t))
		}
		acquired <- err
	}()
	require.Eventually(t, func() bool {
		i, err := holder.Inspect(patiently(t), name)
		return err == nil && i.Waiting == 1 && len(s.admin.PubSubChannels(t.Context(), "redlock:aux:*").Val()) == 1
	}, patience, time.Millisecond, "the waiter is in the queue, and its subscription is confirmed")
	require.NoError(t, l.Release(patiently(t)))
	require.NoError(t, <-acquired)
}

// TestTLSWithoutClientCertificate: the error says what is missing, at once.
func TestTLSWithoutClientCertificate(t *testing.T) {
	s := startSecured(t, 3)
	config := s.Config()
	config.Certificates = nil
	for range 20 { // the master's alert must not get lost, whatever else fails
		err := tryWith(t, config, s.urls...)
		assertReason(t, err, quorum.ErrNoQuorum)
		assert.GreaterOrEqual(t, strings.Count(err.Error(), "tls: certificate required"), 2, "%v", err)
	}
}

func TestTLSWithWrongAuthority(t *testing.T) {
	s := startSecured(t, 1)
	config := s.Config()
	config.RootCAs = redisproc.NewCertificates(t).Config().RootCAs
	err := tryWith(t, config, s.urls...)
	assertReason(t, err, quorum.ErrNoQuorum)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	assert.ErrorContains(t, err, "dial tcp "+strings.TrimPrefix(s.urls[0], "rediss://")+": tls: failed to verify certificate")
	assert.Equal(t, 1, requireAttemptError(t, err).Count(quorum.Unsent), "no lock can be left there")
}

// TestTLSPrecedence: a name in the configuration is verified instead of the URL's host, and the
// URL's skip_verify decides whether anything is.
func TestTLSPrecedence(t *testing.T) {
	s := startSecured(t, 1)
	byName := strings.Replace(s.urls[0], "127.0.0.1", "localhost", 1)
	wrongAuthority := s.Config()
	wrongAuthority.RootCAs = x509.NewCertPool()
	named := s.Config()
	named.ServerName = "127.0.0.1"
	careless := wrongAuthority.Clone()
	careless.InsecureSkipVerify = true
	var mismatch x509.HostnameError
	var unknown x509.UnknownAuthorityError

	require.ErrorAs(t, tryWith(t, s.Config(), byName), &mismatch, "the certificate is for 127.0.0.1")
	require.NoError(t, tryWith(t, named, byName))
	require.ErrorAs(t, tryWith(t, wrongAuthority, s.urls[0]), &unknown)
	require.NoError(t, tryWith(t, wrongAuthority, s.urls[0]+"?skip_verify=true"))
	require.NoError(t, tryWith(t, careless, s.urls[0]))
	require.ErrorAs(t, tryWith(t, careless, s.urls[0]+"?skip_verify=false"), &unknown)
}

func TestTLSForPlainMasters(t *testing.T) {
	m, err := quorum.Open([]string{"redis://a", "unix:///b"}, &quorum.Options{TLS: &tls.Config{}})
	assert.Nil(t, m)
	require.EqualError(t, err, "quorum: options: TLS is set, but no URL begins with rediss://")
	m, err = quorum.Open([]string{"redis://a", "rediss://b"}, &quorum.Options{TLS: &tls.Config{}})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}
