package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/explain"
	"posthaste/mail"
)

var client = netip.MustParseAddr("192.0.2.1")

func from(address string) Query {
	return Query{IP: client, Helo: "mx.client.test", From: reversePath(address), Hostname: "mx.here.test"}
}

func TestFailingDNSIsNeitherPassNorFail(t *testing.T) {
	for _, c := range []struct {
		claim  string
		record string
		broken string // the name that fails
		want   Result
	}{
		{"of the record", "v=spf1 +all", "north.test", TempError},
		{"of an include", "v=spf1 include:other.test -all", "other.test", TempError},
		{"of a redirect", "v=spf1 redirect=other.test", "other.test", TempError},
		{"of a", "v=spf1 a:other.test -all", "other.test", TempError},
		{"of mx", "v=spf1 mx:other.test -all", "other.test", TempError},
		{"of the address of a mail exchanger", "v=spf1 mx -all", "mx.north.test", TempError},
		{"of exists", "v=spf1 exists:other.test -all", "other.test", TempError},
		{"of ptr, where a fail follows", "v=spf1 ptr -all", "1.2.0.192.in-addr.arpa", TempError},
		{"of ptr, where a softfail follows", "v=spf1 ptr ~all", "1.2.0.192.in-addr.arpa", TempError},
		{"of ptr, where a pass follows in any case", "v=spf1 ptr ip4:192.0.2.1 -all", "1.2.0.192.in-addr.arpa", Pass},
		{"of a name behind ptr", "v=spf1 ptr -all", "host.client.test", TempError},
		{"of macro p", "v=spf1 exists:%{p}.north.test -all", "1.2.0.192.in-addr.arpa", TempError},
		{"of exp changes nothing", "v=spf1 -all exp=other.test", "other.test", Fail},
		{"behind the term that matched", "v=spf1 ip4:192.0.2.1 a:other.test", "other.test", Pass},
	} {
		for _, kind := range []dnstest.FaultKind{dnstest.ServFail, dnstest.Refuse, dnstest.Garbage, dnstest.Drop} {
			synctest.Test(t, func(t *testing.T) {
				s := dnstest.New()
				s.TXT("north.test", c.record)
				s.TXT("other.test", "v=spf1 -all")
				s.MX("north.test", 10, "mx.north.test")
				s.Addr("mx.north.test", "192.0.2.9")
				s.PTR("192.0.2.1", "host.client.test")
				s.Addr("host.client.test", "192.0.2.1")
				s.SetFault(c.broken, dnstest.Fault{Kind: kind})
				start := time.Now()
				v := Check(t.Context(), resolverOf(t, s), from("ann@north.test"))
				if v.Result != c.want {
					t.Errorf("failure %d %s: got %s (%s), want %s", kind, c.claim, v.Result, v.Reason, c.want)
				}
				if took := time.Since(start); took > maxTime {
					t.Errorf("failure %d %s: took %v", kind, c.claim, took)
				}
			})
		}
	}
}

func TestDeadlineEndsACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dnstest.New()
		s.TXT("north.test", "v=spf1 a:slow1.test a:slow2.test a:slow3.test -all")
		s.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		s.SetFault("north.test", dnstest.Fault{Delay: time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		v := Check(ctx, resolverOf(t, s), from("ann@north.test"))
		if took := time.Since(start); v.Result != TempError || took != 3*time.Second {
			t.Errorf("%s after %v, want temperror after 3s", v.Result, took)
		}
		synctest.Wait()
		time.Sleep(dns.DefaultTimeout) // virtual: what the resolver began ends
	})
}

func TestIdentities(t *testing.T) {
	s := dnstest.New()
	s.TXT("north.test", "v=spf1 exists:%{l}.allowed.test -all")
	s.Addr("ann.allowed.test", "127.0.0.2")
	s.Addr("postmaster.allowed.test", "127.0.0.2")
	s.TXT("xn--bcher-kva.test", "v=spf1 ip4:192.0.2.1 -all")
	s.TXT("local.test", "v=spf1 -exists:%{l}.allowed.test exists:%{s}.test +ip4:192.0.2.1 -all")
	r := resolverOf(t, s)
	utf8 := mail.ReversePath{Address: mail.Address{Local: "jürgen", Domain: "local.test"}}
	for _, c := range []struct {
		claim    string
		query    Query
		want     Result
		identity string
	}{
		{"the reverse-path counts", from("ann@north.test"), Pass, "smtp.mailfrom=north.test"},
		{"another local-part is another matter", from("bob@north.test"), Fail, "smtp.mailfrom=north.test"},
		{"no local-part is postmaster", from("@north.test"), Pass, "smtp.mailfrom=north.test"},
		{"the null sender is postmaster of HELO", Query{IP: client, Helo: "north.test"}, Pass, "smtp.helo=north.test"},
		{"HELO with an address is none", Query{IP: client, Helo: "[192.0.2.1]"}, None, `smtp.helo="[192.0.2.1]"`},
		{"HELO is quoted where it is no word", Query{IP: client, Helo: "a\"b;\r\nX: y"}, None, `smtp.helo="a\"b;??X: y"`},
		{"a mapped address is IPv4", Query{IP: netip.MustParseAddr("::ffff:192.0.2.1"), From: reversePath("ann@xn--bcher-kva.test")}, Pass, "smtp.mailfrom=xn--bcher-kva.test"},
		{"a U-label is looked up as A-label", Query{IP: client, Helo: "bücher.test"}, Pass, "smtp.helo=xn--bcher-kva.test"},
		{"a local-part beyond ASCII matches no term with it", Query{IP: client, From: utf8}, Pass, "smtp.mailfrom=local.test"},
		{"no address is no evidence", Query{From: reversePath("ann@north.test")}, None, "smtp.mailfrom=north.test"},
	} {
		v := Check(t.Context(), r, c.query)
		if v.Result != c.want || v.Properties() != c.identity {
			t.Errorf("%s: got %s, %s (%s); want %s, %s", c.claim, v.Result, v.Properties(), v.Reason, c.want, c.identity)
		}
	}
	if v := CheckHelo(t.Context(), r, Query{IP: client, Helo: "north.test", From: reversePath("bob@north.test")}); v.Result != Pass || v.Identity != Helo {
		t.Errorf("HELO by itself: %+v", v)
	}
}

func TestExplanationsOfStrangersAreTamed(t *testing.T) {
	for _, c := range []struct {
		claim, text, want string
	}{
		{"macros are expanded", "%{i} is not %{d}'s, %{s} %{r}: see http://why.test/?s=%{S}", "192.0.2.1 is not north.test's, o'hara@north.test mx.here.test: see http://why.test/?s=o%27hara%40north.test"},
		{"time is given", "at %{t}", "at 1000000000"},
		{"a line end makes it none", "go\r\n250 away", ""},
		{"what is not ASCII makes it none", "für dich", ""},
		{"an unknown macro makes it none", "%{z}", ""},
		{"it is cut", strings.Repeat("word ", 200), strings.Repeat("word ", 79) + "wo..."},
		{"macros cannot make it grow", strings.Repeat("%{S}", 4000), ""},
		{"nothing is none", "", ""},
	} {
		s := dnstest.New()
		s.TXT("north.test", "v=spf1 -all exp=why.%{d}")
		s.TXT("why.north.test", c.text)
		q := from("o'hara@north.test")
		q.Now = time.Unix(1e9, 0)
		if c.claim == "macros cannot make it grow" {
			q.From.Local = strings.Repeat("/", 64)
		}
		v := Check(t.Context(), resolverOf(t, s), q)
		if v.Result != Fail || v.Explanation != c.want {
			t.Errorf("%s: %s, got %q, want %q", c.claim, v.Result, v.Explanation, c.want)
		}
		text := v.Status().Text
		if c.want != "" && !strings.HasSuffix(text, "\nnorth.test explains: "+c.want) || v.Status().Code != 550 {
			t.Errorf("%s: the reply is %q", c.claim, v.Status())
		}
	}
}

func TestReasonsAreSentences(t *testing.T) {
	s := dnstest.New()
	s.TXT("pass.test", "v=spf1 include:inner.test -all")
	s.TXT("inner.test", "v=spf1 ip4:192.0.2.0/24 -all")
	s.TXT("soft.test", "v=spf1 ~all")
	s.TXT("neutral.test", "v=spf1")
	s.TXT("two.test", "v=spf1")
	s.TXT("two.test", "v=spf1 -all")
	s.TXT("bad.test", "v=spf1 ip4:300.1.1.1 -all")
	s.TXT("deep.test", "v=spf1 include:bad.test")
	r := resolverOf(t, s)
	for domain, want := range map[string]string{
		"pass.test":    "192.0.2.1 may send mail of pass.test: the record of pass.test has include:inner.test",
		"soft.test":    "192.0.2.1 probably may not send mail of soft.test: the record of soft.test has ~all",
		"neutral.test": "neutral.test does not say whether 192.0.2.1 may send its mail: nothing in its record matches",
		"void.test":    "void.test does not say who may send its mail",
		"two.test":     "the policy of two.test cannot be understood: two.test has 2 SPF records where one is allowed",
		"bad.test":     `the policy of bad.test cannot be understood: the record of bad.test is malformed: "ip4:300.1.1.1": ip4 needs an address of that family`,
		"deep.test":    `the policy of deep.test cannot be understood: include:bad.test: the record of bad.test is malformed: "ip4:300.1.1.1": ip4 needs an address of that family`,
	} {
		ctx, reasons := explain.With(t.Context())
		if v := Check(ctx, r, from("ann@"+domain)); v.Reason != want {
			t.Errorf("%s: %q, want %q", domain, v.Reason, want)
		}
		if len(reasons.List()) == 0 {
			t.Errorf("%s: nothing was explained", domain)
		}
	}
}

// TestHostilePoliciesAreBounded tells what the worst that we could think of costs.
func TestHostilePoliciesAreBounded(t *testing.T) {
	many := func(n int, term string) string { return version + strings.Repeat(" "+term, n) }
	for _, c := range []struct {
		claim   string
		set     func(*dnstest.Server)
		want    Result
		lookups int // at most
	}{
		{"a record that includes itself", func(s *dnstest.Server) { s.TXT("north.test", "v=spf1 include:north.test -all") }, PermError, 11},
		{"a record that redirects to itself", func(s *dnstest.Server) { s.TXT("north.test", "v=spf1 redirect=north.test") }, PermError, 11},
		{"two that include each other, twice", func(s *dnstest.Server) {
			s.TXT("north.test", "v=spf1 include:b.test include:b.test")
			s.TXT("b.test", "v=spf1 include:north.test include:north.test")
		}, PermError, 11},
		{"a tree of includes without end", func(s *dnstest.Server) {
			for d := range 12 {
				inner := fmt.Sprintf("include:%d.test ", d+1)
				name := fmt.Sprintf("%d.test", d)
				if d == 0 {
					name = "north.test"
				}
				s.TXT(name, many(5, inner))
			}
		}, PermError, 11},
		{"a loop of CNAMEs", func(s *dnstest.Server) { s.CNAME("north.test", "b.test"); s.CNAME("b.test", "north.test") }, TempError, 1},
		{"a chain of CNAMEs of 20 links", func(s *dnstest.Server) {
			s.CNAME("north.test", "0.test")
			for i := range 20 {
				s.CNAME(fmt.Sprintf("%d.test", i), fmt.Sprintf("%d.test", i+1))
			}
			s.TXT("20.test", "v=spf1 +all")
		}, TempError, 1},
		{"as many ip4 as fit", func(s *dnstest.Server) { s.TXT("north.test", many(1300, "ip4:1.2.3.4")) }, Neutral, 1},
		{"8,000 terms that need the DNS", func(s *dnstest.Server) { s.TXT("north.test", many(8000, "a")); s.Addr("north.test", "192.0.2.9") }, PermError, 11},
		{"10,000 terms are too many bytes", func(s *dnstest.Server) { s.TXT("north.test", many(10000, "a")) }, PermError, 1},
		{"a record of 60 kB", func(s *dnstest.Server) { s.TXT("north.test", many(5000, "ip4:1.2.3.4")) }, PermError, 1},
		{"100 mail exchangers", func(s *dnstest.Server) {
			s.TXT("north.test", "v=spf1 mx -all")
			for i := range 100 {
				s.MX("north.test", 1, fmt.Sprintf("mx%d.test", i))
			}
		}, PermError, 2},
		{"ten mx with ten hosts each", func(s *dnstest.Server) {
			s.TXT("north.test", many(10, "mx"))
			for i := range 10 {
				s.MX("north.test", 1, fmt.Sprintf("mx%d.test", i))
				s.Addr(fmt.Sprintf("mx%d.test", i), "192.0.2.9")
			}
		}, Neutral, 111},
		{"200 names of the client", func(s *dnstest.Server) {
			s.TXT("north.test", many(5, "ptr")+" exists:%{p}.north.test")
			for i := range 200 {
				s.PTR("192.0.2.1", fmt.Sprintf("n%d.client.test", i))
			}
		}, Neutral, 13},
		{"terms that find nothing", func(s *dnstest.Server) { s.TXT("north.test", many(10, "a:void.test")) }, PermError, 4},
		{"a macro that expands without end", func(s *dnstest.Server) { s.TXT("north.test", "v=spf1 exists:"+strings.Repeat("%{S}", 4000)) }, PermError, 1},
	} {
		s := dnstest.New()
		c.set(s)
		q := from(strings.Repeat("/", 64) + "@north.test")
		start := time.Now()
		v := Check(t.Context(), resolverOf(t, s), q)
		took := time.Since(start)
		if v.Result != c.want || v.Lookups > c.lookups {
			t.Errorf("%s: %s after %d lookups (%s), want %s after at most %d", c.claim, v.Result, v.Lookups, v.Reason, c.want, c.lookups)
		}
		if len(v.Reason) > 4000 {
			t.Errorf("%s: a reason of %d bytes", c.claim, len(v.Reason))
		}
		t.Logf("%-40s %s after %d lookups in %v", c.claim, v.Result, v.Lookups, took.Round(10*time.Microsecond))
	}
}

func TestMacrosShortenWhatIsTooLong(t *testing.T) {
	long := strings.Repeat("abcdefghi.", 30) + "north.test"
	got := shorten(long)
	if len(got) > maxName || !strings.HasSuffix(long, "."+got) || len(got) < maxName-10 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	one := strings.Repeat("x", 300)
	if shorten(one) != one {
		t.Error("a single label was cut")
	}
}

// BenchmarkCheck is a common policy with a warm cache: three records, an include in an include.
func BenchmarkCheck(b *testing.B) {
	s := dnstest.New()
	s.TXT("north.test", "v=spf1 mx include:_spf.big.test ~all")
	s.MX("north.test", 10, "mx.north.test")
	s.Addr("mx.north.test", "192.0.2.9")
	s.TXT("_spf.big.test", "v=spf1 include:_net.big.test ~all")
	s.TXT("_net.big.test", "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::/32 ip4:192.0.2.0/24 ~all")
	r := resolverOf(b, s)
	for b.Loop() {
		if v := Check(b.Context(), r, from("ann@north.test")); v.Result != Pass {
			b.Fatal(v)
		}
	}
}

// BenchmarkLargestRecord is a record as long as we read, of terms that cost nothing but their parsing.
func BenchmarkLargestRecord(b *testing.B) {
	txt := version + strings.Repeat(" ip4:1.2.3.4/8", (maxRecord-len(version))/14)
	b.SetBytes(int64(len(txt)))
	for b.Loop() {
		if _, err := parseRecord(txt); err != nil {
			b.Fatal(err)
		}
	}
}
