package submit

import (
	"context"
	"errors"
	"strings"
	"testing"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/mailauth/dkim"
	"posthaste/message"
)

// keysFor returns a KeyStore in which domains have an Ed25519 key that signs.
func keysFor(t *testing.T, domains ...string) (*dkim.KeyStore, kv.Store) {
	t.Helper()
	store := memkv.New()
	keys := dkim.NewKeyStore(dkim.StoreConfig{Store: store})
	for _, d := range domains {
		o := dkim.AddOptions{Selector: "s", Algorithms: []dkim.Algorithm{dkim.Ed25519}, Active: true}
		if _, err := keys.Add(t.Context(), d, o); err != nil {
			t.Fatal(err)
		}
	}
	return keys, store
}

// signedBy returns the domain of the signature of a message, which must be its second field.
func signedBy(t *testing.T, content string) string {
	t.Helper()
	h := message.ParseHeader([]byte(content))
	all := h.Values("DKIM-Signature")
	if len(all) == 0 {
		return ""
	}
	if !h.Fields()[0].Is("Received") || !h.Fields()[1].Is("DKIM-Signature") || len(all) != 1 {
		t.Errorf("the signature is not right below Received:\n%s", content)
	}
	_, d, _ := strings.Cut(all[0], " d=")
	d, _, _ = strings.Cut(d, ";")
	return d
}

func TestWhoSigns(t *testing.T) {
	keys, _ := keysFor(t, "north.test", "sales.test", "xn--grn-ioa.test")
	for _, c := range []struct{ claim, sender, content, want string }{
		{"the author's domain", "ann@north.test", "From: ann@sales.test\r\n\r\nx", "sales.test"},
		{"the first author's", "ann@north.test", "From: a@sales.test, b@north.test\r\n\r\nx", "sales.test"},
		{"the sender's where the author is not ours", "ann@north.test", "From: x@elsewhere.test\r\n\r\nx", "north.test"},
		{"nobody where neither is ours", "x@elsewhere.test", "From: x@elsewhere.test\r\n\r\nx", ""},
		{"not a domain above the author's", "x@elsewhere.test", "From: a@sub.north.test\r\n\r\nx", ""},
		{"the sender's where the author cannot be read", "ann@north.test", "From: ((\r\n\r\nx", "north.test"},
		{"the author's with the null sender", "", "From: a@north.test\r\n\r\nx", "north.test"},
		{"a domain in other letters", "", "From: a@grün.test\r\n\r\nx", "xn--grn-ioa.test"},
		{"a domain in capitals", "", "From: a@NORTH.TEST\r\n\r\nx", "north.test"},
		{"a member of a group", "", "From: us: a@north.test;\r\n\r\nx", "north.test"},
	} {
		var q shelf
		s := New(Config{Hostname: "mail.north.test", Domain: "default.test", Owners: owners{}, Queue: &q, Signer: keys})
		if _, err := s.Relay(t.Context(), envelope(c.sender, "bob@south.test"), nil, mail.Bytes(c.content)); err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		if got := signedBy(t, q.content); got != c.want {
			t.Errorf("%s: signed by %q, want %q\n%s", c.claim, got, c.want, q.content)
		}
	}
}

func TestWhatUsersSendIsSigned(t *testing.T) {
	keys, _ := keysFor(t, "north.test")
	var q shelf
	s := New(Config{Hostname: "mail.north.test", Domain: "default.test", Owners: owners{}, Queue: &q, Signer: keys})
	if _, err := s.Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes("Subject: x\r\n\r\nbody")); err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, q.content); got != "north.test" {
		t.Errorf("signed by %q", got)
	}
	if !strings.HasSuffix(q.content, "\r\n\r\nbody") {
		t.Errorf("the body changed:\n%s", q.content)
	}
}

func TestReportsAreSigned(t *testing.T) {
	keys, _ := keysFor(t, "north.test")
	var q shelf
	const report = "From: reports@north.test\r\n\r\nx"
	if _, err := (Signed{&q, keys}).Put(t.Context(), mail.Envelope{}, mail.Bytes(report)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(q.content, "DKIM-Signature: ") || !strings.HasSuffix(q.content, report) {
		t.Errorf("queued:\n%s", q.content)
	}
}

func TestKeysThatCannotBeReadMakeMailWait(t *testing.T) {
	keys, store := keysFor(t, "north.test")
	_, err := store.Update(context.Background(), "dkim/north.test", func(tx kv.Txn) error {
		tx.Put([]byte("k/s"), []byte("{"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var q shelf
	s := New(Config{Hostname: "mail.north.test", Domain: "default.test", Owners: owners{}, Queue: &q, Signer: keys})
	_, err = s.Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes("\r\n"))
	if err == nil || mail.StatusOf(err).Code != 451 || q.puts != 0 {
		t.Errorf("%v, %d messages queued; want 451 and none", err, q.puts)
	}
	if !errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("%v, want kv.ErrCorrupt", err)
	}
}
