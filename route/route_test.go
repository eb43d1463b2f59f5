package route

import (
	"context"
	"errors"
	"testing"

	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// list is a table that a test writes down.
type list map[string]string

func (l list) Lookup(_ context.Context, key string) (string, bool, error) {
	if text, ok := l["failing"]; ok {
		return "", false, errors.New(text)
	}
	value, found := l[key]
	return value, found, nil
}

func address(local, domain string) mail.Address { return mail.Address{Local: local, Domain: domain} }

func plan(t *testing.T, text string) Plan {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheFirstThatAnswersDecides(t *testing.T) {
	router := New(Config{
		Transports: []table.Table{list{
			"ann@far.example":  "smtp:ann.example",
			"far.example":      "smtp:far.example:2525",
			".sub.example":     "lmtp:unix:/run/sub",
			"away@our.example": "pipe:away",
			"kept@far.example": "local",
		}},
		Senders: []table.Table{list{
			"boss@our.example": "smarthost:good",
			"our.example":      "smarthost:bulk",
			"<>":               "smarthost:reports",
		}},
		Relay: plan(t, "smtp:primary.example"), Default: plan(t, "mx, smarthost:isp from 4"), Separator: '+',
	})
	sender := mail.ReversePath{Address: address("bulk", "our.example")}
	for _, test := range []struct {
		claim string
		q     Query
		want  string
	}{
		{"an address before its domain", Query{To: address("ann", "far.example")}, "smtp:ann.example"},
		{"a sub-address is its user's", Query{To: address("ann+tag", "far.example")}, "smtp:ann.example"},
		{"a domain", Query{To: address("bob", "far.example")}, "smtp:far.example:2525"},
		{"a domain above", Query{To: address("bob", "x.sub.example")}, "lmtp:unix:/run/sub"},
		{"ours is local", Query{To: address("bob", "our.example"), Place: Ours}, "local"},
		{"the table takes away what is ours", Query{To: address("away", "our.example"), Place: Ours}, "pipe:away"},
		{"a relay domain has its own plan", Query{To: address("bob", "relay.example"), Place: Relayed}, "smtp:primary.example"},
		{"a sender before its domain", Query{Sender: mail.ReversePath{Address: address("boss", "our.example")}, To: address("x", "else.example")}, "smarthost:good"},
		{"a sender's domain", Query{Sender: sender, To: address("x", "else.example")}, "smarthost:bulk"},
		{"the null sender", Query{To: address("x", "else.example")}, "smarthost:reports"},
		{"the recipient before the sender", Query{Sender: sender, To: address("bob", "far.example")}, "smtp:far.example:2525"},
		{"the default", Query{Sender: mail.ReversePath{Address: address("s", "s.example")}, To: address("x", "else.example")}, "mx"},
		{"the default at attempt 4", Query{Sender: mail.ReversePath{Address: address("s", "s.example")}, To: address("x", "else.example"), Attempt: 4}, "smarthost:isp"},
		{"the operator before all", Query{To: address("ann", "far.example"), Reroute: "smtp:other.example"}, "smtp:other.example"},
	} {
		ctx, reasons := explain.With(t.Context())
		got, err := router.Find(ctx, test.q)
		if err != nil || got.String() != test.want {
			t.Errorf("%s: %s, %v; want %s", test.claim, got, err, test.want)
		}
		if len(reasons.List()) == 0 {
			t.Errorf("%s: nothing explains it", test.claim)
		}
	}
}

func TestANullClientKeepsNothing(t *testing.T) {
	router := New(Config{NullClient: plan(t, "smtp:hub.example"), Transports: []table.Table{list{"our.example": "local"}}})
	got, err := router.Find(t.Context(), Query{To: address("root", "our.example"), Place: Ours})
	if err != nil || got.String() != "smtp:hub.example" {
		t.Errorf("mail for ourselves goes by %s, %v", got, err)
	}
	if away, err := router.Explicit(t.Context(), address("root", "our.example")); !away || err != nil {
		t.Errorf("it is delivered here: %v", err)
	}
}

func TestATableThatFailsDelaysMail(t *testing.T) {
	to := address("bob", "far.example")
	for _, test := range []struct {
		claim  string
		config Config
	}{
		{"a transport table that cannot be asked", Config{Transports: []table.Table{list{"failing": "down"}}}},
		{"a sender table that cannot be asked", Config{Senders: []table.Table{list{"failing": "down"}}}},
		{"a transport that cannot be read", Config{Transports: []table.Table{list{"far.example": "uucp:x"}}}},
	} {
		_, err := New(test.config).Find(t.Context(), Query{To: to})
		if err == nil || !mail.StatusOf(err).Temporary() {
			t.Errorf("%s: %v", test.claim, err)
		}
	}
}

func TestExplicit(t *testing.T) {
	router := New(Config{Transports: []table.Table{list{"away@our.example": "smtp:x.example", "our.example": "local"}}})
	for to, want := range map[mail.Address]bool{address("away", "our.example"): true, address("ann", "our.example"): false} {
		if got, err := router.Explicit(t.Context(), to); got != want || err != nil {
			t.Errorf("%s: %v, %v", to, got, err)
		}
	}
}
