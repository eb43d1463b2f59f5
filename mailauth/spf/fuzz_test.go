package spf

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"posthaste/dns"
)

// parroting answers each question with what it was given.
type parroting struct{ text string }

func (p parroting) TXT(context.Context, string) (dns.Answer[string], error) {
	return dns.Answer[string]{Records: []string{p.text}}, nil
}

func (p parroting) addrs() (dns.Answer[netip.Addr], error) {
	if len(p.text)%2 == 0 {
		return dns.Answer[netip.Addr]{}, dns.ErrNoName
	}
	return dns.Answer[netip.Addr]{Records: []netip.Addr{client}}, nil
}

func (p parroting) A(context.Context, string) (dns.Answer[netip.Addr], error)    { return p.addrs() }
func (p parroting) AAAA(context.Context, string) (dns.Answer[netip.Addr], error) { return p.addrs() }

func (p parroting) MX(context.Context, string) (dns.Answer[dns.MX], error) {
	return dns.Answer[dns.MX]{Records: []dns.MX{{Preference: 1, Host: p.text}}}, nil
}

func (p parroting) PTR(context.Context, netip.Addr) (dns.Answer[string], error) {
	return dns.Answer[string]{Records: []string{p.text}}, nil
}

func FuzzRecord(f *testing.F) {
	for _, s := range scenarios(f, "rfc7208-tests.yml") {
		for _, entries := range s.ZoneData {
			for _, e := range entries {
				if fields, ok := e.(map[string]any); ok && (fields["SPF"] != nil || fields["TXT"] != nil) {
					for _, v := range fields {
						f.Add(joined(v), "ann", "192.0.2.1")
					}
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, txt, local, ip string) {
		if rec, err := parseRecord(version + " " + txt); err == nil {
			for _, m := range rec.mechanisms {
				if m.target == nil {
					continue
				}
				again, err := parseDomain(m.target.String())
				if err == nil && again.String() != m.target.String() {
					t.Errorf("%q is read as %q", m.target, again)
				}
			}
		}
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			addr = client
		}
		q := Query{IP: addr, Helo: local, From: reversePath(local + "@north.test")}
		v := Check(t.Context(), parroting{txt}, q)
		if v.Lookups > 1+maxTerms*(1+maxNames)+1+maxNames+1 {
			t.Errorf("%d lookups", v.Lookups)
		}
		for _, told := range []string{v.Reason, v.Explanation, v.Mechanism, v.At, v.Domain, v.Resinfo()} {
			if strings.ContainsFunc(told, func(r rune) bool { return r < ' ' || r > '~' }) || len(told) > 5000 {
				t.Errorf("told on: %q", told)
			}
		}
	})
}

func FuzzMacros(f *testing.F) {
	for _, s := range []string{"%{s}", "%{l1r+-}._spf.%{d2}", "a%%b%_c%-d", "%{D}", "%{ir}.%{v}.arpa", "%{", "%", "%{d99999999999999999999r.-+,/_=}"} {
		f.Add(s, "strong-bad@email.example.com")
	}
	f.Fuzz(func(t *testing.T, s, value string) {
		if len(value) > 1000 {
			return
		}
		for _, at := range []place{inRecord, inExplanation} {
			m, err := parseMacros(s, at)
			if err != nil {
				continue
			}
			text, err := m.expand(func(byte) string { return value })
			if err == nil && len(text) > maxExpanded {
				t.Errorf("%q expands to %d bytes", s, len(text))
			}
			if short := shorten(text); len(short) > maxName && strings.Contains(short, ".") {
				t.Errorf("%d bytes are left", len(short))
			}
		}
	})
}
