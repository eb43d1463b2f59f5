package inbound

import (
	"context"
	"testing"

	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/table"
)

// listed is a table of recipients; "fails" breaks it.
type listed map[string]string

func (l listed) Lookup(_ context.Context, key string) (string, bool, error) {
	if key == "fails@relay.test" {
		return "", false, errTable
	}
	value, ok := l[key]
	return value, ok, nil
}

func TestKnownRecipientsOfRelayDomains(t *testing.T) {
	list := []table.Table{listed{"ann@relay.test": "x"}, listed{"@all.test": "x"}}
	for _, c := range []struct {
		claim  string
		tables []table.Table
		answer *mail.Status // of the primary; nil: it is not asked
		to     string
		want   int
	}{
		{"listed", list, nil, "ann@relay.test", 250},
		{"listed without its tag", list, nil, "ann+tag@relay.test", 250},
		{"not listed, nobody to ask", list, nil, "bob@relay.test", 550},
		{"not listed, known to the primary", list, answer(250, ""), "bob@relay.test", 250},
		{"not listed, unknown to the primary", list, answer(550, "5.1.1"), "bob@relay.test", 550},
		{"not listed, the primary is down", list, down, "bob@relay.test", 250},
		{"no list, unknown to the primary", nil, answer(550, "5.1.1"), "bob@relay.test", 550},
		{"no list, nobody to ask", nil, nil, "bob@relay.test", 250},
		{"a list that fails", list, nil, "fails@relay.test", 451},
	} {
		s := newSite(t, func(cfg *Config) {
			cfg.Recipients, cfg.Separator = c.tables, '+'
			if c.answer != nil {
				cfg.Verifier = NewVerifier(VerifierConfig{KV: memkv.New(), Prober: &primary{answer: c.answer}})
			}
		})
		_, err := s.policy.CheckRecipient(t.Context(), Request{To: address(c.to)})
		if got := mail.StatusOf(err).Code; got != c.want {
			t.Errorf("%s: %v, want %d", c.claim, err, c.want)
		}
	}
}

func TestTLSOptionalComesFromTheHeader(t *testing.T) {
	s := newSite(t)
	env := envelope("who@relay.test")
	_, _, err := s.policy.Accept(t.Context(), Taking{}, env, mail.Bytes("TLS-Required: no\r\n"+letter))
	must(t, err)
	env.RequireTLS = true
	_, _, err = s.policy.Accept(t.Context(), Taking{}, env, mail.Bytes("TLS-Required: no\r\n"+letter))
	must(t, err)
	optional := 0
	for _, e := range s.entries() {
		if e.Envelope.TLSOptional {
			optional++
		}
		if e.Envelope.TLSOptional && e.Envelope.RequireTLS {
			t.Error("REQUIRETLS did not win (RFC 8689 section 4.1)")
		}
	}
	if optional != 1 {
		t.Errorf("%d messages with TLS optional, want 1", optional)
	}
}
