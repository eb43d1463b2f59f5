package remote

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

func TestRoute(t *testing.T) {
	for _, c := range []struct {
		claim  string
		domain string
		set    func(*dnstest.Server)
		hosts  string // names, or prefix of the status
	}{
		{"best preference first", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 20, "b.test")
			s.MX("south.test", 10, "a.test")
		}, "[a.test b.test]"},
		{"a host listed twice counts once", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 20, "a.test")
			s.MX("south.test", 10, "A.test")
		}, "[a.test]"},
		{"no MX: the domain itself", "south.test", func(s *dnstest.Server) { s.Addr("south.test", "192.0.2.1") }, "[south.test]"},
		{"a domain that is an alias", "www.test", func(s *dnstest.Server) {
			s.CNAME("www.test", "south.test")
			s.MX("south.test", 10, "a.test")
		}, "[a.test]"},
		{"an IPv4 literal", "[192.0.2.1]", func(*dnstest.Server) {}, "[[192.0.2.1]]"},
		{"an IPv6 literal", "[IPv6:2001:db8::1]", func(*dnstest.Server) {}, "[[2001:db8::1]]"},
		{"a broken literal", "[x]", func(*dnstest.Server) {}, "550 5.1.2"},
		{"a domain that does not exist", "south.test", func(*dnstest.Server) {}, "550 5.1.2"},
		{"a domain with neither MX nor address", "south.test", func(s *dnstest.Server) { s.TXT("south.test", "x") }, "550 5.1.2"},
		{"null MX", "south.test", func(s *dnstest.Server) { s.MX("south.test", 0, ".") }, "556 5.1.10"},
		{"null MX beside another is no null MX", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 0, ".")
			s.MX("south.test", 10, "a.test")
		}, "[a.test]"},
		{"MX that is no host name", "south.test", func(s *dnstest.Server) { s.MX("south.test", 0, "a b.test") }, "550 5.4.4"},
		{"a failing DNS", "south.test", func(s *dnstest.Server) { s.SetFault("south.test", dnstest.Fault{Kind: dnstest.ServFail}) }, "451 4.4.3"},
		{"a silent DNS", "south.test", func(s *dnstest.Server) { s.SetFault("south.test", dnstest.Fault{Kind: dnstest.Drop}) }, "451 4.4.3"},
		{"backup MX: only hosts better than us", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 10, "a.test")
			s.MX("south.test", 20, "b.test")
			s.MX("south.test", 20, "mail.north.test")
			s.MX("south.test", 30, "c.test")
		}, "[a.test]"},
		{"known by another name too", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 10, "a.test")
			s.MX("south.test", 20, "alias.north.test")
		}, "[a.test]"},
		{"we are the best: a loop", "south.test", func(s *dnstest.Server) {
			s.MX("south.test", 10, "MAIL.north.test")
			s.MX("south.test", 10, "a.test")
		}, "554 5.4.6"},
		{"more hosts than are kept", "south.test", func(s *dnstest.Server) {
			for i := range maxHosts + 5 {
				s.MX("south.test", uint16(i), "a.test")
				s.MX("south.test", uint16(i), fmt.Sprintf("h%d.test", i))
			}
		}, "[a.test h0.test h1.test"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{OwnNames: []string{"alias.north.test"}})
				c.set(w.dns)
				dest, err := w.agent.Route(t.Context(), "", c.domain)
				var names []string
				for _, h := range dest.Hosts {
					names = append(names, h.Name)
				}
				got := fmt.Sprint(names)
				if err != nil {
					got = err.Error()
				}
				if !strings.HasPrefix(got, c.hosts) || len(dest.Hosts) > maxHosts {
					t.Errorf("got %s, want %s", got, c.hosts)
				}
			})
		})
	}
}

func TestKeyNamesTheSetOfHosts(t *testing.T) {
	w := newWorld(t, Config{})
	for i, domain := range []string{"one.test", "two.test"} {
		w.dns.MX(domain, uint16(10-i), "b.test")
		w.dns.MX(domain, uint16(10+i), "a.test")
	}
	one, _ := w.agent.Route(t.Context(), "", "one.test")
	two, _ := w.agent.Route(t.Context(), "", "two.test")
	if one.Key != "a.test,b.test" || two.Key != one.Key {
		t.Errorf("keys %q and %q, want both a.test,b.test", one.Key, two.Key)
	}
}

func TestEqualHostsShareTheLoad(t *testing.T) {
	hosts := []Host{{Name: "a", Preference: 10}, {Name: "b", Preference: 10}, {Name: "c", Preference: 20}}
	first := make(map[string]int)
	for range 1000 {
		s := shuffled(hosts)
		first[s[0].Name]++
		if s[2].Name != "c" {
			t.Fatalf("order %v, want c last", s)
		}
	}
	if first["a"] < 300 || first["b"] < 300 {
		t.Errorf("first were %v, want about as many each", first)
	}
}

func TestAddressesAlternateBetweenFamilies(t *testing.T) {
	w := newWorld(t, Config{})
	for _, ip := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"} {
		w.dns.Addr("a.test", ip)
	}
	addrs, status := w.agent.addresses(t.Context(), Destination{}, Host{Name: "a.test"})
	var got []string
	for _, a := range addrs.Records {
		got = append(got, a.String())
	}
	if want := []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}; status != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, status, want)
	}
}

func TestHostWithoutAddress(t *testing.T) {
	for _, c := range []struct{ claim, want string }{
		{"all hosts without address: for good", "550 5.4.4"},
		{"an address that the DNS does not tell: later", "451 4.4.3"},
	} {
		w := newWorld(t, Config{})
		w.dns.MX("south.test", 10, "a.test")
		w.dns.MX("south.test", 20, "b.test")
		if c.want[0] == '4' {
			w.dns.SetFault("b.test", dnstest.Fault{Kind: dnstest.Refuse})
		}
		dest, _ := w.agent.Route(t.Context(), "", "south.test")
		got := w.sendTo(t.Context(), dest, mailFromAnn(), plainContent, "bob")
		if !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: got %q, want %s", c.claim, got, c.want)
		}
	}
}

var _ Resolver = (*dns.Resolver)(nil)

func TestNoRouteIsToldInTheTrace(t *testing.T) {
	w := newWorld(t, Config{})
	w.dns.MX("south.test", 0, ".")
	w.agent.Route(t.Context(), "0123456789abcdef", "south.test")
	if got := w.story.texts(); got != "dns false: found no way to south.test: the domain south.test takes no mail (null MX)\n" {
		t.Errorf("got %q", got)
	}
}
