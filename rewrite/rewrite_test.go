package rewrite

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/mail"
	"posthaste/table"
)

// A list is a table for tests.
type list map[string]string

func (l list) Lookup(_ context.Context, key string) (string, bool, error) {
	value, found := l[strings.ToLower(key)]
	return value, found, nil
}

// errDown is what a table says that cannot be asked.
var errDown = errors.New("connection refused")

type down struct{}

func (down) Lookup(context.Context, string) (string, bool, error) { return "", false, errDown }

func address(s string) (a mail.Address) {
	a.UnmarshalText([]byte(s))
	return a
}

func rewriter(t testing.TB, cfg Config) *Rewriter {
	t.Helper()
	cfg.Separator = '+'
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEnvelope(t *testing.T) {
	names := list{"ann@north.test": "ann.north@south.test", "bob": "nobody", "@old.test": "@north.test", "cat@north.test": "kit", "eve@north.test": "ann@north.test"}
	everywhere := Config{Canonical: []Map{{names, Everywhere}}, Domain: "north.test"}
	for _, c := range []struct {
		claim    string
		cfg      Config
		from, to string
		wantFrom string
		wantTo   string // recipients, a comma between
	}{
		{"nothing to do", Config{}, "ann@north.test", "bob@north.test", "ann@north.test", "bob@north.test"},
		{"a canonical name", everywhere, "ann@north.test", "ann@north.test", "ann.north@south.test", "ann.north@south.test"},
		{"the case of letters does not count", everywhere, "ANN@north.test", "x@y.test", "ann.north@south.test", "x@y.test"},
		{"a detail stays", everywhere, "ann+tag@north.test", "x@y.test", "ann.north+tag@south.test", "x@y.test"},
		{"a whole domain", everywhere, "x+y@old.test", "x@y.test", "x+y@north.test", "x@y.test"},
		{"a name gets our domain", everywhere, "cat@north.test", "x@y.test", "kit@north.test", "x@y.test"},
		{"what is found is not looked up again", everywhere, "eve@north.test", "x@y.test", "ann@north.test", "x@y.test"},
		{"an address without domain is completed first", everywhere, "ann", "root", "ann.north@south.test", "root@north.test"},
		{"for senders only", Config{Canonical: []Map{{names, Senders}}}, "ann@north.test", "ann@north.test", "ann.north@south.test", "ann@north.test"},
		{"for recipients only", Config{Canonical: []Map{{names, EnvelopeRecipient}}}, "ann@north.test", "ann@north.test", "ann@north.test", "ann.north@south.test"},
		{"the null sender stays", everywhere, "", "ann@north.test", "", "ann.north@south.test"},
		{"masquerading hides the host of the sender alone", Config{Masquerade: []string{"north.test"}}, "ann@pc1.north.test", "bob@pc2.north.test", "ann@north.test", "bob@pc2.north.test"},
		{"but not of other domains", Config{Masquerade: []string{"north.test"}}, "ann@pc1.farnorth.test", "x@y.test", "ann@pc1.farnorth.test", "x@y.test"},
		{"nor of listed ones", Config{Masquerade: []string{"!lab.north.test", "north.test"}}, "ann@pc1.lab.north.test", "x@y.test", "ann@pc1.lab.north.test", "x@y.test"},
		{"nor of listed users", Config{Masquerade: []string{"north.test"}, Keep: []string{"root"}}, "Root@pc1.north.test", "x@y.test", "Root@pc1.north.test", "x@y.test"},
		{"a copy of everything", Config{AlwaysBCC: []mail.Address{address("arch@north.test")}}, "", "x@y.test", "", "x@y.test,arch@north.test"},
		{"copies by sender", Config{SenderBCC: []table.Table{list{"ann@north.test": "a@b.test, c@d.test"}}}, "ann+x@north.test", "x@y.test", "ann+x@north.test", "x@y.test,a@b.test,c@d.test"},
		{"copies by the domain of the recipient", Config{RecipientBCC: []table.Table{list{"@y.test": "a@b.test"}}}, "ann@north.test", "x@y.test", "ann@north.test", "x@y.test,a@b.test"},
		{"no second copy", Config{AlwaysBCC: []mail.Address{address("x@y.test"), address("a@b.test"), address("a@b.test")}}, "ann@north.test", "x@y.test", "ann@north.test", "x@y.test,a@b.test"},
	} {
		before := mail.Envelope{From: mail.ReversePath{Address: address(c.from)}, Recipients: []mail.Recipient{{Address: address(c.to)}}}
		got, err := rewriter(t, c.cfg).Envelope(t.Context(), before)
		if err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		var to []string
		for _, r := range got.Recipients {
			to = append(to, r.Address.String())
		}
		if from := got.From.String(); from != c.wantFrom || strings.Join(to, ",") != c.wantTo {
			t.Errorf("%s: from %s to %v, want %s to %s", c.claim, from, to, c.wantFrom, c.wantTo)
		}
		if before.Recipients[0].Address != address(c.to) {
			t.Errorf("%s: the caller's envelope changed", c.claim)
		}
	}
}

// Who asked for a report is told of the recipient it named, and of copies nobody hears.
func TestReportsNameTheRecipientAsItWas(t *testing.T) {
	r := rewriter(t, Config{Canonical: []Map{{list{"ann@north.test": "bob@north.test"}, Recipients}}, AlwaysBCC: []mail.Address{address("arch@north.test")}})
	got, err := r.Envelope(t.Context(), mail.Envelope{Recipients: []mail.Recipient{{Address: address("ann@north.test")}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []mail.Recipient{{Address: address("bob@north.test"), ORcpt: "rfc822;ann@north.test"}, {Address: address("arch@north.test"), Notify: mail.NotifyNever}}
	if diff := cmp.Diff(want, got.Recipients); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTableThatFailsIsTemporary(t *testing.T) {
	env := mail.Envelope{From: mail.ReversePath{Address: address("ann@north.test")}, Recipients: []mail.Recipient{{Address: address("x@y.test")}}}
	for claim, cfg := range map[string]Config{
		"canonical":          {Canonical: []Map{{down{}, Everywhere}}},
		"copies":             {SenderBCC: []table.Table{down{}}},
		"copies by rcpt":     {RecipientBCC: []table.Table{down{}}},
		"a value of nothing": {Canonical: []Map{{list{"ann@north.test": "a b c"}, Everywhere}}},
		"a program":          {Canonical: []Map{{list{"ann@north.test": "|/bin/sh"}, Everywhere}}},
		"two addresses":      {Canonical: []Map{{list{"ann@north.test": "a@b.test, c@d.test"}, Everywhere}}},
	} {
		if _, err := rewriter(t, cfg).Envelope(t.Context(), env); err == nil || !mail.StatusOf(err).Temporary() {
			t.Errorf("%s: %v, want a temporary error", claim, err)
		}
	}
	r := rewriter(t, Config{Generic: []table.Table{down{}}})
	if _, _, err := r.Outgoing(t.Context(), env, mail.Bytes(letter)); !errors.Is(err, errDown) {
		t.Errorf("generic: %v", err)
	}
}

const letter = "Received: from ann@pc1.north.test\r\n" +
	"from :  \"Ann, of <north>\" (ann@pc1.north.test)\r\n <ann@PC1.north.test> (\\) \"x), ann@pc1.north.test\r\n" +
	"To: friends: ann@pc1.north.test,\r\n\t\"b c\"@pc1.north.test ;, Eve <@relay.test:eve@pc1.north.test>, root\r\n" +
	"Cc: broken <ann@pc1.north.test\r\n" +
	"Subject: ann@pc1.north.test\r\n\r\nFrom: ann@pc1.north.test\r\n"

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		claim     string
		cfg       Config
		from      string
		into      string
		unchanged bool
	}{
		{"masquerading", Config{Masquerade: []string{"north.test"}}, "", `"Ann, of <north>" (ann@pc1.north.test)` + "\r\n <ann@north.test> (\\) \"x), ann@north.test\r\n" +
			"To: friends: ann@north.test,\r\n\t\"b c\"@north.test ;, Eve <@relay.test:eve@north.test>, root\r\n", false},
		{"senders only", Config{Canonical: []Map{{list{"@pc1.north.test": "@x.test"}, HeaderSender}}}, "", `"Ann, of <north>" (ann@pc1.north.test)` + "\r\n <ann@x.test> (\\) \"x), ann@x.test\r\n" +
			"To: friends: ann@pc1.north.test,\r\n\t\"b c\"@pc1.north.test ;, Eve <@relay.test:eve@pc1.north.test>, root\r\n", false},
		{"completing", Config{Domain: "north.test"}, "", `"Ann, of <north>" (ann@pc1.north.test)` + "\r\n <ann@PC1.north.test> (\\) \"x), ann@pc1.north.test\r\n" +
			"To: friends: ann@pc1.north.test,\r\n\t\"b c\"@pc1.north.test ;, Eve <@relay.test:eve@pc1.north.test>, root@north.test\r\n", false},
		{"the envelope only", Config{Canonical: []Map{{list{"@pc1.north.test": "@x.test"}, EnvelopeSender}}}, "", "", true},
		{"nothing that is in the table", Config{Canonical: []Map{{list{}, Everywhere}}}, "", "", true},
	} {
		got, err := rewriter(t, c.cfg).Header(t.Context(), mail.Bytes(letter))
		if err != nil {
			t.Errorf("%s: %v", c.claim, err)
			continue
		}
		want := letter
		if !c.unchanged {
			want = "Received: from ann@pc1.north.test\r\nfrom :  " + c.into + letter[strings.Index(letter, "Cc: "):]
		}
		if diff := cmp.Diff(strings.Split(want, "\r\n"), strings.Split(string(got.Bytes()), "\r\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.claim, diff)
		}
	}
}

func TestOutgoing(t *testing.T) {
	r := rewriter(t, Config{Generic: []table.Table{list{"ann@pc1.north.test": "ann@isp.test", "@pc1.north.test": "me@isp.test"}}})
	env := mail.Envelope{From: mail.ReversePath{Address: address("ann@pc1.north.test")}, Recipients: []mail.Recipient{{Address: address("x@y.test")}}}
	env, content, err := r.Outgoing(t.Context(), env, mail.Bytes("From: Ann <ann@pc1.north.test>\r\nTo: bob@pc1.north.test\r\n\r\nx\r\n"))
	if want := "From: Ann <ann@isp.test>\r\nTo: me@isp.test\r\n\r\nx\r\n"; err != nil || string(content.Bytes()) != want || env.From.String() != "ann@isp.test" {
		t.Errorf("from %s, %q, %v; want %q", env.From, content.Bytes(), err, want)
	}
}

// FuzzHeader holds that nothing changes where the table gives each address itself, that the body and
// the number of lines never change, and that a second time changes nothing.
func FuzzHeader(f *testing.F) {
	f.Add(letter)
	f.Add("To: <a@b.test")
	f.Add("From: \"\\")
	f.Fuzz(func(t *testing.T, text string) {
		r := rewriter(t, Config{Masquerade: []string{"north.test"}, Domain: "north.test"})
		once, err := r.Header(t.Context(), mail.Bytes(text))
		if err != nil {
			return
		}
		got := string(once.Bytes())
		twice, err := r.Header(t.Context(), once)
		if err != nil || string(twice.Bytes()) != got {
			t.Errorf("%q became %q, then %q, %v", text, got, twice.Bytes(), err)
		}
		if strings.Count(got, "\n") != strings.Count(text, "\n") || strings.Count(got, "\r") != strings.Count(text, "\r") {
			t.Errorf("%q became %q: other lines", text, got)
		}
		if i := strings.Index(text, "\r\n\r\n"); i >= 0 && !strings.HasSuffix(got, text[i:]) {
			t.Errorf("%q became %q: another body", text, got)
		}
	})
}
