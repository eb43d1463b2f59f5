package imapd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"posthaste/auth"
	"posthaste/blob/memblob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/store"
	"posthaste/trace"
)

const (
	testLogin    = "ann@north.test"
	testPassword = "correct horse"
)

// A site is a server with its own store and one account.
type site struct {
	*Server
	store   *store.Store
	account *store.Account
	events  *events
}

// events keeps what a server leaves in the trace.
type events struct {
	mu  sync.Mutex
	all []trace.Event
}

func (e *events) Record(event trace.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// newSite builds all that a server needs, over memkv.
func newSite(t testing.TB, change func(*Config)) *site {
	t.Helper()
	return newSiteOn(t, memkv.New(), change)
}

func newSiteOn(t testing.TB, keys kv.Store, change func(*Config)) *site {
	t.Helper()
	ctx := context.Background()
	dir := directory.New(keys, directory.Config{DefaultDomain: "north.test"})
	logins := auth.New(auth.Config{Directory: dir})
	mails, err := store.New(store.Config{KV: keys, Blobs: memblob.New()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.AddDomain(ctx, "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	credentials, err := logins.NewCredentials(ctx, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	ann := mail.Address{Local: "ann", Domain: "north.test"}
	account, err := dir.AddAccount(ctx, ann, directory.AccountOptions{Credentials: &credentials})
	if err != nil {
		t.Fatal(err)
	}
	if err := mails.Create(ctx, account.ID, 0); err != nil {
		t.Fatal(err)
	}
	seen := &events{}
	cfg := Config{Store: mails, Auth: logins, PlaintextAuth: true, MaxPerIP: 10_000, Hostname: "mail.north.test", Trace: seen,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&cfg)
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mails.Close()
		dir.Close()
		keys.Close()
	})
	return &site{Server: srv, store: mails, account: mails.Account(account.ID), events: seen}
}

// listen serves on loopback until the test ends, which waits for the last session.
func (s *site) listen(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// deliver puts a message into INBOX as local delivery does.
func (s *site) deliver(t testing.TB, content string) {
	t.Helper()
	message, err := s.store.Prepare(context.Background(), []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.account.Deliver(context.Background(), store.Delivery{Message: message,
		Received: time.Date(2024, time.February, 3, 4, 5, 6, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
}

// testTLS makes a certificate for 127.0.0.1 and the pool that trusts it.
func testTLS(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.north.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}},
		DNSNames: []string{"mail.north.test"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
