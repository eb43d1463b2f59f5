package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/cert"
	"posthaste/deliver/remote/mtasts"
	"posthaste/deliver/remote/tlsrpt"
	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mail"
)

// book is a table of policies.
type book map[string]string

func (b book) Policy(_ context.Context, domain string) (string, bool, error) {
	text, found := b[domain]
	if text == "fails" {
		return "", false, errors.New("the database is down")
	}
	return text, found, nil
}

// promise is what MTA-STS says of every domain.
type promise struct{ mtasts.Result }

func (p promise) Lookup(context.Context, string) mtasts.Result { return p.Result }

func promised(mode mtasts.Mode, hosts ...string) promise {
	return promise{mtasts.Result{Policy: &mtasts.Policy{Domain: "south.test", ID: "1", Mode: mode, MX: hosts, MaxAge: time.Hour}}}
}

// tally is a TLSReports.
type tally struct {
	mu       sync.Mutex // guards sessions
	sessions []tlsrpt.Session
}

func (c *tally) Record(s tlsrpt.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions = append(c.sessions, s)
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, s := range c.sessions {
		all = append(all, s.Policy.Type+" "+s.Policy.Domain+" "+s.Result)
	}
	return strings.Join(all, ", ")
}

// guardedWorld is south.test, whose host has STARTTLS with a certificate for name, in signed zones.
func guardedWorld(t *testing.T, name string, cfg Config) (*world, *host, *tally, tls.Certificate) {
	t.Helper()
	ca, err := cert.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	h, count := offering("STARTTLS", "REQUIRETLS"), new(tally)
	h.tls = cert.Fixed(c).Config()
	if name == "" {
		h.offers, h.tls = nil, nil
	}
	cfg.TLS, cfg.TLSReports = &tls.Config{RootCAs: ca.Pool()}, count
	w := newWorld(t, cfg, h)
	for _, apex := range []string{".", "test", "south.test"} {
		if err := w.dns.Sign(apex, dnstest.Signing{}); err != nil {
			t.Fatal(err)
		}
	}
	return w, h, count, c
}

// trustDNS gives w's agent a validating resolver.
func (w *world) trustDNS(t *testing.T) {
	t.Helper()
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: w.dns.Exchange, Validate: true, Anchors: []string{w.dns.Anchor(".")}})
	if err != nil {
		t.Fatal(err)
	}
	w.agent.cfg.DANE, w.agent.cfg.Resolver = r, r
}

func TestTLSPolicyTable(t *testing.T) {
	const right, wrong = "mx1.south.test", "else.test"
	for _, c := range []struct {
		claim, cert, policy, want, story string
	}{
		{"none never encrypts", right, "none", "250", "not encrypted"},
		{"may takes any certificate", wrong, "may", "250", "does not prove"},
		{"may takes plaintext", "", "may", "250", "not encrypted"},
		{"encrypt takes any certificate", wrong, "encrypt", "250", "does not prove"},
		{"encrypt refuses plaintext", "", "encrypt", "451 4.7.10", "the TLS policy table asks for it"},
		{"verify takes the host's certificate", right, "verify", "250", "proves"},
		{"verify refuses another", wrong, "verify", "451 4.7.5", ""},
		{"verify refuses plaintext", "", "verify", "451 4.7.10", ""},
		{"verify with a name takes that", wrong, "verify match=south.test match=else.test", "250", "proves"},
		{"verify with a name refuses the host's", right, "verify match=south.test", "451 4.7.5", ""},
		{"verify with a dot takes names below", right, "verify match=.south.test", "250", "proves"},
		{"verify with a dot refuses others", wrong, "verify match=.south.test", "451 4.7.5", ""},
		{"another's fingerprint is refused", right, "fingerprint=" + strings.Repeat("00", 32), "451 4.7.5", "fingerprint"},
		{"dane-only waits without DANE", right, "dane-only", "451 4.7.5", "DANE"},
		{"dane without DANE encrypts", wrong, "dane", "250", "encrypted"},
		{"an unknown policy makes mail wait", right, "hope", "451 4.3.5", ""},
		{"a table that fails makes mail wait", right, "fails", "451 4.3.0", ""},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w, _, _, _ := guardedWorld(t, c.cert, Config{Policies: book{"south.test": c.policy}})
			got := w.send(t, mail.Envelope{}, plainContent, "bob")
			if !strings.HasPrefix(got[0], c.want) || !strings.Contains(w.story.texts(), c.story) {
				t.Errorf("got %q, want %q and %q in\n%s", got, c.want, c.story, w.story.texts())
			}
		})
	}
	table := book{}
	w, _, _, c := guardedWorld(t, wrong, Config{Policies: table})
	table["south.test"] = fmt.Sprintf("fingerprint=%x", sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo))
	if got := w.send(t, mail.Envelope{}, plainContent, "bob"); !strings.HasPrefix(got[0], "250") {
		t.Errorf("the key that is listed: got %q", got)
	}
}

func TestMTASTS(t *testing.T) {
	const right, wrong = "mx1.south.test", "else.test"
	for _, c := range []struct {
		claim  string
		cert   string
		policy promise
		env    mail.Envelope
		want   string
		report string
	}{
		{"enforce is met", right, promised(mtasts.Enforce, right), mail.Envelope{}, "250", "sts south.test "},
		{"enforce refuses another certificate for now", wrong, promised(mtasts.Enforce, right), mail.Envelope{}, "451 4.7.5", "sts south.test certificate-host-mismatch"},
		{"enforce refuses plaintext for now", "", promised(mtasts.Enforce, right), mail.Envelope{}, "451 4.7.10", "sts south.test starttls-not-supported"},
		{"enforce refuses a host that is not listed", right, promised(mtasts.Enforce, "mx2.south.test"), mail.Envelope{}, "451 4.7.5", "sts south.test validation-failure"},
		{"testing delivers and tells", wrong, promised(mtasts.Testing, right), mail.Envelope{}, "250", "sts south.test certificate-host-mismatch"},
		{"testing delivers in plaintext and tells", "", promised(mtasts.Testing, right), mail.Envelope{}, "250", "sts south.test starttls-not-supported"},
		{"testing delivers to a host that is not listed and tells", right, promised(mtasts.Testing, "mx2.south.test"), mail.Envelope{}, "250", "sts south.test validation-failure"},
		{"without a policy success is counted", wrong, promise{}, mail.Envelope{}, "250", "no-policy-found south.test "},
		{"TLS-Required: no passes it over and counts nothing", "", promised(mtasts.Enforce, right), mail.Envelope{TLSOptional: true}, "250", ""},
		{"REQUIRETLS goes to a listed host", right, promised(mtasts.Enforce, right), mail.Envelope{RequireTLS: true}, "250", "sts south.test "},
		{"REQUIRETLS is not met by plain DNS", right, promise{}, mail.Envelope{RequireTLS: true}, "550 5.7.30", "no-policy-found south.test "},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w, h, count, _ := guardedWorld(t, c.cert, Config{MTASTS: c.policy})
			got := w.send(t, c.env, plainContent, "bob")
			if !strings.HasPrefix(got[0], c.want) || count.String() != c.report {
				t.Errorf("got %q, reported %q; want %q, %q\n%s", got, count, c.want, c.report, w.story.texts())
			}
			if c.want != "250" && len(h.taken()) > 0 {
				t.Error("the host has the message")
			}
			if c.env.RequireTLS && c.want == "250" && !strings.Contains(strings.Join(h.seen(), "\n"), " REQUIRETLS") {
				t.Errorf("REQUIRETLS was not passed on: %q", h.seen())
			}
		})
	}
}

func TestPolicyThatCannotBeFetchedIsReported(t *testing.T) {
	w, _, count, _ := guardedWorld(t, "mx1.south.test", Config{MTASTS: promise{mtasts.Result{Failure: &mtasts.Failure{Type: "sts-policy-fetch-error", Reason: "404"}}}})
	got := w.send(t, mail.Envelope{}, plainContent, "bob")
	if !strings.HasPrefix(got[0], "250") || count.String() != "sts south.test sts-policy-fetch-error, no-policy-found south.test " {
		t.Errorf("got %q, reported %q", got, count)
	}
}

func TestDANE(t *testing.T) {
	const right, wrong = "mx1.south.test", "else.test"
	spki := func(c tls.Certificate) dns.TLSA {
		sum := sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo)
		return dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: sum[:]}
	}
	other := dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}
	for _, c := range []struct {
		claim  string
		cert   string
		record func(tls.Certificate) *dns.TLSA
		change func(*world)
		cfg    Config
		env    mail.Envelope
		want   string
		report string
	}{
		{claim: "a key that is published is taken, whatever its name", cert: wrong, want: "250", report: "tlsa south.test "},
		{claim: "another key waits", cert: right, record: func(tls.Certificate) *dns.TLSA { return &other }, want: "451 4.7.5", report: "tlsa south.test certificate-not-trusted"},
		{claim: "plaintext waits", cert: "", record: func(tls.Certificate) *dns.TLSA { return &other }, want: "451 4.7.10", report: "tlsa south.test starttls-not-supported"},
		{claim: "it counts before MTA-STS", cert: wrong, cfg: Config{MTASTS: promised(mtasts.Enforce, "elsewhere.test")}, want: "250", report: "tlsa south.test "},
		{claim: "the table counts before it", cert: right, record: func(tls.Certificate) *dns.TLSA { return &other }, cfg: Config{Policies: book{"south.test": "may"}}, want: "250", report: "no-policy-found south.test "},
		{claim: "dane-only is met", cert: wrong, cfg: Config{Policies: book{"south.test": "dane-only"}}, want: "250", report: "tlsa south.test "},
		{claim: "TLS-Required: no passes it over", cert: "", record: func(tls.Certificate) *dns.TLSA { return &other }, env: mail.Envelope{TLSOptional: true}, want: "250"},
		{claim: "REQUIRETLS is met", cert: wrong, env: mail.Envelope{RequireTLS: true}, want: "250", report: "tlsa south.test "},
		{claim: "an answer that cannot be proven waits", cert: right, change: func(w *world) { w.dns.Sign("south.test", dnstest.Signing{BadSignature: true}) }, want: "451 4.4.3"},
		{claim: "an unsigned zone has none", cert: wrong, change: func(w *world) { w.dns.Sign("south.test", dnstest.Signing{Unsigned: true}) }, want: "250", report: "no-policy-found south.test "},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w, h, count, made := guardedWorld(t, c.cert, c.cfg)
			record := spki
			if c.record != nil {
				record = func(made tls.Certificate) dns.TLSA { return *c.record(made) }
			}
			if c.cert != "" || c.record != nil {
				w.dns.TLSA("_25._tcp.mx1.south.test", record(made))
			}
			if c.change != nil {
				c.change(w)
			}
			w.trustDNS(t)
			got := w.send(t, c.env, plainContent, "bob")
			if !strings.HasPrefix(got[0], c.want) || count.String() != c.report {
				t.Errorf("got %q, reported %q; want %q, %q\n%s", got, count, c.want, c.report, w.story.texts())
			}
			if c.want != "250" && len(h.taken()) > 0 {
				t.Error("the host has the message")
			}
		})
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add("verify match=a.test match=.b.test")
	f.Add("fingerprint=" + strings.Repeat("ab:", 31) + "ab")
	f.Add("dane-only")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy(text)
		if err != nil {
			return
		}
		again, err := parsePolicy(p.text)
		if err != nil || again.rule != p.rule || again.tag() != p.tag() {
			t.Errorf("%q reads as %+v, then as %+v, %v", text, p, again, err)
		}
		if p.rule == ruleFingerprint && len(p.fingerprints) == 0 {
			t.Errorf("%q lists no fingerprint, so it would let everyone pass or none", text)
		}
	})
}
