package dkim

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

func resolverFor(t testing.TB, records map[string]string) Resolver {
	_, r := world(t, records)
	return r
}

// farFuture is after what peers sign by the clock of the machine.
var farFuture = time.Now().Add(time.Hour)

// peerMessages are what we and others sign for each other. All lines end in CRLF and hold no others.
var peerMessages = []string{
	letter,
	"From: a@north.test\r\nTo: b@south.test\r\nSubject: no body\r\n\r\n",
	"From: a@north.test\r\nSubject: empty lines\r\n\r\n\r\n\r\n\r\n",
	"From: a@north.test\r\nSubject: white  space \t inside\r\nTo: b@south.test,\r\n\tc@south.test\r\n\r\nA  b\t\tc \r\n\t\r\n \r\nd \r\n\r\n",
	"From: a@north.test\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\r\nGrüße aus dem Süden.\r\n",
	"From: a@north.test\r\nTo: b@south.test\r\nReceived: by x; y\r\nReceived: by z; y\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\r\n" +
		strings.Repeat("A line of an ordinary letter, with some words.\r\n", 200),
	"From: a@north.test\r\nList-Id: <l.north.test>\r\nList-Post: <mailto:l@north.test>\r\nIn-Reply-To: <1@north.test>\r\nReferences: <0@north.test> <1@north.test>\r\n\r\n.dots\r\n..\r\n.\r\n",
}
