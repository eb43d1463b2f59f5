package dmarc

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/message"
)

// newWorld returns a resolver of a DNS with these TXT records: name, text, name, text …
func newWorld(t testing.TB, pairs ...string) (*dns.Resolver, *dnstest.Server) {
	t.Helper()
	server := dnstest.New()
	for i := 0; i < len(pairs); i += 2 {
		server.TXT(pairs[i], pairs[i+1])
	}
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return resolver, server
}

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Record
		ok         bool
	}{
		{"all tags", "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; t=y; psd=n; fo=1:d:s; rua=mailto:a@x.example,https://x.example/r; ruf=mailto:f@x.example",
			Record{Policy: Reject, Subdomains: Quarantine, Nonexistent: None, StrictDKIM: true, StrictSPF: true, Test: true, PublicSuffix: "n", FailureWhen: "1:d:s",
				Aggregate: []string{"mailto:a@x.example", "https://x.example/r"}, Failure: []string{"mailto:f@x.example"}}, true},
		{"a version alone", "v=DMARC1", Record{}, true},
		{"a separator at the end, space and case", "V = DMARC1 ;\tP = Reject ;", Record{Policy: Reject}, true},
		{"tags in any order, unknown and old ones", "v=DMARC1; x=1; pct=0; rf=afrf; ri=60; psd=u; p=none", Record{Policy: None}, true},
		{"the limit of size is dropped", "v=DMARC1;p=none;rua=mailto:a@x.example!10m,mailto:b@x.example!5", Record{Policy: None, Aggregate: []string{"mailto:a@x.example", "mailto:b@x.example"}}, true},
		{"a bad URI costs only itself", "v=DMARC1;p=none;rua=a@x.example,mailto:b@x.example,mailto:c!d@x.example",
			Record{Policy: None, Aggregate: []string{"mailto:b@x.example"}, Problems: []string{"the value of rua is wrong"}}, true},
		{"a wrong value is the default", "v=DMARC1;p=none;adkim=x;fo=0:1;psd=z",
			Record{Policy: None, Problems: []string{"the value of adkim is wrong", "the value of fo is wrong", "the value of psd is wrong"}}, true},
		{"the first of two tags", "v=DMARC1;p=none;p=reject", Record{Policy: None, Problems: []string{"a tag is twice there or has no value"}}, true},
		{"version in another case", "v=dmarc1; p=none", Record{}, false},
		{"version not first", "p=none; v=DMARC1", Record{}, false},
		{"another version", "v=DMARC10; p=none", Record{}, false},
		{"SPF", "v=spf1 -all", Record{}, false},
		{"nothing", "", Record{}, false},
		{"too long", "v=DMARC1; p=none; x=" + strings.Repeat("y", maxRecord), Record{}, false},
	} {
		got, ok := ParseRecord(c.text)
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, ok)
		}
	}
	if r, _ := ParseRecord("v=DMARC1; rua=" + strings.Repeat("mailto:a@x.example,", 100)); len(r.Aggregate) != maxURIs {
		t.Errorf("%d URIs are kept", len(r.Aggregate))
	}
}

// TestTreeWalk has the examples of RFC 9989 section 4.10, 5.1.8 and appendix B.4.
func TestTreeWalk(t *testing.T) {
	want := strings.Fields("a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com")
	if got := targets(want[0]); !slices.Equal(got, want) {
		t.Errorf("13 labels: %v", got)
	}
	want = strings.Fields("mail.a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com e.f.g.example.com f.g.example.com g.example.com example.com com")
	if got := targets(want[0]); !slices.Equal(got, want) {
		t.Errorf("10 labels: %v", got)
	}
	for n, labels := range map[int]string{1: "com", 2: "a.com", 7: "a.b.c.d.e.f.com", 8: "a.b.c.d.e.f.g.com"} {
		if got := targets(labels); len(got) != n || got[len(got)-1] != "com" {
			t.Errorf("%s: %v", labels, got)
		}
	}
	for _, name := range []string{"a.b.c.d.e.f.g.h.com", strings.Repeat("x.", 100) + "com"} {
		if got := targets(name); len(got) != maxQuestions || strings.Count(got[1], ".") != 6 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOrgDomain(t *testing.T) {
	for _, c := range []struct {
		name, domain, want string
		records            []string
	}{
		{"B.4.1: the author", "example.com", "example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none", "_dmarc.signing.example.com", "v=DMARC1; p=none"}},
		{"B.4.1: the fewest labels", "signing.example.com", "example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none", "_dmarc.signing.example.com", "v=DMARC1; p=none"}},
		{"B.4.2: deep", "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none"}},
		{"B.4.3: below a public suffix", "giant.bank.example", "giant.bank.example", []string{"_dmarc.bank.example", "v=DMARC1; psd=y; p=reject", "_dmarc.giant.bank.example", "v=DMARC1; p=none"}},
		{"B.4.3: two below", "mail.giant.bank.example", "giant.bank.example", []string{"_dmarc.bank.example", "v=DMARC1; psd=y; p=reject", "_dmarc.giant.bank.example", "v=DMARC1; p=none"}},
		{"B.4.3: without a record of its own", "mail.mega.bank.example", "mega.bank.example", []string{"_dmarc.bank.example", "v=DMARC1; psd=y; p=reject"}},
		{"4.10.2: records at two heights", "a.mail.example.com", "example.com", []string{"_dmarc.mail.example.com", "v=DMARC1; p=none", "_dmarc.example.com", "v=DMARC1; p=none"}},
		{"4.10.2: psd=n ends the walk", "a.mail.example.com", "mail.example.com", []string{"_dmarc.mail.example.com", "v=DMARC1; p=none; psd=n", "_dmarc.example.com", "v=DMARC1; p=none"}},
		{"4.10.2: only the public suffix", "a.mail.example.com", "example.com", []string{"_dmarc.com", "v=DMARC1; p=none; psd=y"}},
		{"the public suffix itself", "com", "com", []string{"_dmarc.com", "v=DMARC1; p=none; psd=y"}},
		{"psd=y where the walk begins", "bank.example", "bank.example", []string{"_dmarc.bank.example", "v=DMARC1; p=none; psd=y", "_dmarc.example", "v=DMARC1; p=none"}},
		{"no record at all", "a.mail.example.com", "a.mail.example.com", nil},
		{"two records are none", "a.example.com", "a.example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none", "_dmarc.example.com", "v=DMARC1; p=reject"}},
		{"other records beside are nothing", "a.example.com", "example.com", []string{"_dmarc.example.com", "v=spf1 -all", "_dmarc.example.com", "v=DMARC1; p=none"}},
		{"case and the final dot", "A.Example.COM.", "example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none"}},
		{"5.1.8: a record that the shortcut skips", "mail.a.b.c.d.e.f.g.example.com", "example.com", []string{"_dmarc.b.c.d.e.f.g.example.com", "v=DMARC1; p=none; psd=n", "_dmarc.example.com", "v=DMARC1; p=none"}},
	} {
		r, _ := newWorld(t, c.records...)
		if got, err := OrgDomain(t.Context(), r, c.domain); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	const org, sub = "_dmarc.example.com", "_dmarc.sub.example.com"
	from := func(domains ...string) Input { return Input{From: domains} }
	spf := func(from, domain string) Input {
		return Input{From: []string{from}, SPF: "pass", SPFDomain: domain}
	}
	dkim := func(from string, domains ...string) Input { return Input{From: []string{from}, DKIM: domains} }
	for _, c := range []struct {
		name    string
		records []string
		in      Input
		want    string // verdict, policy, applied, domain of the record
	}{
		{"nobody has a policy", nil, spf("example.com", "example.com"), "none  none "},
		{"SPF aligns", []string{org, "v=DMARC1; p=reject"}, spf("example.com", "example.com"), "pass reject none example.com"},
		{"SPF of another domain", []string{org, "v=DMARC1; p=reject"}, spf("example.com", "example.net"), "fail reject reject example.com"},
		{"SPF that does not pass", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com"}, SPF: "softfail", SPFDomain: "example.com"}, "fail reject reject example.com"},
		{"relaxed SPF, the author above", []string{org, "v=DMARC1; p=reject"}, spf("example.com", "bounce.example.com"), "pass reject none example.com"},
		{"relaxed SPF, side by side", []string{org, "v=DMARC1; p=reject"}, spf("a.example.com", "b.example.com"), "pass reject none example.com"},
		{"strict SPF", []string{org, "v=DMARC1; p=reject; aspf=s"}, spf("example.com", "bounce.example.com"), "fail reject reject example.com"},
		{"strict DKIM", []string{org, "v=DMARC1; p=reject; adkim=s"}, dkim("example.com", "mail.example.com", "EXAMPLE.com"), "pass reject none example.com"},
		{"any signature", []string{org, "v=DMARC1; p=quarantine"}, dkim("example.com", "list.example", "x.example.net", "m.example.com"), "pass quarantine none example.com"},
		{"a suffix in letters only", []string{org, "v=DMARC1; p=quarantine"}, dkim("example.com", "badexample.com"), "fail quarantine quarantine example.com"},
		{"a domain of its own in between", []string{org, "v=DMARC1; p=reject", "_dmarc.dept.example.com", "v=DMARC1; p=none; psd=n"}, dkim("example.com", "x.dept.example.com"), "fail reject reject example.com"},
		{"sp for what is below", []string{org, "v=DMARC1; p=reject; sp=none", "sub.example.com", "x"}, from("sub.example.com"), "fail none none example.com"},
		{"sp not for the domain itself", []string{org, "v=DMARC1; p=reject; sp=none"}, from("example.com"), "fail reject reject example.com"},
		{"p without sp", []string{org, "v=DMARC1; p=quarantine"}, from("sub.example.com"), "fail quarantine quarantine example.com"},
		{"np for what does not exist", []string{org, "v=DMARC1; p=none; sp=none; np=reject"}, from("nothing.example.com"), "fail reject reject example.com"},
		{"np not for what exists", []string{org, "v=DMARC1; p=none; sp=quarantine; np=reject", "sub.example.com", "x"}, from("sub.example.com"), "fail quarantine quarantine example.com"},
		{"np alone, and the domain exists", []string{org, "v=DMARC1; p=quarantine; np=reject", "sub.example.com", "x"}, from("sub.example.com"), "fail quarantine quarantine example.com"},
		{"a record of its own, whose sp means nothing", []string{org, "v=DMARC1; p=reject", sub, "v=DMARC1; p=none; sp=reject"}, from("sub.example.com"), "fail none none sub.example.com"},
		{"a record between is passed over", []string{org, "v=DMARC1; p=reject", sub, "v=DMARC1; p=none"}, from("x.sub.example.com"), "fail reject reject example.com"},
		{"t=y makes reject quarantine", []string{org, "v=DMARC1; p=reject; t=y"}, from("example.com"), "fail reject quarantine example.com"},
		{"t=y makes quarantine nothing", []string{org, "v=DMARC1; p=quarantine; t=y"}, from("example.com"), "fail quarantine none example.com"},
		{"pct means nothing", []string{org, "v=DMARC1; p=reject; pct=0"}, from("example.com"), "fail reject reject example.com"},
		{"the public suffix asks", []string{"_dmarc.bank.example", "v=DMARC1; p=reject; sp=quarantine; psd=y", "mega.bank.example", "x"}, from("mega.bank.example"), "fail quarantine quarantine bank.example"},
		{"the public suffix asks about what nobody registered", []string{"_dmarc.bank.example", "v=DMARC1; p=none; np=reject; psd=y"}, from("fake.bank.example"), "fail reject reject bank.example"},
		{"the public suffix is silent where the organization speaks", []string{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y", "_dmarc.giant.bank.example", "v=DMARC1; p=none"}, from("mail.giant.bank.example"), "fail none none giant.bank.example"},
		{"B.4.3: SPF aligns", []string{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y", "_dmarc.giant.bank.example", "v=DMARC1; p=none"}, Input{From: []string{"giant.bank.example"}, SPF: "pass", SPFDomain: "mail.giant.bank.example", DKIM: []string{"mail.mega.bank.example"}}, "pass none none giant.bank.example"},
		{"B.4.3: DKIM does not", []string{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y", "_dmarc.giant.bank.example", "v=DMARC1; p=reject"}, dkim("giant.bank.example", "mail.mega.bank.example"), "fail reject reject giant.bank.example"},
		{"the public suffix signs nothing for those below", []string{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y"}, dkim("giant.bank.example", "bank.example"), "fail reject reject bank.example"},
		{"no p and no reports: the record is of no use", []string{org, "v=DMARC1"}, from("example.com"), "permerror  none example.com"},
		{"no p, but reports", []string{org, "v=DMARC1; rua=mailto:a@example.com"}, from("example.com"), "fail none none example.com"},
		{"a wrong sp and reports", []string{org, "v=DMARC1; p=reject; sp=what; rua=mailto:a@example.com"}, from("example.com"), "fail none none example.com"},
		{"a wrong sp without reports", []string{org, "v=DMARC1; p=reject; sp=what"}, from("example.com"), "permerror  none example.com"},
		{"no domain", nil, from(), "permerror  none "},
		{"an address literal", nil, from("[192.0.2.1]"), "permerror  none "},
		{"two authors of whom one fails", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"evil.example", "example.com"}, DKIM: []string{"evil.example"}}, "fail reject reject example.com"},
		{"the strictest of two that fail", []string{org, "v=DMARC1; p=quarantine", "_dmarc.other.example", "v=DMARC1; p=reject"}, from("example.com", "other.example"), "fail reject reject other.example"},
		{"two authors who both pass", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com", "a.example.com"}, DKIM: []string{"example.com"}}, "pass reject none example.com"},
		{"one passes, of the other nobody knows", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com", "other.example"}, DKIM: []string{"example.com"}}, "none  none "},
		{"DKIM could not be checked", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com"}, Unsure: []string{"mail.example.com"}}, "temperror reject none example.com"},
		{"DKIM of somebody else could not be checked", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com"}, Unsure: []string{"example.net"}}, "fail reject reject example.com"},
		{"SPF could not be checked", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com"}, SPF: "temperror", SPFDomain: "example.com"}, "temperror reject none example.com"},
		{"SPF could not be checked, DKIM aligns", []string{org, "v=DMARC1; p=reject"}, Input{From: []string{"example.com"}, SPF: "temperror", SPFDomain: "example.com", DKIM: []string{"example.com"}}, "pass reject none example.com"},
		{"an international domain", []string{"_dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject"}, from("xn--bcher-kva.example"), "fail reject reject xn--bcher-kva.example"},
	} {
		r, _ := newWorld(t, c.records...)
		got := Evaluate(t.Context(), r, c.in)
		if text := fmt.Sprintf("%s %s %s %s", got.Verdict, got.Policy, got.Applied, got.Domain); text != c.want {
			t.Errorf("%s: %q, want %q (%s)", c.name, text, c.want, got.Reason)
		}
		if got.Reason == "" || !strings.HasSuffix(got.Reason, ".") {
			t.Errorf("%s: reason %q", c.name, got.Reason)
		}
	}
}

func TestTooManyAuthorsNeverPass(t *testing.T) {
	r, server := newWorld(t)
	in := Input{}
	for i := range 100 {
		domain := fmt.Sprintf("a%d.example", i)
		server.TXT("_dmarc."+domain, "v=DMARC1; p=reject")
		in.From, in.DKIM = append(in.From, domain), append(in.DKIM, domain)
	}
	if got := Evaluate(t.Context(), r, in); got.Verdict != PermError || got.Applied != None {
		t.Errorf("got %+v", got)
	}
	if server.Queries("TXT", "_dmarc.a8.example") != 0 {
		t.Error("the ninth domain was asked for")
	}
}

func TestDNSFailures(t *testing.T) {
	fail := func(server *dnstest.Server, name string) {
		server.SetFault(name, dnstest.Fault{Kind: dnstest.ServFail})
	}
	for _, c := range []struct {
		name, fault string
		in          Input
		want        Verdict
	}{
		{"of the author", "_dmarc.a.example.com", Input{From: []string{"a.example.com"}, DKIM: []string{"a.example.com"}}, TempError},
		{"on the way up", "_dmarc.com", Input{From: []string{"a.example.com"}, DKIM: []string{"a.example.com"}}, TempError},
		{"of a signer that may align", "_dmarc.x.example.com", Input{From: []string{"example.com"}, DKIM: []string{"x.example.com"}}, TempError},
		{"of a signer, and another aligns", "_dmarc.x.example.com", Input{From: []string{"example.com"}, DKIM: []string{"x.example.com", "y.example.com"}}, Pass},
		{"of a signer who cannot align", "_dmarc.x.example.net", Input{From: []string{"example.com"}, DKIM: []string{"x.example.net"}}, Fail},
		{"of whether it exists", "b.example.com", Input{From: []string{"b.example.com"}}, TempError},
	} {
		r, server := newWorld(t, "_dmarc.example.com", "v=DMARC1; p=reject; np=reject", "a.example.com", "x")
		fail(server, c.fault)
		got := Evaluate(t.Context(), r, c.in)
		if got.Verdict != c.want || c.want == TempError && got.Applied != None {
			t.Errorf("%s: %s, applied %s (%s)", c.name, got.Verdict, got.Applied, got.Reason)
		}
	}
}

// counter counts the questions that reach the DNS.
type counter struct {
	Resolver
	n int
}

func (c *counter) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	c.n++
	return c.Resolver.TXT(ctx, name)
}

func TestQuestionsAreBounded(t *testing.T) {
	r, _ := newWorld(t, "_dmarc.example", "v=DMARC1; p=reject; np=reject")
	long := strings.Repeat("x.", 60) + "example"
	in := Input{From: []string{long}}
	for i := range 1000 {
		in.DKIM = append(in.DKIM, fmt.Sprintf("s%d.%s", i, strings.Repeat("y.", 50)+"example"))
	}
	c := &counter{Resolver: r}
	got := Evaluate(t.Context(), c, in)
	if most := 1 + maxQuestions + 1 + maxWalks*maxQuestions; c.n > most {
		t.Errorf("%d questions, at most %d are good (%s)", c.n, most, got.Reason)
	}
	c.n = 0
	Evaluate(t.Context(), c, Input{From: []string{"a.example"}, SPF: "pass", SPFDomain: "b.net", DKIM: []string{"c.org", "d.com"}})
	if c.n > 4 {
		t.Errorf("%d questions for domains that cannot align", c.n)
	}
}

func TestAuthors(t *testing.T) {
	for header, want := range map[string]string{
		"From: Ann <ann@Example.COM>":                                       "example.com",
		"From: ann@a.example, bob@b.example, cat@A.example":                 "a.example b.example",
		"From: a@a.example\r\nFrom: b@b.example":                            "a.example b.example",
		"From: friends: a@a.example, b@b.example;":                          "a.example b.example",
		"From: undisclosed: ;":                                              "",
		"From: ann":                                                         "",
		"Subject: no author":                                                "",
		"From: \"x@evil.example\" <ann@good.example>":                       "good.example",
		"From: ann@bücher.example":                                          "xn--bcher-kva.example",
		"From: <ann@[192.0.2.1]>":                                           "[192.0.2.1]",
		"From: a@a.example.":                                                "a.example",
		"From: =?utf-8?q?ann=40b=C3=BCcher=2Eexample?= <x@real.example>":    "real.example",
		"from : ann@a.example":                                              "a.example",
		"From: " + strings.Repeat("a@a.example,", 2000) + " b@late.example": "a.example",
	} {
		h := message.ParseHeader([]byte(header + "\r\n\r\n"))
		if got := strings.Join(Authors(h), " "); got != want {
			t.Errorf("%.60s: %q, want %q", header, got, want)
		}
	}
}

func TestResInfo(t *testing.T) {
	r, _ := newWorld(t, "_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; t=y", "sub.example.com", "x")
	for domain, want := range map[string]string{
		"example.com":     "dmarc=fail (p=reject t=y) header.from=example.com policy.dmarc=quarantine",
		"sub.example.com": "dmarc=fail (p=reject sp=quarantine t=y) header.from=sub.example.com policy.dmarc=none",
		"example.net":     "dmarc=none header.from=example.net",
	} {
		if got := Evaluate(t.Context(), r, Input{From: []string{domain}}).ResInfo().String(); got != want {
			t.Errorf("%s: %s", domain, got)
		}
	}
}

func TestWouldAlign(t *testing.T) {
	r, server := newWorld(t, "_dmarc.example.com", "v=DMARC1; p=reject", "_dmarc.mild.example", "v=DMARC1; p=none")
	server.SetFault("_dmarc.down.example", dnstest.Fault{Kind: dnstest.ServFail})
	for _, c := range []struct {
		from, envelope string
		signing        []string
		aligned, both  bool
		sentence       string
	}{
		{"example.com", "example.com", []string{"example.com"}, true, true, "Mail from example.com aligns with example.com (DKIM) and example.com (SPF)."},
		{"example.com", "example.net", []string{"mail.example.com"}, true, false, "Mail from example.com aligns with mail.example.com (DKIM)."},
		{"example.com", "bounce.example.com", nil, true, false, "Mail from example.com aligns with bounce.example.com (SPF). It has no signature that aligns, so that it fails when it is forwarded."},
		{"example.com", "example.net", []string{"example.net"}, false, false, "Mail from example.com has a reverse-path at example.net and is signed by example.net: none of these aligns. example.com asks receivers to reject it."},
		{"mild.example", "", nil, false, false, "Mail from mild.example has no reverse-path with a domain and is not signed: none of these aligns. mild.example asks for nothing to be done about that yet."},
		{"none.example", "", nil, false, false, "none.example has no DMARC policy: nobody is asked to refuse its mail, and large hosts may trust it less."},
	} {
		got := WouldAlign(t.Context(), r, c.from, c.envelope, c.signing)
		if got.Aligned != c.aligned || got.Both != c.both || got.Sentence != c.sentence || !got.Known {
			t.Errorf("%s: %+v", c.from, got)
		}
	}
	if got := WouldAlign(t.Context(), r, "down.example", "", nil); got.Known || got.Aligned {
		t.Errorf("when the DNS is down: %+v", got)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@b.example!10m,https://x; fo=1:d; psd=y")
	f.Add("v = DMARC1;;;=;p=")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := ParseRecord(text)
		if !ok {
			return
		}
		if len(r.Aggregate) > maxURIs || len(r.Failure) > maxURIs || r.Policy > Reject || r.Subdomains > Reject || len(r.Problems) > maxTags {
			t.Fatalf("%q: %+v", text, r)
		}
		if r.PublicSuffix != "" && r.PublicSuffix != "y" && r.PublicSuffix != "n" {
			t.Fatalf("%q: psd %q", text, r.PublicSuffix)
		}
	})
}
