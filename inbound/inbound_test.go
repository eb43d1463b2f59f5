package inbound

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthaste/deliver/local"
	"posthaste/directory"
	"posthaste/dns"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/queue"
	"posthaste/store"
)

// A site is a policy over real parts; its queue does not run, so that what is queued can be seen.
type site struct {
	t        testing.TB
	policy   *Policy
	queue    *queue.Queue
	store    *store.Store
	accounts map[string]mail.AccountID
	broken   *broken
}

// broken is a store in which Updates of some partitions fail.
type broken struct {
	kv.Store
	prefix string
	err    error
}

func (b *broken) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	if b.err != nil && strings.HasPrefix(string(p), b.prefix) {
		return 0, b.err
	}
	return b.Store.Update(ctx, p, fn)
}

// names answers Iprev.
type names map[string]string

func (n names) Iprev(_ context.Context, ip netip.Addr) (string, error) {
	switch name := n[ip.String()]; name {
	case "":
		return "", dns.ErrNotFound
	case "fail":
		return "", dns.ErrUnconfirmed
	case "timeout":
		return "", errors.New("timeout")
	default:
		return name, nil
	}
}

// newSite returns a site; change may alter its configuration.
func newSite(t testing.TB, change ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, accounts: map[string]mail.AccountID{}, broken: &broken{Store: memkv.New()}}
	d := directory.New(s.broken, directory.Config{DefaultDomain: "north.test"})
	must(t, second(d.AddDomain(t.Context(), "north.test", directory.DomainOptions{})))
	must(t, second(d.AddDomain(t.Context(), "relay.test", directory.DomainOptions{Relay: true})))
	var err error
	s.store, err = store.New(store.Config{KV: s.broken})
	must(t, err)
	for name, quota := range map[string]int64{"bob": 0, "cat": 0, "small": 1500} {
		a, err := d.AddAccount(t.Context(), mail.Address{Local: name, Domain: "north.test"}, directory.AccountOptions{Quota: quota})
		must(t, err)
		must(t, s.store.Create(t.Context(), a.ID, quota))
		s.accounts[name] = a.ID
	}
	s.queue = queue.New(queue.Config{KV: s.broken, Hostname: "mx.north.test"})
	agent := local.New(local.Config{Store: s.store, Directory: d, Forward: s.queue})
	cfg := Config{
		Hostname: "mx.north.test", Domain: "north.test", Directory: d, Local: agent, Queue: s.queue,
		Checks: []Check{Iprev{Resolver: names{"192.0.2.1": "mail.south.test", "192.0.2.2": "fail", "192.0.2.3": "timeout"}}, Helo{Hostname: "mx.north.test"}},
	}
	for _, f := range change {
		f(&cfg)
	}
	s.policy = New(cfg)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func (s *site) inbox(name string) (all []string) {
	s.t.Helper()
	a := s.store.Account(s.accounts[name])
	box, err := a.MailboxByName(s.t.Context(), "INBOX")
	must(s.t, err)
	v, err := a.View(s.t.Context(), box.ID)
	must(s.t, err)
	for i := range v.Len() {
		content, err := a.Content(s.t.Context(), v.At(i).Email)
		must(s.t, err)
		all = append(all, string(content))
	}
	return all
}

// entries returns what is in the queue.
func (s *site) entries() (all []*queue.Entry) {
	s.t.Helper()
	for e, err := range s.queue.List(s.t.Context(), queue.Filter{}) {
		must(s.t, err)
		all = append(all, e)
	}
	return all
}

// queued returns who is in the queue.
func (s *site) queued() (to []string) {
	s.t.Helper()
	for _, e := range s.entries() {
		for _, r := range e.Recipients {
			to = append(to, r.Address.String())
		}
	}
	return to
}

func envelope(to ...string) mail.Envelope {
	env := mail.Envelope{
		From:     mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "south.test"}},
		Received: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		Origin:   mail.Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mail.south.test", Protocol: "ESMTPS", TLS: "TLS 1.3"},
	}
	for _, name := range to {
		local, domain, ok := strings.Cut(name, "@")
		if !ok {
			domain = "north.test"
		}
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: local, Domain: domain}})
	}
	return env
}

const letter = "From: ann@south.test\r\nSubject: hello\r\n\r\nHello.\r\n"

func TestCheckRecipient(t *testing.T) {
	s := newSite(t)
	_, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("small"), mail.Bytes(letter+strings.Repeat("x\r\n", 300)))
	must(t, err)
	s.broken.prefix = "none"
	for to, want := range map[string]string{
		"bob@north.test":     "250",
		"bob+tag@north.test": "250",
		"who@relay.test":     "250",
		"nobody@north.test":  "550 5.1.1",
		"who@else.test":      "550 5.7.1 relaying denied",
		"bob@[192.0.2.9]":    "550 5.7.1",
	} {
		local, domain, _ := strings.Cut(to, "@")
		_, err := s.policy.CheckRecipient(t.Context(), Request{To: mail.Address{Local: local, Domain: domain}})
		got := mail.StatusOf(err)
		if !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%s: %v, want %s", to, got, want)
		}
	}
}

func TestTakeOver(t *testing.T) {
	long := letter + strings.Repeat("x\r\n", 1000)
	for _, c := range []struct {
		claim   string
		to      []string
		content string
		each    bool
		broken  string // partitions that fail
		err     error
		want    string // the reply
		each1   string // of the first recipient, with each
		bob     int    // messages in the mailbox
		queued  string
	}{
		{claim: "local mail goes past the queue", to: []string{"bob", "cat"}, want: "250", bob: 1},
		{claim: "relayed mail is queued", to: []string{"who@relay.test"}, want: "250", queued: "who@relay.test"},
		{claim: "both, in one message", to: []string{"bob", "who@relay.test"}, want: "250", bob: 1, queued: "who@relay.test"},
		{claim: "an account that does not commit is queued", to: []string{"bob"}, broken: "account/", err: errors.New("x"), want: "250", queued: "bob@north.test"},
		{claim: "what can be neither stored nor queued is 451", to: []string{"bob"}, broken: "", err: errors.New("x"), want: "451"},
		{claim: "a full disk says so", to: []string{"bob"}, broken: "", err: kv.ErrFull, want: "452 4.3.1"},
		{claim: "relayed mail that cannot be queued is 451", to: []string{"who@relay.test"}, broken: "queue/", err: errors.New("x"), want: "451"},
		{claim: "who has no room is told, when alone", to: []string{"small"}, content: long, want: "552 5.2.2"},
		{claim: "else the queue reports it", to: []string{"small", "bob"}, content: long, want: "250", bob: 1, queued: "small@north.test"},
		{claim: "LMTP answers for each", to: []string{"small", "bob"}, content: long, each: true, want: "250", each1: "552 5.2.2", bob: 1},
		{claim: "and queues nothing that it can tell", to: []string{"bob"}, each: true, broken: "account/", err: errors.New("x"), want: "250", each1: "451"},
		{claim: "mail in circles is refused", to: []string{"bob"}, content: strings.Repeat("Received: x\r\n", 101) + letter, want: "554 5.4.6"},
		{claim: "mail that was delivered here before too", to: []string{"bob"}, content: "Delivered-To: bob@north.test\r\n" + letter, want: "554 5.4.6"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s := newSite(t)
			s.broken.prefix, s.broken.err = c.broken, c.err
			if c.content == "" {
				c.content = letter
			}
			id, outcomes, err := s.policy.Accept(t.Context(), Taking{Each: c.each}, envelope(c.to...), mail.Bytes(c.content))
			if got := mail.StatusOf(err); !strings.HasPrefix(got.Error(), c.want) {
				t.Errorf("reply %v, want %s", got, c.want)
			}
			if (err == nil) != (id != "") {
				t.Errorf("ID %q with %v", id, err)
			}
			if c.each1 != "" && !strings.HasPrefix(mail.StatusOf(outcomes[0]).Error(), c.each1) {
				t.Errorf("first recipient: %v, want %s", outcomes[0], c.each1)
			}
			s.broken.err = nil
			if got := len(s.inbox("bob")); got != c.bob {
				t.Errorf("bob has %d messages, want %d", got, c.bob)
			}
			if got := strings.Join(s.queued(), " "); got != c.queued {
				t.Errorf("queued for %q, want %q", got, c.queued)
			}
		})
	}
}

// TestSuccessThatIsToBeReportedTakesTheQueue: delivery at once makes no reports (RFC 3461 section 4.1).
func TestSuccessThatIsToBeReportedTakesTheQueue(t *testing.T) {
	s := newSite(t)
	env := envelope("bob", "cat")
	env.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	env.Recipients[1].Notify = mail.NotifyFailure
	if _, _, err := s.policy.Accept(t.Context(), Taking{}, env, mail.Bytes(letter)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.queued(), " "); got != "bob@north.test" {
		t.Errorf("queued for %q, want bob alone", got)
	}
	if got := len(s.inbox("cat")); got != 1 {
		t.Errorf("cat has %d messages, want 1", got)
	}
}

// TestQueuedCopyIsTheSameDelivery: the account committed, but we could not know. The queue repeats the
// delivery, and the account has the message once.
func TestQueuedCopyIsTheSameDelivery(t *testing.T) {
	s := newSite(t)
	sure := s.broken.Store
	s.broken.Store = &unsure{Store: sure}
	_, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob"), mail.Bytes(letter))
	must(t, err)
	s.broken.Store = sure
	if got := s.queued(); len(got) != 1 {
		t.Fatalf("queued for %v, want bob", got)
	}
	for e, err := range s.queue.List(t.Context(), queue.Filter{}) {
		must(t, err)
		content, err := s.queue.ReadContent(t.Context(), e.ID)
		must(t, err)
		env := e.Envelope
		env.Recipients = []mail.Recipient{e.Recipients[0].Recipient}
		if got := s.policy.local.Deliver(t.Context(), local.Message{Envelope: env, Content: content}); !got[0].OK() {
			t.Errorf("repeat: %v", got[0])
		}
	}
	if got := s.inbox("bob"); len(got) != 1 || !strings.HasSuffix(got[0], letter) {
		t.Errorf("bob has %q", got)
	}
}

// unsure commits to accounts and says that it does not know.
type unsure struct{ kv.Store }

func (u *unsure) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	v, err := u.Store.Update(ctx, p, fn)
	if err == nil && strings.HasPrefix(string(p), "account/") {
		err = kv.ErrUnknown
	}
	return v, err
}

func TestHeaderLines(t *testing.T) {
	s := newSite(t)
	forged := "Authentication-Results: MX.north.test (old);\r\n\tdkim=pass\r\n" +
		"Subject: hello\r\n" +
		"Authentication-Results: other.test; spf=pass\r\n" +
		"Authentication-Results: (a (b)) \"mx.north.test\" 1; spf=pass\r\n\r\nAuthentication-Results: mx.north.test; x\r\n"
	id, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob"), mail.Bytes(forged))
	must(t, err)
	want := "Return-Path: <ann@south.test>\r\nDelivered-To: bob@north.test\r\n" +
		"Authentication-Results: mx.north.test;\r\n\tiprev=pass policy.iprev=192.0.2.1\r\n" +
		"Received: from mail.south.test (mail.south.test [192.0.2.1])\r\n\tby mx.north.test with ESMTPS\r\n\t(TLS 1.3)\r\n\tid " +
		string(id) + "\r\n\tfor <bob@north.test>;\r\n\tFri, 20 Nov 2026 10:00:00 +0000\r\n" +
		"Subject: hello\r\nAuthentication-Results: other.test; spf=pass\r\n\r\nAuthentication-Results: mx.north.test; x\r\n"
	if got := s.inbox("bob"); len(got) != 1 || got[0] != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
}

func TestForgedResultsAreFoundWhereTheyStand(t *testing.T) {
	const forged = "Authentication-Results: mx.north.test; spf=pass\r\n"
	for _, c := range []struct{ claim, header, want string }{
		{"behind a field whose end reads the same", "X-" + forged + "Subject: x\r\n" + forged, "X-" + forged + "Subject: x\r\n"},
		{"after a tab", "A: b\r\nAuthentication-Results: mx.north.test\t1; spf=pass\r\n", "A: b\r\n"},
		{"after a comment with a quoted parenthesis", "A: b\r\nAuthentication-Results: (\\)) mx.north.test; spf=pass\r\n", "A: b\r\n"},
	} {
		m := &Message{Envelope: &mail.Envelope{}, Content: []byte(c.header + "\r\nbody\r\n"), host: "mx.north.test"}
		if err := m.readHeader(); err != nil || string(m.Content) != c.want+"\r\nbody\r\n" {
			t.Errorf("%s: %q is left, %v", c.claim, m.Content, err)
		}
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		claim  string
		check  Check
		ip     string
		helo   string
		result string
	}{
		{"a confirmed name passes", Iprev{Resolver: names{"192.0.2.1": "a.test"}}, "192.0.2.1", "", "pass"},
		{"a name that does not lead back fails", Iprev{Resolver: names{"192.0.2.1": "fail"}}, "192.0.2.1", "", "fail"},
		{"no name is permanent", Iprev{Resolver: names{}}, "192.0.2.1", "", "permerror"},
		{"a DNS that is away is temporary", Iprev{Resolver: names{"192.0.2.1": "timeout"}}, "192.0.2.1", "", "temperror"},
		{"this machine is not asked about", Iprev{Resolver: names{}}, "127.0.0.1", "", ""},
		{"a host name passes", Helo{Hostname: "mx.north.test"}, "192.0.2.1", "mail.south.test", "pass"},
		{"the client's own address passes", Helo{}, "192.0.2.1", "[192.0.2.1]", "pass"},
		{"the client's own IPv6 address passes", Helo{}, "2001:db8::1", "[IPv6:2001:db8::1]", "pass"},
		{"another address fails", Helo{}, "192.0.2.1", "[192.0.2.7]", "fail"},
		{"our name is against policy", Helo{Hostname: "mx.north.test"}, "192.0.2.1", "MX.north.test.", "policy"},
		{"a bare word fails", Helo{}, "192.0.2.1", "localhost", "fail"},
		{"no name fails", Helo{}, "192.0.2.1", "", "fail"},
	} {
		env := mail.Envelope{Origin: mail.Origin{IP: netip.MustParseAddr(c.ip), Helo: c.helo}}
		r := c.check.Check(t.Context(), &Message{Envelope: &env})
		var v Result
		if len(r.Results) > 0 {
			v = r.Results[0]
		}
		if v.Result != c.result || v.Result != "" && v.Reason == "" || r.Refuse != nil {
			t.Errorf("%s: %+v, want %s", c.claim, v, c.result)
		}
	}
}

type refuser struct{}

func (refuser) Check(context.Context, *Message) Report {
	return Report{Results: []Result{{Method: "x", Result: "fail", Reason: "no"}}, Refuse: mail.NewStatus(550, "5.7.1", "no")}
}

func TestCheckThatRefusesEndsIt(t *testing.T) {
	s := newSite(t)
	s.policy.checks = []Check{refuser{}}
	if _, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob"), mail.Bytes(letter)); mail.StatusOf(err).Code != 550 {
		t.Errorf("got %v", err)
	}
	if len(s.inbox("bob"))+len(s.queued()) != 0 {
		t.Error("refused mail was kept")
	}
}

// FuzzForged: whatever the header is, nothing that reads as our own results is left, and nothing
// else is taken away.
func FuzzForged(f *testing.F) {
	f.Add("Authentication-Results: mx.north.test; a=b\r\nX: y\r\n\r\nbody")
	f.Add("Authentication-Results:\r\n (x) mx.north.test\r\nAuthentication-Results: other\r\n\r\n")
	f.Add("\r\n")
	f.Fuzz(func(t *testing.T, content string) {
		m := &Message{Envelope: &mail.Envelope{}, Content: []byte(content), host: "mx.north.test"}
		if m.readHeader() != nil {
			return
		}
		for _, field := range message.Parse(headerOf(m.Content)).Header.Fields() {
			if m.isForged(field) {
				t.Errorf("%q is left", field.Raw())
			}
		}
		if len(m.Content) > len(content) || !strings.HasSuffix(content, string(m.Content[len(headerOf(m.Content)):])) {
			t.Errorf("%q became %q", content, m.Content)
		}
	})
}

func BenchmarkAccept(b *testing.B) {
	s := newSite(b)
	content := mail.Bytes(letter + strings.Repeat("The quick brown fox jumps over the lazy dog 12345.\r\n", 76))
	env := envelope("bob")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.policy.Accept(context.Background(), Taking{}, env, content); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever makes a reader take a field for one of ours must not come from outside.
func TestNoFieldFromOutsideSpeaksForUs(t *testing.T) {
	for name, header := range map[string]string{
		"plain":                          "Authentication-Results: mx.north.test; forged=1\r\n",
		"in capitals":                    "AUTHENTICATION-results: MX.North.TEST; forged=1\r\n",
		"a space before the colon":       "Authentication-Results\t : mx.north.test; forged=1\r\n",
		"folded":                         "Authentication-Results:\r\n mx.north.test\r\n ; forged=1\r\n",
		"comments":                       "Authentication-Results: (a \\) (b)) mx.north.test (c) 1; forged=1\r\n",
		"a comment that is never read":   "Authentication-Results: (" + strings.Repeat("x", 2<<20) + ") mx.north.test; forged=1\r\n",
		"in quotes, with a backslash":    "Authentication-Results: \"mx\\.north.test\"; forged=1\r\n",
		"a version":                      "Authentication-Results: mx.north.test/1; forged=1\r\n",
		"the dot of the root":            "Authentication-Results: mx.north.test.; forged=1\r\n",
		"NUL":                            "Authentication-Results: \x00mx.north.test; forged=1\r\n",
		"after the separator of mboxes":  "From bob Mon\r\nAuthentication-Results: mx.north.test; forged=1\r\n",
		"a verdict":                      "x-posthaste-VERDICT : accept; forged=1\r\n",
		"more fields than are looked at": strings.Repeat("X: y\r\n", message.MaxFields) + "Authentication-Results: mx.north.test; forged=1\r\n",
		"the rest of a field of ours":    " ; forged=1\r\nAuthentication-Results: mx.north.test; forged=2\r\n",
		"after a line that is no field":  "no field\r\nAuthentication-Results: mx.north.test; forged=1\r\n",
		"after a field without a name":   ": x\r\nAuthentication-Results: mx.north.test; forged=1\r\n",
	} {
		s := newSite(t)
		_, _, err := s.policy.Accept(t.Context(), Taking{}, envelope("bob"), mail.Bytes(header+"Subject: x\r\n\r\nBody.\r\n"))
		if err != nil {
			if mail.StatusOf(err).Code != 552 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		content := s.inbox("bob")[0]
		if h := message.ParseHeader([]byte(content)); strings.Contains(string(h.Raw()), "forged") {
			t.Errorf("%s: the header has it: %.200q", name, h.Raw())
		}
	}
}
