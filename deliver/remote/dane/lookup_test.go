package dane

import (
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// TestPolicies asks a real resolver about real zones.
func TestPolicies(t *testing.T) {
	server := dnstest.New()
	for apex, how := range map[string]dnstest.Signing{".": {}, "good.test": {}, "nsec3.test": {NSEC3: true}, "plain.test": {Unsigned: true}, "bad.test": {BadSignature: true}} {
		if err := server.Sign(apex, how); err != nil {
			t.Fatal(err)
		}
	}
	cert := newCert(t, nil, false, after)
	ee, pkix := record(3, 1, 1, cert), record(1, 1, 1, cert)
	for _, zone := range []string{"good.test", "nsec3.test", "plain.test", "bad.test"} {
		server.MX(zone, 10, "mx."+zone)
		server.Addr("mx."+zone, "192.0.2.1")
		server.TLSA("_25._tcp.mx."+zone, ee)
	}
	for host, target := range map[string]string{
		"alias.good.test": "mx.good.test", "alias.plain.test": "mx.good.test", "to-plain.good.test": "mx.plain.test",
		"own.good.test": "bare.good.test", "own-plain.good.test": "mx.plain.test", "to-bad.good.test": "mx.bad.test",
	} {
		server.CNAME(host, target)
	}
	server.Addr("bare.good.test", "192.0.2.2")
	server.TLSA("_25._tcp.own.good.test", ee)
	server.TLSA("_25._tcp.own-plain.good.test", ee)
	server.Addr("pkix.good.test", "192.0.2.3")
	server.TLSA("_25._tcp.pkix.good.test", pkix)
	server.Addr("down.good.test", "192.0.2.4")
	server.SetFault("_25._tcp.down.good.test", dnstest.Fault{Kind: dnstest.ServFail})
	server.Addr("to-broken.good.test", "192.0.2.5")
	server.CNAME("_25._tcp.to-broken.good.test", "_25._tcp.mx.bad.test")
	server.Addr("to-unsigned.good.test", "192.0.2.5")
	server.CNAME("_25._tcp.to-unsigned.good.test", "_25._tcp.mx.plain.test")
	server.Addr("elsewhere.good.test", "192.0.2.6")
	server.CNAME("_25._tcp.elsewhere.good.test", "_25._tcp.mx.nsec3.test")

	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		claim, host string
		mx          dns.Security
		mode        Mode
		base        string
		result      string
	}{
		{"all signed", "mx.good.test", dns.Secure, Authenticate, "mx.good.test", ""},
		{"hashed denial", "mx.nsec3.test", dns.Secure, Authenticate, "mx.nsec3.test", ""},
		{"MX records not signed", "mx.good.test", dns.Insecure, None, "", ""},
		{"host not signed", "mx.plain.test", dns.Secure, None, "", ""},
		{"no TLSA records", "bare.good.test", dns.Secure, None, "", ""},
		{"a signed alias: the name at its end", "alias.good.test", dns.Secure, Authenticate, "mx.good.test", ""},
		{"a signed alias: else its own name", "own.good.test", dns.Secure, Authenticate, "own.good.test", ""},
		{"an alias that is not signed", "alias.plain.test", dns.Secure, None, "", ""},
		{"a signed alias of a host that is not, without TLSA records", "to-plain.good.test", dns.Secure, None, "", ""},
		{"a signed alias of a host that is not, with TLSA records", "own-plain.good.test", dns.Secure, Authenticate, "own-plain.good.test", ""},
		{"only records without meaning for SMTP", "pkix.good.test", dns.Secure, Encrypt, "pkix.good.test", TLSAInvalid},
		{"the lookup fails", "down.good.test", dns.Secure, Skip, "", DNSSECInvalid},
		{"TLSA records beyond an alias into a broken zone", "to-broken.good.test", dns.Secure, Skip, "", DNSSECInvalid},
		{"TLSA records beyond an alias into a zone that is not signed", "to-unsigned.good.test", dns.Secure, None, "", ""},
		{"TLSA records beyond an alias into another signed zone", "elsewhere.good.test", dns.Secure, Authenticate, "elsewhere.good.test", ""},
		{"an address", "[192.0.2.1]", dns.Secure, None, "", ""},
	} {
		q := Query{Domain: "north.test", MX: c.mx, Host: c.host, Port: 25}
		if !strings.HasPrefix(c.host, "[") {
			if q.Addrs, err = r.Host(t.Context(), c.host); err != nil {
				t.Fatalf("%s: %v", c.claim, err)
			}
		}
		p := Lookup(t.Context(), r, q)
		if p.Mode != c.mode || p.Base != c.base || p.Reason == "" || (p.Failure != nil) != (c.result != "") || p.Failure != nil && p.Failure.Result != c.result {
			t.Errorf("%s: %+v (%v); want %v, %q, %q", c.claim, p, p.Failure, c.mode, c.base, c.result)
		}
		if asked := server.Queries("TLSA", "_25._tcp.mx.plain.test"); c.host == "mx.plain.test" && asked > 0 {
			t.Errorf("%s: asked for TLSA records %d times", c.claim, asked)
		}
	}
}
