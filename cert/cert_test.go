package cert

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shown returns the serial number of the certificate that a server shows, or the error of a client
// that trusts the authority and wants that name.
func shown(server *tls.Config, ca *CA, name string) (string, error) {
	c, err := server.GetCertificate(new(tls.ClientHelloInfo))
	if err != nil {
		return "", err
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: name, CurrentTime: c.Leaf.NotBefore.Add(2 * clockSkew)})
	return c.Leaf.SerialNumber.String(), err
}

func TestAuthorityIsTrustedForTheNamesIssued(t *testing.T) {
	ca, err := NewCA("Posthaste test authority")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue("mx1.north.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := Fixed(c).Config()
	for name, want := range map[string]bool{"mx1.north.test": true, "127.0.0.1": true, "mx2.north.test": false} {
		if _, err := shown(server, ca, name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if server.MinVersion != tls.VersionTLS12 {
		t.Errorf("takes TLS from %s, want 1.2", tls.VersionName(server.MinVersion))
	}
	if !strings.HasPrefix(string(ca.PEM()), "-----BEGIN CERTIFICATE-----") {
		t.Errorf("PEM is %q", ca.PEM())
	}
}

func TestSelfSignedIsKeptAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // three years pass at once
		dir := filepath.Join(t.TempDir(), "tls")
		s, err := SelfSigned(dir, []string{"mail.north.test", "127.0.0.1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := s.Leaf()
		again, err := SelfSigned(dir, []string{"mail.north.test"}, nil)
		if err != nil || !again.Leaf().Equal(first) {
			t.Errorf("a second start made another certificate: %v", err)
		}
		<-time.After(selfSignedLife - renewBefore - time.Hour)
		if !s.Leaf().Equal(first) {
			t.Error("renewed too early")
		}
		<-time.After(2 * time.Hour)
		renewed := s.Leaf()
		if renewed.Equal(first) || !slices.Equal(renewed.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
			t.Error("want a new certificate with the same key")
		}
		other, err := SelfSigned(dir, []string{"mail.north.test", "imap.north.test"}, nil)
		if err != nil || other.Leaf().VerifyHostname("imap.north.test") != nil {
			t.Errorf("a new name did not make a new certificate: %v", err)
		}
		info, err := os.Stat(filepath.Join(dir, selfSignedKey))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key has mode %v, %v; want 0600", info.Mode(), err)
		}
	})
}

func writePair(t *testing.T, c tls.Certificate, certFile, keyFile string) {
	t.Helper()
	chain, key, err := EncodePEM(c)
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{certFile: chain, keyFile: key} {
		if err := writeFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	ca, _ := NewCA("test")
	one, _ := ca.Issue("mail.north.test")
	two, _ := ca.Issue("mail.north.test")
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	synctest.Test(t, func(t *testing.T) {
		writePair(t, one, certFile, keyFile)
		s, err := Files(certFile, keyFile, nil)
		if err != nil {
			t.Fatal(err)
		}
		server := s.Config()
		expect := func(claim string, want tls.Certificate) {
			t.Helper()
			if got, err := shown(server, ca, "mail.north.test"); err != nil || got != want.Leaf.SerialNumber.String() {
				t.Errorf("%s: shows %s, %v; want %s", claim, got, err, want.Leaf.SerialNumber)
			}
		}
		expect("at first", one)
		if err := writeFile(certFile, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(pollEvery)
		expect("with a broken file", one)
		if err := s.Reload(); err == nil {
			t.Error("Reload took a broken file")
		}
		writePair(t, two, certFile, keyFile)
		expect("within the minute", one)
		<-time.After(pollEvery)
		expect("after a minute", two)
	})
}

func TestErrorsNameCauseAndRemedy(t *testing.T) {
	dir := t.TempDir()
	ca, _ := NewCA("test")
	one, _ := ca.Issue("a.test")
	two, _ := ca.Issue("b.test")
	in := func(name string) string { return filepath.Join(dir, name) }
	writePair(t, one, in("one.pem"), in("one.key"))
	writePair(t, two, in("two.pem"), in("two.key"))
	if err := os.WriteFile(in("text"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ claim, cert, key, want string }{
		{"a missing certificate", in("none"), in("one.key"), `self-signed`},
		{"a missing key", in("one.pem"), in("none"), `key ` + in("none")},
		{"the key of another", in("one.pem"), in("two.key"), "does not belong"},
		{"no PEM at all", in("text"), in("one.key"), "-----BEGIN CERTIFICATE-----"},
		{"a key in place of the certificate", in("one.key"), in("one.key"), "-----BEGIN CERTIFICATE-----"},
		{"a certificate in place of the key", in("one.pem"), in("text"), "one private key"},
		{"a directory", dir, in("one.key"), "is a directory"},
	} {
		if _, err := Files(c.cert, c.key, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.claim, err, c.want)
		}
	}
	if _, err := SelfSigned(dir, nil, nil); err == nil {
		t.Error("a self-signed certificate for nobody was made")
	}
}
