package inbound

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/mailauth/arc"
	"posthaste/mailauth/dkim"
)

// proving returns a site with all checks of authentication, over zones.
func proving(t *testing.T, zones *dnstest.Server) *site {
	t.Helper()
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.253"}, Exchange: zones.Exchange})
	must(t, err)
	policy := DMARC{Resolver: r, Enforce: true}
	rules, err := spam.New(spam.Config{Thresholds: thresholds})
	must(t, err)
	return newSite(t, func(c *Config) {
		c.Checks = []Check{Together(SPF{Resolver: r, Hostname: c.Hostname}, DKIM{Verifier: dkim.NewVerifier(r)}, ARC{Verifier: arc.NewVerifier(r)}, policy.Ahead()), policy}
		c.Filtering.Rules = rules
	})
}

// Who holds back the answers about domains of its own must not gain from it.
func TestSilenceOfOthersDoesNotKeepAPolicyFromHolding(t *testing.T) {
	for name, header := range map[string]string{
		"a sender and a signer that are silent":     "DKIM-Signature: v=1; a=rsa-sha256; d=slow.test; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: boss@victim.test\r\n",
		"authors that are silent, before and after": "From: x@slow.test, boss@victim.test, y@slower.test\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			zones := dnstest.New()
			zones.TXT("_dmarc.victim.test", "v=DMARC1; p=reject")
			for _, silent := range []string{"slow.test", "_dmarc.slow.test", "_dmarc.slower.test", "s._domainkey.slow.test"} {
				zones.SetFault(silent, dnstest.Fault{Kind: dnstest.Drop})
			}
			zones.TXT("other.test", "alive")
			s := proving(t, zones)
			env := envelope("bob")
			env.From = mail.ReversePath{Address: mail.Address{Local: "x", Domain: "slow.test"}}
			env.Origin.IP = netip.MustParseAddr("192.0.2.66")
			began := time.Now()
			_, _, err := s.policy.Accept(t.Context(), Taking{}, env, mail.Bytes(header+"Subject: pay\r\n\r\nNow.\r\n"))
			if got := mail.StatusOf(err); got.Enhanced != "5.7.26" {
				t.Errorf("%s: answered %v", name, got)
			}
			if took := time.Since(began); took > checkTime {
				t.Errorf("%s: took %v", name, took)
			}
			time.Sleep(time.Minute) // until lookups that nobody waits for have ended
		})
	}
}
