package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/blob/memblob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/store"
)

// A house is an agent over a real store and directory.
type house struct {
	t         testing.TB
	agent     *Agent
	directory *directory.Directory
	store     *store.Store
	accounts  map[string]mail.AccountID

	mu     sync.Mutex
	sent   map[string]sentMail // by origin
	fail   error               // of PutDerived and PutFailed
	failed []string            // what senders were told
}

type sentMail struct {
	env     mail.Envelope
	content string
}

func newHouse(t testing.TB, s kv.Store) *house {
	t.Helper()
	h := &house{t: t, accounts: map[string]mail.AccountID{}, sent: map[string]sentMail{}}
	h.directory = directory.New(s, directory.Config{DefaultDomain: "north.test"})
	var err error
	if h.store, err = store.New(store.Config{KV: s, Blobs: memblob.New()}); err != nil {
		t.Fatal(err)
	}
	h.agent = New(Config{Store: h.store, Directory: h.directory, Forward: h})
	if _, err := h.directory.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// PutDerived takes what leaves, each origin once.
func (h *house) PutDerived(_ context.Context, parent mail.QueueID, action string, to mail.Address, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return "", h.fail
	}
	h.sent[fmt.Sprint(parent, " ", action, " ", to)] = sentMail{env, string(content.Bytes())}
	return "0000000000000000", nil
}

func (h *house) account(name string, quota int64) {
	h.t.Helper()
	a, err := h.directory.AddAccount(h.t.Context(), address(name), directory.AccountOptions{Quota: quota})
	if err == nil {
		err = h.store.Create(h.t.Context(), a.ID, quota)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.accounts[name] = a.ID
}

func (h *house) alias(name string, targets ...string) {
	h.t.Helper()
	var list []mail.Address
	for _, s := range targets {
		list = append(list, address(s))
	}
	if err := h.directory.AddAlias(h.t.Context(), address(name), list); err != nil {
		h.t.Fatal(err)
	}
}

// inbox returns what is in the INBOX of an account.
func (h *house) inbox(name string) (all []string) {
	h.t.Helper()
	a := h.store.Account(h.accounts[name])
	box, err := a.MailboxByName(h.t.Context(), "INBOX")
	if err != nil {
		h.t.Fatal(err)
	}
	v, err := a.View(h.t.Context(), box.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range v.Len() {
		content, err := a.Content(h.t.Context(), v.At(i).Email)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, string(content))
	}
	return all
}

func (h *house) deliver(id mail.QueueID, content string, to ...string) []*mail.Status {
	env := mail.Envelope{ID: id, From: mail.ReversePath{Address: address("ann@south.test")}, Received: time.Now()}
	for _, s := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: address(s)})
	}
	return h.agent.Deliver(context.Background(), Message{Envelope: env, Prefix: []byte("Received: here\r\n"), Content: mail.Bytes(content)})
}

func address(s string) mail.Address {
	var a mail.Address
	a.UnmarshalText([]byte(s))
	return a
}

const letter = "From: ann@south.test\r\nSubject: hello\r\n\r\nHello.\r\n"

func TestDeliver(t *testing.T) {
	full := strings.Repeat("x", 3000)
	for _, c := range []struct {
		claim   string
		to      []string
		content string
		want    []string       // beginnings of the answers
		inboxes map[string]int // messages afterwards
		sent    []string
	}{
		{claim: "an account", to: []string{"bob@north.test"}, want: []string{"250 2.1.5"}, inboxes: map[string]int{"bob@north.test": 1}},
		{claim: "an account, in any case", to: []string{"Bob@north.test"}, want: []string{"250"}, inboxes: map[string]int{"bob@north.test": 1}},
		{claim: "a sub-address", to: []string{"bob+lists@north.test"}, want: []string{"250"}, inboxes: map[string]int{"bob@north.test": 1}},
		{claim: "nobody", to: []string{"nobody@north.test"}, want: []string{"550 5.1.1"}},
		{claim: "several, one of them unknown", to: []string{"bob@north.test", "nobody@north.test", "cat@north.test"},
			want: []string{"250", "550 5.1.1", "250"}, inboxes: map[string]int{"bob@north.test": 1, "cat@north.test": 1}},
		{claim: "an alias of two", to: []string{"both@north.test"}, want: []string{"250"}, inboxes: map[string]int{"bob@north.test": 1, "cat@north.test": 1}},
		{claim: "nested aliases that share people, each once", to: []string{"all@north.test", "bob@north.test"},
			want: []string{"250", "250"}, inboxes: map[string]int{"bob@north.test": 1, "cat@north.test": 1}},
		{claim: "a loop of aliases that reaches somebody is cut", to: []string{"round@north.test"}, want: []string{"250"}, inboxes: map[string]int{"bob@north.test": 1}},
		{claim: "a loop of aliases that reaches nobody", to: []string{"ring1@north.test"}, want: []string{"554 5.4.6"}},
		{claim: "an alias of somebody unknown", to: []string{"stale@north.test"}, want: []string{"550 5.1.1"}},
		{claim: "an alias in part elsewhere", to: []string{"mixed@north.test"}, want: []string{"251 2.1.5"},
			inboxes: map[string]int{"bob@north.test": 1}, sent: []string{"dan@west.test"}},
		{claim: "too deep aliases", to: []string{"deep0@north.test"}, want: []string{"554 5.4.6"}},
		{claim: "the postmaster that nobody set", to: []string{"postmaster@north.test", "Abuse@north.test", "MAILER-DAEMON@north.test"},
			want: []string{"250", "250", "250"}, inboxes: map[string]int{"bob@north.test": 3}},
		{claim: "a full mailbox", content: letter + full, to: []string{"small@north.test", "bob@north.test"},
			want: []string{"552 5.2.2", "250"}, inboxes: map[string]int{"bob@north.test": 1, "small@north.test": 0}},
		{claim: "one full mailbox behind an alias", content: letter + full, to: []string{"part@north.test"},
			want: []string{"251 2.1.5"}, inboxes: map[string]int{"bob@north.test": 1}},
		{claim: "what was here before", content: "Delivered-To: BOB@north.test\r\n" + letter, to: []string{"bob@north.test"}, want: []string{"554 5.4.6"}},
		{claim: "what this alias sent out and came back", content: "Delivered-To: mixed@north.test\r\n" + letter, to: []string{"mixed@north.test"}, want: []string{"554 5.4.6"}},
		{claim: "what went through a hundred hosts", content: strings.Repeat("Received: x\r\n", MaxReceived+1) + letter, to: []string{"bob@north.test"}, want: []string{"554 5.4.6"}},
		{claim: "but not what has that in its text", content: letter + strings.Repeat("Received: x\r\n", MaxReceived+1), to: []string{"bob@north.test"}, want: []string{"250"}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			h := newHouse(t, memkv.New())
			h.account("bob@north.test", 0)
			h.account("cat@north.test", 0)
			h.account("small@north.test", 2000)
			h.alias("both@north.test", "bob@north.test", "cat@north.test")
			h.alias("all@north.test", "both@north.test", "cat@north.test", "bob@north.test")
			h.alias("round@north.test", "round2@north.test")
			h.alias("round2@north.test", "round@north.test", "bob@north.test")
			h.alias("ring1@north.test", "ring2@north.test")
			h.alias("ring2@north.test", "ring1@north.test")
			h.alias("stale@north.test", "gone@north.test")
			h.alias("mixed@north.test", "bob@north.test", "dan@west.test")
			h.alias("part@north.test", "bob@north.test", "small@north.test")
			for i := range maxDepth + 2 {
				h.alias(fmt.Sprintf("deep%d@north.test", i), fmt.Sprintf("deep%d@north.test", i+1))
			}
			h.alias(fmt.Sprintf("deep%d@north.test", maxDepth+2), "bob@north.test")
			if c.content == "" {
				c.content = letter
			}
			for i, s := range h.deliver("0000000000000001", c.content, c.to...) {
				if !strings.HasPrefix(s.Error(), c.want[i]) {
					t.Errorf("%s: %v, want %s", c.to[i], s, c.want[i])
				}
			}
			for name, want := range c.inboxes {
				if got := h.inbox(name); len(got) != want {
					t.Errorf("%s has %d messages, want %d", name, len(got), want)
				}
			}
			var sent []string
			for _, m := range h.sent {
				sent = append(sent, m.env.Recipients[0].Address.String())
			}
			if !slices.Equal(sent, c.sent) {
				t.Errorf("sent to %v, want %v", sent, c.sent)
			}
		})
	}
}

func TestStoredBytes(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	h.deliver("0000000000000001", letter, "bob+lists@north.test")
	want := "Return-Path: <ann@south.test>\r\nDelivered-To: bob+lists@north.test\r\nReceived: here\r\n" + letter
	if got := h.inbox("bob@north.test"); len(got) != 1 || got[0] != want {
		t.Errorf("stored %q, want %q", got, want)
	}
}

func TestCatchAll(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	h.alias("*@north.test", "bob@north.test")
	if s := h.deliver("0000000000000001", letter, "whoever@north.test"); !s[0].OK() || len(h.inbox("bob@north.test")) != 1 {
		t.Errorf("%v", s[0])
	}
}

func TestRepeatStoresNothing(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	h.account("cat@north.test", 0)
	h.alias("team@north.test", "bob@north.test", "cat@north.test", "dan@west.test")
	h.fail = errors.New("the queue is away")
	if s := h.deliver("0000000000000001", letter, "team@north.test"); !s[0].Temporary() {
		t.Errorf("a part that failed gave %v", s[0])
	}
	h.fail = nil
	for range 2 {
		if s := h.deliver("0000000000000001", letter, "team@north.test"); s[0].Code != 251 {
			t.Errorf("repeat: %v", s[0])
		}
	}
	if len(h.inbox("bob@north.test")) != 1 || len(h.inbox("cat@north.test")) != 1 || len(h.sent) != 1 {
		t.Errorf("bob %d, cat %d, sent %d; want one each", len(h.inbox("bob@north.test")), len(h.inbox("cat@north.test")), len(h.sent))
	}
	h.deliver("0000000000000002", letter, "team@north.test")
	if len(h.inbox("bob@north.test")) != 2 {
		t.Error("another message with the same content was taken for a repeat")
	}
}

func TestForwardKeepsSenderAndWishes(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.alias("dan@north.test", "dan@west.test")
	env := mail.Envelope{ID: "0000000000000001", From: mail.ReversePath{Address: address("ann@south.test")}, EnvID: "QQ314",
		Recipients: []mail.Recipient{{Address: address("dan@north.test"), Notify: mail.NotifySuccess | mail.NotifyFailure, ORcpt: "rfc822;d@x"}}}
	h.agent.Deliver(t.Context(), Message{Envelope: env, Prefix: []byte("Received: here\r\n"), Content: mail.Bytes(letter)})
	for _, m := range h.sent {
		r := m.env.Recipients[0]
		if m.env.From.String() != "ann@south.test" || m.env.EnvID != "QQ314" || r.Notify != mail.NotifyFailure || r.ORcpt != "rfc822;d@x" || m.env.ID != "" {
			t.Errorf("envelope %+v", m.env)
		}
		if want := "Delivered-To: dan@north.test\r\nReceived: here\r\n" + letter; m.content != want {
			t.Errorf("content %q, want %q", m.content, want)
		}
	}
	if len(h.sent) != 1 {
		t.Errorf("sent %d", len(h.sent))
	}
}

func TestCheckRecipient(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	h.account("small@north.test", 1000)
	h.alias("stale@north.test", "gone@north.test")
	h.deliver("0000000000000001", letter+strings.Repeat("x", 1000-len(letter)-len("Return-Path: <ann@south.test>\r\nDelivered-To: small@north.test\r\nReceived: here\r\n")), "small@north.test")
	for to, want := range map[string]int{"bob@north.test": 250, "nobody@north.test": 550, "stale@north.test": 550, "small@north.test": 552} {
		if s := mail.StatusOf(h.agent.CheckRecipient(t.Context(), address(to))); s.Code != want {
			t.Errorf("%s: %v, want %d", to, s, want)
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	h := newHouse(b, memkv.New())
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("u%d@north.test", i))
		h.account(names[i], 0)
	}
	content := letter + strings.Repeat("The quick brown fox jumps over the lazy dog 12345.\r\n", 76)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if s := h.deliver(mail.NewQueueID(time.Now(), 1, uint32(i)), content, names[i%20]); !s[0].OK() {
			b.Fatal(s[0])
		}
	}
}

func TestJunkIsFiledApart(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("ann@north.test", 0)
	h.alias("info@north.test", "ann@north.test")
	junk := func(to string) mail.Recipient { return mail.Recipient{Address: address(to), Junk: true} }
	deliver := func(id mail.QueueID, recipients ...mail.Recipient) {
		answers := h.agent.Deliver(t.Context(), Message{Envelope: mail.Envelope{ID: id, Recipients: recipients}, Content: mail.Bytes("Subject: x\r\n\r\ny\r\n")})
		for _, s := range answers {
			if !s.OK() {
				t.Fatal(s)
			}
		}
	}
	deliver("1", junk("ann@north.test"))
	if got := h.inbox("ann@north.test"); len(got) != 0 {
		t.Errorf("junk lies in the INBOX: %q", got)
	}
	deliver("2", junk("info@north.test"), mail.Recipient{Address: address("ann@north.test")})
	if got := h.inbox("ann@north.test"); len(got) != 1 {
		t.Errorf("%d messages in the INBOX: who has it for junk by one way and for mail by another gets it as mail", len(got))
	}
}
