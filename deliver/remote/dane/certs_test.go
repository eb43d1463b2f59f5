package dane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"posthaste/dns"
)

// A made certificate and its key.
type made struct {
	*x509.Certificate
	key crypto.Signer
}

var (
	now    = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	before = now.Add(-24 * time.Hour)
	after  = now.Add(24 * time.Hour)
)

// newCert makes a certificate for names, signed by issuer, or by itself without one.
func newCert(t testing.TB, issuer *made, ca bool, until time.Time, names ...string) *made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "cert " + serial.String()}, DNSNames: names,
		NotBefore: before.Add(-24 * time.Hour), NotAfter: until, IsCA: ca, BasicConstraintsValid: true,
	}
	if ca {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	parent, signer := template, crypto.Signer(key)
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &made{cert, key}
}

func (m *made) tls(others ...*made) tls.Certificate {
	c := tls.Certificate{PrivateKey: m.key, Certificate: [][]byte{m.Raw}}
	for _, o := range others {
		c.Certificate = append(c.Certificate, o.Raw)
	}
	return c
}

// record makes the TLSA record of a certificate.
func record(usage, selector, matching uint8, c *made) dns.TLSA {
	data := c.Raw
	if selector == publicKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case hashSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case hashSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}
