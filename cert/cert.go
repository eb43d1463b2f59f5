// Package cert holds the certificates that our servers show: from files, or self-signed and kept in
// the data directory. It makes private authorities for tests and the demo.
//
// A [Source] looks after one certificate: files that change are read again, a self-signed one is
// renewed before it expires, its key staying the same. What cannot be read later on does not take
// the present certificate away. [Source.Config] is for servers: TLS 1.2 or later (RFC 8314, RFC 9325).
package cert

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"
)

// pollEvery is how often a Source looks whether its files have changed or its time runs out.
const pollEvery = time.Minute

// A Source is one certificate with its key. It is safe for concurrent use.
type Source struct {
	log  *slog.Logger
	load func(now time.Time, old *loaded) (*loaded, error) // returns old when nothing has changed; nil: never changes

	mu      sync.Mutex // guards what follows
	current *loaded
	checked time.Time
	problem string // of the last check, to tell it once
}

// loaded is a certificate as it was read.
type loaded struct {
	cert  tls.Certificate
	stamp stamp
}

// Fixed returns a Source of a certificate that is there already.
func Fixed(c tls.Certificate) *Source {
	return &Source{log: slog.New(slog.DiscardHandler), current: &loaded{cert: c}}
}

func newSource(log *slog.Logger, load func(time.Time, *loaded) (*loaded, error)) (*Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Source{log: log, load: load}
	return s, s.Reload()
}

// Config returns the TLS configuration of a server that shows this certificate, always as it is now.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Certificate(), nil },
	}
}

// Certificate returns the certificate as it is now. Once a minute it looks for a newer one.
func (s *Source) Certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= pollEvery {
		if err := s.check(now); err != nil && err.Error() != s.problem {
			s.problem = err.Error()
			s.log.Error("certificate not renewed, the old one stays in use", "err", err)
		}
	}
	return &s.current.cert
}

// Leaf returns the certificate itself, for its names and dates.
func (s *Source) Leaf() *x509.Certificate { return s.Certificate().Leaf }

// Reload looks for a newer certificate at once. On error the present one stays.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(time.Now())
}

// check replaces the certificate if there is a newer one. The caller holds mu.
func (s *Source) check(now time.Time) error {
	s.checked = now
	if s.load == nil {
		return nil
	}
	fresh, err := s.load(now, s.current)
	if err != nil {
		return err
	}
	s.problem = ""
	if fresh != s.current && s.current != nil {
		s.log.Info("certificate replaced", "names", fresh.cert.Leaf.DNSNames, "expires", fresh.cert.Leaf.NotAfter)
	}
	s.current = fresh
	return nil
}
