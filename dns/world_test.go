package dns_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// world is a root, the zone test, and zones below it that are signed well and badly.
func world(t testing.TB) *dnstest.Server {
	t.Helper()
	s := dnstest.New()
	s.SetTTL(300, 60)
	for apex, how := range map[string]dnstest.Signing{
		".": {}, "test": {},
		"good.test":     {},
		"rsa.test":      {Algorithm: 8},
		"rsa512.test":   {Algorithm: 10},
		"p384.test":     {Algorithm: 14},
		"ed.test":       {Algorithm: 15},
		"nsec3.test":    {NSEC3: true, Iterations: 5, Salt: "aabbccdd"},
		"optout.test":   {NSEC3: true, OptOut: true},
		"costly.test":   {NSEC3: true, Iterations: 500},
		"plain.test":    {Unsigned: true},
		"island.test":   {NoDS: true},
		"unknown.test":  {UnknownDS: true},
		"wrongkey.test": {WrongDS: true},
		"expired.test":  {Expired: true},
		"future.test":   {Future: true},
		"badsig.test":   {BadSignature: true},
		"nosig.test":    {NoSignature: true},
		"nodenial.test": {NoDenial: true},

		"plain.good.test":   {Unsigned: true},
		"plain.nsec3.test":  {Unsigned: true},
		"plain.optout.test": {Unsigned: true},
		"deep.sub.ed.test":  {},
	} {
		if err := s.Sign(apex, how); err != nil {
			t.Fatal(err)
		}
		if apex == "." || apex == "test" {
			continue
		}
		s.MX(apex, 10, "mx."+apex)
		s.Addr("mx."+apex, "192.0.2.1")
		s.MX("*.wild."+apex, 10, "mx."+apex)
		s.CNAME("to-good."+apex, "mx.good.test")
		s.CNAME("to-plain."+apex, "mx.plain.test")
		s.CNAME("to-badsig."+apex, "mx.badsig.test")
		s.CNAME("to-void."+apex, "void.good.test")
		s.Addr("a.b.c."+apex, "192.0.2.2")
		if err := s.Add("_25._tcp.mx." + apex + ". 300 IN TLSA 3 1 1 " + strings.Repeat("ab", 32)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add("dname.good.test. 300 IN DNAME nsec3.test."); err != nil {
		t.Fatal(err)
	}
	return s
}

// A verdict is what a lookup came to: "secure 1", "insecure no-name", "bogus", "failed".
func verdict(t testing.TB, r *dns.Resolver, qtype, name string) (text string, err error) {
	t.Helper()
	var n int
	var security dns.Security
	ctx := context.WithoutCancel(t.Context())
	switch qtype {
	case "MX":
		var a dns.Answer[dns.MX]
		a, err = r.MX(ctx, name)
		n, security = len(a.Records), a.Security
	case "A":
		a, e := r.A(ctx, name)
		n, security, err = len(a.Records), a.Security, e
	case "TLSA":
		a, e := r.TLSA(ctx, name)
		n, security, err = len(a.Records), a.Security, e
	default:
		t.Fatalf("no lookup for %s", qtype)
	}
	var fail *dns.Error
	switch {
	case err == nil && n > 0:
		return security.String() + " found", nil
	case !errors.As(err, &fail):
		t.Fatalf("%s %s: %d records, %v", qtype, name, n, err)
	case errors.Is(err, dns.ErrNoName):
		return fail.Security.String() + " no-name", err
	case errors.Is(err, dns.ErrNoData):
		return fail.Security.String() + " no-data", err
	case fail.Security == dns.Bogus:
		return "bogus", err
	}
	return "failed", err
}

// claims is what a validator must find in the world.
var claims = []struct{ qtype, name, want string }{
	{"MX", "good.test", "secure found"},
	{"TLSA", "_25._tcp.mx.good.test", "secure found"},
	{"A", "mx.rsa.test", "secure found"},
	{"A", "mx.rsa512.test", "secure found"},
	{"A", "mx.p384.test", "secure found"},
	{"A", "mx.ed.test", "secure found"},
	{"A", "mx.deep.sub.ed.test", "secure found"},
	{"A", "sub.ed.test", "secure no-data"},
	{"MX", "nsec3.test", "secure found"},
	{"MX", "island.test", "insecure found"},
	{"MX", "unknown.test", "insecure found"},
	{"MX", "plain.test", "insecure found"},
	{"TLSA", "_25._tcp.mx.plain.test", "insecure found"},
	{"TLSA", "_25._tcp.void.plain.test", "insecure no-name"},
	{"MX", "plain.good.test", "insecure found"},
	{"MX", "plain.nsec3.test", "insecure found"},
	{"MX", "plain.optout.test", "insecure found"},
	{"TLSA", "_25._tcp.mx.plain.optout.test", "insecure found"},

	{"MX", "wrongkey.test", "bogus"},
	{"MX", "expired.test", "bogus"},
	{"MX", "future.test", "bogus"},
	{"MX", "badsig.test", "bogus"},
	{"MX", "nosig.test", "bogus"},
	{"MX", "nodenial.test", "secure found"},
	{"MX", "void.nodenial.test", "bogus"},
	{"A", "nodenial.test", "bogus"},

	{"MX", "x.wild.good.test", "secure found"},
	{"MX", "x.y.wild.good.test", "secure found"},
	{"A", "x.wild.good.test", "secure no-data"},
	{"MX", "x.wild.nsec3.test", "secure found"},
	{"A", "x.wild.nsec3.test", "secure no-data"},
	{"MX", "x.wild.nodenial.test", "bogus"},
	{"MX", "x.wild.badsig.test", "bogus"},
	{"MX", "*.wild.good.test", "secure found"},

	{"A", "to-good.good.test", "secure found"},
	{"A", "to-good.nsec3.test", "secure found"},
	{"A", "to-good.plain.test", "insecure found"},
	{"A", "to-plain.good.test", "insecure found"},
	{"A", "to-badsig.good.test", "bogus"},
	{"A", "to-badsig.plain.test", "bogus"},
	{"A", "to-good.badsig.test", "bogus"},
	{"A", "to-void.nsec3.test", "secure no-name"},
	{"A", "to-void.plain.test", "insecure no-name"},
	{"MX", "to-good.nsec3.test", "secure no-data"},
	{"A", "mx.dname.good.test", "secure found"},
	{"MX", "x.wild.dname.good.test", "secure found"},

	{"MX", "void.good.test", "secure no-name"},
	{"MX", "void.void.good.test", "secure no-name"},
	{"TLSA", "_25._tcp.void.good.test", "secure no-name"},
	{"TLSA", "mx.good.test", "secure no-data"},
	{"MX", "mx.good.test", "secure no-data"},
	{"A", "b.c.good.test", "secure no-data"},
	{"MX", "void.nsec3.test", "secure no-name"},
	{"TLSA", "_25._tcp.void.nsec3.test", "secure no-name"},
	{"MX", "mx.nsec3.test", "secure no-data"},
	{"A", "b.c.nsec3.test", "secure no-data"},
	{"MX", "void.optout.test", "insecure no-name"},
	{"MX", "mx.optout.test", "secure no-data"},
	{"MX", "void.costly.test", "insecure no-name"},
	{"MX", "void.badsig.test", "bogus"},
	{"MX", "void.nosig.test", "bogus"},
	{"MX", "void.test", "secure no-name"},
	{"MX", "void", "secure no-name"},
}
