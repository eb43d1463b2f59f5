package bimi

import (
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mailauth/dmarc"
	"posthaste/message"
)

func TestLookup(t *testing.T) {
	const good = "v=BIMI1; l=https://x.test/a.svg; a=https://x.test/a.pem; avp=brand"
	enforced := []string{"_dmarc.south.test", "v=DMARC1; p=reject"}
	for _, c := range []struct {
		name, from, header string
		records            []string
		want               string
	}{
		{"found", "south.test", "", append(enforced, "default._bimi.south.test", good), "bimi=skipped (record found, indicator not fetched) header.d=south.test header.selector=default policy.authority-uri=\"https://x.test/a.pem\" policy.indicator-uri=\"https://x.test/a.svg\""},
		{"a selector", "south.test", "BIMI-Selector: v=BIMI1; s=Brand", append(enforced, "brand._bimi.south.test", "v=BIMI1; l=https://x.test/b.svg"), "bimi=skipped (record found, indicator not fetched) header.d=south.test header.selector=brand policy.indicator-uri=\"https://x.test/b.svg\""},
		{"a selector that is none", "south.test", "BIMI-Selector: v=BIMI1; s=a b", append(enforced, "default._bimi.south.test", "v=BIMI1;l=;a="), "bimi=declined header.d=south.test header.selector=default"},
		{"two selectors", "south.test", "BIMI-Selector: v=BIMI1; s=a\r\nBIMI-Selector: v=BIMI1; s=b", enforced, "bimi=none header.d=south.test header.selector=default"},
		{"at the organization", "mail.south.test", "", append(enforced, "default._bimi.south.test", good), "bimi=skipped (record found, indicator not fetched) header.d=south.test header.selector=default policy.authority-uri=\"https://x.test/a.pem\" policy.indicator-uri=\"https://x.test/a.svg\""},
		{"nothing enforced", "south.test", "", []string{"_dmarc.south.test", "v=DMARC1; p=none", "default._bimi.south.test", good}, "bimi=skipped"},
		{"a test of quarantine", "south.test", "", []string{"_dmarc.south.test", "v=DMARC1; p=quarantine; t=y", "default._bimi.south.test", good}, "bimi=skipped"},
		{"sp=none", "mail.south.test", "", []string{"_dmarc.south.test", "v=DMARC1; p=reject; sp=none", "mail.south.test", "x", "default._bimi.south.test", good}, "bimi=skipped"},
		{"the organization enforces nothing", "mail.south.test", "", []string{"_dmarc.mail.south.test", "v=DMARC1; p=reject", "_dmarc.south.test", "v=DMARC1; p=none", "default._bimi.mail.south.test", good}, "bimi=skipped"},
		{"plain http", "south.test", "", append(enforced, "default._bimi.south.test", "v=BIMI1; l=http://x.test/a.svg"), "bimi=fail header.d=south.test header.selector=default"},
		{"a script", "south.test", "", append(enforced, "default._bimi.south.test", "v=BIMI1; l=javascript:alert(1)"), "bimi=fail header.d=south.test header.selector=default"},
		{"two records", "south.test", "", append(enforced, "default._bimi.south.test", good, "default._bimi.south.test", good), "bimi=none header.d=south.test header.selector=default"},
		{"another record", "south.test", "", append(enforced, "default._bimi.south.test", "v=BIMI2; l=https://x.test"), "bimi=none header.d=south.test header.selector=default"},
		{"too long", "south.test", "", append(enforced, "default._bimi.south.test", good+strings.Repeat(" ", maxRecord)), "bimi=none header.d=south.test header.selector=default"},
		{"the DNS fails", "south.test", "", append(enforced, "fail", "default._bimi.south.test"), "bimi=temperror header.d=south.test header.selector=default"},
	} {
		server := dnstest.New()
		for i := 0; i < len(c.records); i += 2 {
			if c.records[i] == "fail" {
				server.SetFault(c.records[i+1], dnstest.Fault{Kind: dnstest.ServFail})
				continue
			}
			server.TXT(c.records[i], c.records[i+1])
		}
		r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
		if err != nil {
			t.Fatal(err)
		}
		d := dmarc.Evaluate(t.Context(), r, dmarc.Input{From: []string{c.from}, DKIM: []string{c.from}})
		got := Lookup(t.Context(), r, message.ParseHeader([]byte(c.header+"\r\n\r\n")), d)
		if text := got.ResInfo().String(); text != c.want || got.Reason == "" {
			t.Errorf("%s: %s (%s)", c.name, text, got.Reason)
		}
	}
	if got := Lookup(t.Context(), nil, message.Header{}, dmarc.Result{Verdict: dmarc.Fail, Policy: dmarc.Reject}); got.Verdict != Skipped {
		t.Errorf("a message that fails: %+v", got)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=BIMI1; l=https://x.test/a.svg; a=")
	f.Fuzz(func(t *testing.T, text string) {
		tags, ok := parseTags(text)
		if !ok {
			return
		}
		got := Result{Domain: "x.test"}.read(tags)
		if got.Verdict == Found && got.Location+got.Authority == "" || got.Verdict != Found && got.Location+got.Authority != "" {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}
