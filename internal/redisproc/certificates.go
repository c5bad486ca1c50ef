package redisproc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are those of a certificate authority that one test trusts: the authority's own, one
// for masters on 127.0.0.1, and one for clients.
type Certificates struct {
	dir       string // of PEM files
	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	client    tls.Certificate
}

// NewCertificates makes an authority and its certificates. They are valid for an hour.
func NewCertificates(tb testing.TB) *Certificates {
	tb.Helper()
	c := &Certificates{dir: tb.TempDir()}
	c.authority, c.key = c.issue(tb, "ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	c.issue(tb, "server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	c.issue(tb, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	var err error
	if c.client, err = tls.LoadX509KeyPair(c.file("client.crt"), c.file("client.key")); err != nil {
		tb.Fatal(err)
	}
	return c
}

// Config returns the TLS configuration of a client that trusts the authority and has a certificate.
func (c *Certificates) Config() *tls.Config {
	trusted := x509.NewCertPool()
	trusted.AddCert(c.authority)
	return &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{c.client}}
}

func (c *Certificates) file(name string) string { return filepath.Join(c.dir, name) }

// issue writes a certificate and its key to files. The first one is the authority's, and signs
// itself.
func (c *Certificates) issue(tb testing.TB, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := c.authority, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	c.write(tb, name+".crt", "CERTIFICATE", der)
	c.write(tb, name+".key", "PRIVATE KEY", keyDER)
	issued, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return issued, key
}

func (c *Certificates) write(tb testing.TB, name, kind string, der []byte) {
	tb.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(c.file(name), text, 0o600); err != nil {
		tb.Fatal(err)
	}
}
