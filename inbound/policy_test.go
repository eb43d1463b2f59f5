package inbound

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"posthaste/access"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/queue"
)

// rules decide by what is asked, in words of access tables: "client 192.0.2.66", "recipient a@b".
type rules map[string]access.Decision

var errTable = errors.New("the table is down")

func (r rules) ask(stage, key string) (access.Decision, error) {
	d, ok := r[stage+" "+key]
	if !ok {
		return access.Decision{Action: access.Dunno}, nil
	}
	if d.Action == "" {
		return d, errTable
	}
	d.Rule = stage
	return d, nil
}

func (r rules) Client(_ context.Context, ip netip.Addr, name string) (access.Decision, error) {
	if d, err := r.ask("client", name); d.Action != access.Dunno {
		return d, err
	}
	return r.ask("client", ip.String())
}
func (r rules) Helo(_ context.Context, name string) (access.Decision, error) {
	return r.ask("helo", name)
}
func (r rules) Sender(_ context.Context, from mail.ReversePath) (access.Decision, error) {
	return r.ask("sender", from.Path())
}
func (r rules) Recipient(_ context.Context, to mail.Address) (access.Decision, error) {
	return r.ask("recipient", to.String())
}
func (r rules) Etrn(_ context.Context, domain string) (access.Decision, error) {
	return r.ask("etrn", domain)
}

// relayed knows one domain that is relayed for everybody.
type relayed string

func (d relayed) MayRelay(_ context.Context, _ netip.Addr, to mail.Address) (bool, string, error) {
	return to.Domain == string(d), to.Domain + " is listed", nil
}

func address(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

func refuse(code int, text string) access.Decision {
	action := access.Defer
	if code >= 500 {
		action = access.Reject
	}
	return access.Decision{Action: action, Status: mail.NewStatus(code, "", text)}
}

var site1 = rules{
	"client 192.0.2.66":           refuse(554, "no"),
	"client 192.0.2.67":           {Action: access.Discard},
	"client mail.south.test":      {Action: access.Permit},
	"helo liar.test":              refuse(450, "wait"),
	"sender spam@south.test":      refuse(550, "spam"),
	"sender odd@south.test":       {Action: access.Hold},
	"sender broken@south.test":    {},
	"recipient cat@north.test":    refuse(550, "not cat"),
	"recipient void@north.test":   {Action: access.Discard},
	"recipient postmaster@x.test": {Action: access.Permit},
	"etrn friend.test":            {Action: access.Permit},
}

func TestRulesDecideAtRCPT(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Rules, c.Names = site1, names{"192.0.2.66": "", "192.0.2.1": "mail.south.test"} })
	for _, c := range []struct{ claim, ip, helo, from, to, want, hold, discard string }{
		{"no rule, no effect", "192.0.2.9", "", "ann@south.test", "bob@north.test", "250", "", ""},
		{"a permit does not make a relay", "192.0.2.1", "", "ann@south.test", "bob@else.test", "550 5.7.1", "", ""},
		{"the client is refused", "192.0.2.66", "", "ann@south.test", "bob@north.test", "554 no", "", ""},
		{"but may write to postmaster", "192.0.2.66", "", "ann@south.test", "postmaster@north.test", "250", "", ""},
		{"and not to another's", "192.0.2.66", "", "ann@south.test", "postmaster@else.test", "554 no", "", ""},
		{"the client's mail is dropped", "192.0.2.67", "", "ann@south.test", "nobody@north.test", "250", "", "access rule client"},
		{"a name given", "192.0.2.9", "liar.test", "ann@south.test", "bob@north.test", "450 wait", "", ""},
		{"a sender", "192.0.2.9", "", "spam@south.test", "bob@north.test", "550 spam", "", ""},
		{"a hold keeps others from nothing", "192.0.2.9", "", "odd@south.test", "cat@north.test", "550 not cat", "access rule sender", ""},
		{"a hold", "192.0.2.9", "", "odd@south.test", "bob@north.test", "250", "access rule sender", ""},
		{"a broken table is temporary", "192.0.2.9", "", "broken@south.test", "bob@north.test", "451", "", ""},
		{"one recipient is dropped", "192.0.2.9", "", "ann@south.test", "void@north.test", "250", "", "access rule recipient"},
	} {
		d, err := s.policy.CheckRecipient(t.Context(), Request{Client: mail.Origin{IP: netip.MustParseAddr(c.ip), Helo: c.helo},
			From: mail.ReversePath{Address: address(c.from)}, To: address(c.to)})
		if got := mail.StatusOf(err).Error(); !strings.HasPrefix(got, c.want) || d.Hold != c.hold || d.Discard != c.discard {
			t.Errorf("%s: %s, %+v; want %s, %q, %q", c.claim, got, d, c.want, c.hold, c.discard)
		}
	}
	spammer := Request{Client: mail.Origin{IP: netip.MustParseAddr("192.0.2.66")}, To: address("bob@north.test"), Each: true}
	if _, err := s.policy.CheckRecipient(t.Context(), spammer); err != nil {
		t.Errorf("a queue that we trust: %v", err)
	}
	if err := s.policy.CheckClient(t.Context(), spammer.Client); mail.StatusOf(err).Code != 554 {
		t.Errorf("early: %v", err)
	}
	if err := s.policy.CheckHelo(t.Context(), mail.Origin{Helo: "liar.test"}); mail.StatusOf(err).Code != 450 {
		t.Errorf("early: %v", err)
	}
}

func TestRelaying(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Relays, c.Rules = relayed("friend.test"), site1
	})
	for _, c := range []struct{ ip, to, want string }{
		{"10.1.2.3", "x@else.test", "250"},
		{"10.1.2.3", "nobody@north.test", "550 5.1.1"},
		{"192.0.2.1", "x@else.test", "550 5.7.1"},
		{"192.0.2.1", "x@friend.test", "250"},
		{"192.0.2.1", "x@relay.test", "250"},
	} {
		ctx, reasons := explain.With(t.Context())
		err := s.policy.ExplainRecipient(ctx, mail.Origin{IP: netip.MustParseAddr(c.ip)}, mail.ReversePath{}, address(c.to))
		if got := mail.StatusOf(err).Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s to %s: %s, want %s", c.ip, c.to, got, c.want)
		}
		if len(reasons.List()) == 0 {
			t.Errorf("%s to %s: nothing explained", c.ip, c.to)
		}
	}
	stranger, ours := mail.Origin{IP: netip.MustParseAddr("192.0.2.1")}, mail.Origin{IP: netip.MustParseAddr("10.0.0.1")}
	for _, c := range []struct {
		who    mail.Origin
		domain string
		ok     bool
	}{
		{stranger, "friend.test", true}, {stranger, "relay.test", false}, {ours, "relay.test", true}, {ours, "else.test", false}, {ours, "north.test", false},
	} {
		if err := s.policy.CheckFlush(t.Context(), c.who, c.domain); (err == nil) != c.ok || err != nil && mail.StatusOf(err).Code != 459 {
			t.Errorf("ETRN %s from %s: %v", c.domain, c.who.IP, err)
		}
	}
}

func TestVerify(t *testing.T) {
	s := newSite(t)
	for to, want := range map[string]string{"bob": "250", "bob@north.test": "250", "nobody": "550", "x@else.test": "252", "x@relay.test": "252"} {
		if _, err := s.policy.Verify(t.Context(), address(to)); !strings.HasPrefix(mail.StatusOf(err).Error(), want) {
			t.Errorf("%s: %v, want %s", to, err, want)
		}
	}
}

func TestHoldAndDiscardAreForEachRecipient(t *testing.T) {
	s := newSite(t)
	how := Taking{Decisions: []Decision{{}, {Hold: "a rule"}, {Discard: "a rule"}}}
	id, _, err := s.policy.Accept(t.Context(), how, envelope("bob", "cat", "small"), mail.Bytes(letter))
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	if len(s.inbox("bob")) != 1 || len(s.inbox("cat")) != 0 || len(s.inbox("small")) != 0 {
		t.Error("bob alone should have it")
	}
	for _, e := range s.entries() {
		if len(e.Recipients) != 1 || e.Recipients[0].Address.Local != "cat" || e.Recipients[0].State != queue.Held {
			t.Errorf("entry %+v", e.Recipients)
		}
	}
	if got := s.queued(); len(got) != 1 {
		t.Errorf("queued %v, want cat", got)
	}
}

// copying is a Rewriter: old.test becomes north.test, and cat has a copy of all.
type copying struct{}

func (copying) Recipient(_ context.Context, to mail.Address) (mail.Address, error) {
	if to.Domain == "old.test" {
		to.Domain = "north.test"
	}
	return to, nil
}

func (c copying) Envelope(ctx context.Context, env mail.Envelope) (mail.Envelope, error) {
	var all []mail.Recipient
	for _, r := range env.Recipients {
		r.Address, _ = c.Recipient(ctx, r.Address)
		all = append(all, r)
	}
	env.Recipients = append(all, mail.Recipient{Address: address("cat@north.test")})
	return env, nil
}

func TestRewriting(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Rewriter = copying{} })
	if _, err := s.policy.CheckRecipient(t.Context(), Request{To: address("bob@old.test")}); err != nil {
		t.Fatal(err)
	}
	for _, how := range []Taking{{}, {Each: true}} {
		_, outcomes, err := s.policy.Accept(t.Context(), how, envelope("bob@old.test"), mail.Bytes(letter))
		if err != nil || how.Each && len(outcomes) != 1 {
			t.Errorf("%+v: %v, %v", how, outcomes, err)
		}
	}
	if b, c := len(s.inbox("bob")), len(s.inbox("cat")); b != 2 || c != 2 {
		t.Errorf("bob has %d, cat %d; want 2 each", b, c)
	}
	_, _, err := s.policy.Accept(t.Context(), Taking{Decisions: []Decision{{Discard: "x"}}}, envelope("bob"), mail.Bytes(letter))
	if err != nil || len(s.inbox("cat")) != 2 || len(s.queued()) != 0 {
		t.Errorf("a copy of what was dropped went out: %v", err)
	}
}

// elsewhere is Ways by which cat's mail goes to another host.
type elsewhere struct{}

func (elsewhere) Here(_ context.Context, _ mail.ReversePath, to mail.Address) (bool, error) {
	return to.Local != "cat", nil
}

func TestMailOfOursMayBeRoutedElsewhere(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Ways = elsewhere{} })
	_, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob", "cat"), mail.Bytes(letter))
	if got := s.queued(); err != nil || len(got) != 1 || got[0] != "cat@north.test" || len(s.inbox("bob")) != 1 || len(s.inbox("cat")) != 0 {
		t.Errorf("%v, queued %v; want cat queued and bob delivered", err, got)
	}
}

func TestNullClientTakesMailOfItsNetworksAlone(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.NullClient, c.Trusted = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	for _, c := range []struct{ ip, to, want string }{
		{"10.0.0.1", "bob@north.test", "250"}, {"10.0.0.1", "x@else.test", "250"},
		{"192.0.2.1", "bob@north.test", "550 5.7.1"}, {"192.0.2.1", "x@relay.test", "550 5.7.1"},
	} {
		_, err := s.policy.CheckRecipient(t.Context(), Request{Client: mail.Origin{IP: netip.MustParseAddr(c.ip)}, To: address(c.to)})
		if got := mail.StatusOf(err).Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s to %s: %s, want %s", c.ip, c.to, got, c.want)
		}
	}
	_, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob"), mail.Bytes(letter))
	if err != nil || len(s.queued()) != 1 || len(s.inbox("bob")) != 0 {
		t.Errorf("%v: mail was delivered here", err)
	}
}
