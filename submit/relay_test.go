package submit

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"posthaste/directory"
	"posthaste/mail"
)

func relayed(from string, to ...string) mail.Envelope {
	env := envelope(from, to...)
	env.Origin = mail.Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "printer", Protocol: "SMTP"}
	return env
}

func TestMachinesMailIsGroomed(t *testing.T) {
	var q shelf
	id, err := submitter(&q).Relay(t.Context(), relayed("scan", "bob"), nil, mail.Bytes("From: Somebody Else <x@y.test>\r\nTo: bob\r\nBcc: carl@south.test\r\n\r\nHello\r\n"))
	want := "Received: from printer ([192.0.2.1])\r\n\tby mail.north.test with SMTP\r\n\tid 0123456789abcdef\r\n\tfor <bob@default.test>;\r\n\tThu, 5 Nov 2026 10:00:00 +0000\r\n" +
		"From: Somebody Else <x@y.test>\r\nTo: bob@default.test\r\nDate: Thu, 5 Nov 2026 10:00:00 +0000\r\nMessage-ID: <0123456789abcdef@mail.north.test>\r\n\r\nHello\r\n"
	if err != nil || id == "" || q.content != want || q.env.From.Path() != "scan@default.test" || q.env.Origin.Account != 0 {
		t.Errorf("%s, %v\n got %q\nwant %q\nenvelope %+v", id, err, q.content, want, q.env)
	}
	if _, err := submitter(&q).Relay(t.Context(), relayed("", "bob"), nil, mail.Bytes("\r\n")); err != nil || !strings.Contains(q.content, "From: MAILER-DAEMON@default.test\r\n") {
		t.Errorf("a null sender without From: %v, %q", err, q.content)
	}
	if _, err := submitter(&q).Relay(t.Context(), relayed("scan", "bob"), nil, mail.Bytes(strings.Repeat("Received: x\r\n", DefaultMaxHops+1)+"\r\n")); mail.StatusOf(err).Code != 554 {
		t.Errorf("mail in circles: %v", err)
	}
}

// shelves keeps every message.
type shelves struct {
	shelf
	all []shelf
}

func (s *shelves) Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	s.all = append(s.all, shelf{env: env})
	return env.ID, nil
}

func (s *shelves) PutHeld(ctx context.Context, env mail.Envelope, content mail.Content, reason string) (mail.QueueID, error) {
	s.all = append(s.all, shelf{env: env, held: reason})
	return env.ID, nil
}

func TestFatesAreForEachRecipient(t *testing.T) {
	q := new(shelves)
	env := relayed("scan", "a", "b", "c", "d")
	_, err := submitter(q).Relay(t.Context(), env, []Fate{{}, {Hold: "rule"}, {Discard: "rule"}, {Hold: "rule"}}, mail.Bytes("\r\n"))
	if err != nil || len(q.all) != 2 {
		t.Fatalf("%v, %d messages, want 2", err, len(q.all))
	}
	if held := q.all[0]; held.held != "rule" || len(held.env.Recipients) != 2 || held.env.Recipients[0].Address.Local != "b" {
		t.Errorf("held %+v", held)
	}
	if plain := q.all[1]; plain.held != "" || len(plain.env.Recipients) != 1 || plain.env.Recipients[0].Address.Local != "a" {
		t.Errorf("sent %+v", plain)
	}
	if id, err := submitter(new(shelves)).Relay(t.Context(), relayed("scan", "a"), []Fate{{Discard: "rule"}}, mail.Bytes("\r\n")); err != nil || id == "" {
		t.Errorf("all dropped: %s, %v", id, err)
	}
}

// book is a directory and who has a mailbox in it.
type book map[string]directory.Target

func (b book) Resolve(_ context.Context, a mail.Address) (directory.Target, error) {
	if a.Local == "fails" {
		return directory.Target{}, errDirectory
	}
	if target, ok := b[a.String()]; ok {
		return target, nil
	}
	return directory.Target{Kind: directory.KindRemote}, nil
}

func (b book) CheckRecipient(_ context.Context, to mail.Address) error {
	if b[to.String()].Kind == directory.KindNone {
		return mail.NewStatus(550, "5.1.1", "no such user")
	}
	return nil
}

func TestRecipientsOfOursAreChecked(t *testing.T) {
	b := book{
		"bob@north.test":    {Kind: directory.KindAccount},
		"nobody@north.test": {Kind: directory.KindNone},
		"left@north.test":   {Kind: directory.KindMoved, Status: mail.NewStatus(551, "5.1.6", "try elsewhere")},
		"moved@north.test":  {Kind: directory.KindMoved, Status: mail.NewStatus(251, "2.1.5", "will forward")},
	}
	s := New(Config{Hostname: "mail.north.test", Owners: owners{}, Queue: new(shelf), Directory: b, Local: b})
	for to, want := range map[string]string{
		"bob@north.test": "250", "bob": "250", "x@else.test": "250", "nobody@north.test": "550 5.1.1", "nobody": "550 5.1.1",
		"left@north.test": "551 5.1.6", "moved@north.test": "251 2.1.5", "fails@north.test": "451",
	} {
		local, domain, _ := strings.Cut(to, "@")
		answer, err := s.CheckRecipient(t.Context(), ann, mail.Address{Local: local, Domain: domain})
		got := mail.StatusOf(err)
		if answer != nil {
			got = answer
		}
		if !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%s: %v, want %s", to, got, want)
		}
	}
}

// shouting is a Rewriter.
type shouting struct{ err error }

func (r shouting) Envelope(_ context.Context, env mail.Envelope) (mail.Envelope, error) {
	env.From.Local = strings.ToUpper(env.From.Local)
	return env, r.err
}

func (shouting) Header(_ context.Context, c mail.Content) (mail.Content, error) {
	return mail.Bytes(strings.ToUpper(string(c.Bytes()))), nil
}

func TestRulesOfTheSiteRewriteWhatWasGroomed(t *testing.T) {
	var q shelf
	s := New(Config{Hostname: "mail.north.test", Owners: owners{}, Queue: &q, Rewriter: shouting{}})
	_, err := s.Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes("TLS-Required: No\r\n\r\n"))
	if err != nil || q.env.From.Local != "ANN" || !strings.Contains(q.content, "FROM: ANN@NORTH.TEST") || !q.env.TLSOptional {
		t.Errorf("%v, %+v, %q", err, q.env, q.content)
	}
	s = New(Config{Hostname: "mail.north.test", Owners: owners{}, Queue: &q, Rewriter: shouting{errDirectory}})
	if _, err := s.Relay(t.Context(), relayed("scan", "bob"), nil, mail.Bytes("\r\n")); !mail.StatusOf(err).Temporary() || q.puts != 1 {
		t.Errorf("a table that fails: %v, %d messages", err, q.puts)
	}
}
