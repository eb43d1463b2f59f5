package spf

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// A story is one document of the mail-auth scenario files: lines of "key: value" under "records:" and
// "tests:", of which each "expect:" asks for a check with what was said before.
type story struct {
	*dns.Resolver
	name           string
	server         *dnstest.Server
	policies       map[string]string
	domain, sender string
	ip             string
}

// TestMailAuthScenarios runs the files of the mail-auth project.
func TestMailAuthScenarios(t *testing.T) {
	exceptions := map[string]string{
		// RFC 7208 section 4.6: a syntax error anywhere in the record is a permerror, also behind "all".
		"All test from 10.0.0.1: v=spf1 -all ip:10.0.0.1": "permerror",
		// Section 4.6.4: no more than two lookups should find nothing; here ten do.
		"DNS Lookup Limits from 172.168.0.1: v=spf1 a:t1.org a:t2.org a:t3.org a:t4.org a:t5.org a:t6.org a:t7.org a:t8.org a:t9.org a:t10.org ~all": "permerror",
		// Section 4.6.4: eleven mail exchangers are a permerror. To take the first ten would make the
		// result depend on the order of the reply.
		"DNS Lookup Limits from 10.0.0.8: v=spf1 mx -all": "permerror",
		// Section 5.7: exists asks for A records, also for clients with IPv6.
		"Exists from 167.1.2.3: v=spf1 exists:ip6.test.org -all": "fail",
		"Macro expansion 2 from 2001:db8::cb01: v=spf1 a -all":   "fail",
		// Section 5: a client with IPv4 is compared with ip4 only; a mapped network in ip6 is none.
		"IPv6 match from 10.1.2.3: v=spf1 ip6:ABCD:EF01:2345:6789:ABCD:EF01:2345:6789 ip6:ABCD:EF01:2345:6789:ABCD:EF01:2345:6788/128 ip6:1234::/16 ip6:::ffff:10.1.2.3 -all": "fail",
	}
	files, _ := filepath.Glob(filepath.Join(vectors, "mail-auth", "*.yml"))
	if len(files) == 0 {
		t.Skip("SKIPPED: public test vectors are missing: spf/mail-auth")
	}
	n := 0
	for _, file := range files {
		data := readVectors(t, filepath.Join("mail-auth", filepath.Base(file)))
		for _, document := range bytes.Split(data, []byte("\n---")) {
			s := &story{server: dnstest.New(), policies: map[string]string{}}
			s.server.SetFault("_dns_error.org", dnstest.Fault{Kind: dnstest.ServFail})
			s.server.SetFault("_dns_error.test.org", dnstest.Fault{Kind: dnstest.ServFail})
			n += s.run(t, filepath.Base(file), string(document), exceptions)
		}
	}
	if n != 163 {
		t.Errorf("ran %d checks, want 163", n)
	}
}

func (s *story) run(t *testing.T, file, document string, exceptions map[string]string) (n int) {
	for line := range strings.SplitSeq(document, "\n") {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "name":
			s.name = value
		case "domain":
			s.domain = value
		case "sender":
			s.sender = value
		case "ip":
			s.ip = value
		case "expect":
			n++
			s.expect(t, file, value, exceptions)
		case "spf", "exp", "a", "aaaa", "mx", "ptr":
			name, data, _ := strings.Cut(value, " ")
			s.record(key, name, data)
		}
	}
	return n
}

func (s *story) record(kind, name, data string) {
	if kind == "spf" || kind == "exp" {
		for label := range strings.SplitSeq(name, ".") {
			if len(label) > maxLabel || len(name) > maxName {
				return // it cannot be in the DNS
			}
		}
		if kind == "spf" {
			s.policies[name] = strings.TrimSpace(data) // among the tests it replaces the one before
			return
		}
		s.server.TXT(name, data)
		return
	}
	for i, item := range strings.Split(data, ",") {
		switch item = strings.TrimSpace(item); kind {
		case "mx":
			host := fmt.Sprintf("mx%d.%s", i, name)
			s.server.MX(name, uint16(i), host)
			s.server.Addr(host, strings.ToLower(item))
		case "ptr":
			s.server.PTR(name, item)
		default:
			s.server.Addr(name, strings.ToLower(item))
		}
	}
}

// TXT answers with the policies of the story, and else as the DNS does.
func (s *story) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	if policy, ok := s.policies[strings.ToLower(name)]; ok {
		return dns.Answer[string]{Records: []string{policy}, Name: name}, nil
	}
	return s.Resolver.TXT(ctx, name)
}

// expect checks as that project does: what the client calls itself first, and if that is no fail, the sender.
func (s *story) expect(t *testing.T, file, value string, exceptions map[string]string) {
	want, explanation, _ := strings.Cut(value, " ")
	if other := exceptions[s.name+" from "+s.ip+": "+s.policies[s.domain]]; other != "" {
		want = other
	}
	s.Resolver = resolverOf(t, s.server) // what it remembers may have changed
	q := Query{IP: netip.MustParseAddr(s.ip), Helo: s.domain, From: reversePath(s.sender)}
	v := CheckHelo(t.Context(), s, q)
	if v.Result != Fail && s.sender != "" {
		v = Check(t.Context(), s, q)
	}
	if string(v.Result) != want {
		t.Errorf("%s: %s: %s from %s: got %s (%s), want %s", file, s.name, s.domain, s.ip, v.Result, v.Reason, want)
	}
	if explanation != "" && v.Explanation != explanation {
		t.Errorf("%s: %s: explanation %q, want %q", file, s.name, v.Explanation, explanation)
	}
}
