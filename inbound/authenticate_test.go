package inbound

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/filter"
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

// hearer notes whom judges are told a message is from.
type hearer struct{ author mail.Address }

func (h *hearer) Personal(_ context.Context, _ *filter.Mail, author mail.Address, accounts []mail.AccountID) [][]mail.Finding {
	h.author = author
	return make([][]mail.Finding, len(accounts))
}

// Trust is for an author that is proven: the one that a reader sees, of a text that was signed.
func TestWhoIsTrusted(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	zones := dnstest.New()
	zones.TXT("s._domainkey.friend.test", "v=DKIM1; k=ed25519; p="+base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	zones.TXT("t._domainkey.friend.test", "v=DKIM1; t=y; k=ed25519; p="+base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	zones.TXT("_dmarc.friend.test", "v=DMARC1; p=none")
	const plain = "From: Ann <ann@friend.test>\r\nSubject: x\r\n\r\nHello.\r\n"
	sign := func(content, selector string) string {
		fields, err := (&dkim.Signer{Domain: "friend.test", Keys: []dkim.SigningKey{{Selector: selector, Private: key}}}).Sign([]byte(content), envelope().Received)
		must(t, err)
		return string(fields) + content
	}
	two := strings.Replace(plain, "\r\nSub", ", mallory@friend.test\r\nSub", 1)
	for _, c := range []struct {
		name, content string
		partial       bool
		proven        bool
	}{
		{name: "a signed message of one author", content: sign(plain, "s"), proven: true},
		{name: "nobody signed", content: plain},
		{name: "a key that is only tested", content: sign(plain, "t")},
		{name: "two authors of one domain", content: sign(two, "s")},
		{name: "a second From field above", content: "From: mallory@friend.test\r\n" + sign(plain, "s")},
		{name: "text below what is signed", content: sign(plain, "s"), partial: true},
	} {
		s, heard := proving(t, zones), &hearer{}
		s.policy.filtering.Personal = []Personal{heard}
		if c.partial {
			s.policy.checks = append([]Check{signedInPart{}}, s.policy.checks[1:]...)
		}
		must(t, s.take(c.content, "bob"))
		if got := !heard.author.IsZero(); got != c.proven {
			t.Errorf("%s: taken to be from %q", c.name, heard.author)
		}
	}
}

// signedInPart stands for a signature that holds and covers a part of the body.
type signedInPart struct{}

func (signedInPart) Check(_ context.Context, m *Message) Report {
	m.Evidence.Signatures = []dkim.Verification{{Result: dkim.Pass, Domain: "friend.test", Partial: 20}}
	return Report{}
}
