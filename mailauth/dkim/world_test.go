package dkim

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// world is a DNS with the given text records, asked within the process.
func world(t testing.TB, records map[string]string) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	s := dnstest.New()
	for name, text := range records {
		s.TXT(name, text)
	}
	return s, resolverOf(t, s)
}

func resolverOf(t testing.TB, s *dnstest.Server) *dns.Resolver {
	t.Helper()
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// crlf ends the lines of a test's message as mail does.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n"))
}

// counting counts the questions that reach a resolver.
type counting struct {
	Resolver
	asked atomic.Int32
}

func (c *counting) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	c.asked.Add(1)
	return c.Resolver.TXT(ctx, name)
}

var errBroken = errors.New("the server does not answer")

// broken answers nothing.
type broken struct{}

func (broken) TXT(context.Context, string) (dns.Answer[string], error) {
	return dns.Answer[string]{}, errBroken
}

// freshResolver remembers nothing, so that a test sees at once what it publishes.
type freshResolver struct {
	t   *testing.T
	dns *dnstest.Server
}

func (f freshResolver) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	return resolverOf(f.t, f.dns).TXT(ctx, name)
}
