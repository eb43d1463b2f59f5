package lookalike

import (
	"strings"
	"testing"

	"posthaste/mail"
	"posthaste/message"
)

func TestLike(t *testing.T) {
	x := NewIndex([]string{"example.com", "mail.paypal.com", "kobenhavn.dk", "ab.de", "microsoft.com"})
	for _, c := range []struct{ domain, want string }{
		{"example.com", ""},
		{"sub.example.com", ""},
		{"EXAMPLE.COM", ""},
		{"example.org", ""}, // others have the name under other suffixes, rightly
		{"sample.org", ""},
		{"ac.de", ""},
		{"", ""},
		{"exarnple.com", "example.com"},
		{"examp1e.com", "example.com"},
		{"exаmple.com", "example.com"}, // Cyrillic
		{"xn--exmple-4nf.com", "example.com"},
		{"éxample.com", "example.com"},
		{"examples.com", "example.com"},
		{"exmple.com", "example.com"},
		{"examlpe.com", "example.com"},
		{"mail.paypai.com", "paypal.com"},
		{"paypa1.com", "paypal.com"},
		{"rnicrosoft.com", "microsoft.com"},
		{"microsoft.com.login.test", "microsoft.com"},
		{"www.microsoft.com.login.test", "microsoft.com"},
	} {
		if got, how, _ := x.Like(c.domain); got != c.want {
			t.Errorf("%s: like %q (%s), want %q", c.domain, got, how, c.want)
		}
	}
	var none *Index
	if _, _, ok := none.Like("example.com"); ok || none.Has("example.com") {
		t.Error("a nil Index has something")
	}
}

func TestCheck(t *testing.T) {
	k := Known{Ours: NewIndex([]string{"example.com"}), Correspondents: NewIndex([]string{"partner-company.com"}),
		Person: func(key string) (mail.Address, bool) {
			return mail.Address{Local: "john", Domain: "example.com"}, key == NameKey("John Smith")
		}}
	for _, c := range []struct{ name, header, want string }{
		{"a stranger", "From: Ann Other <ann@other.test>", ""},
		{"one of ours", "From: John Smith <john@example.com>", ""},
		{"an address in the name", `From: "ann@bank.example" <x@evil.test>`, "LOOKALIKE_ADDRESS_IN_NAME"},
		{"an address in an encoded name", "From: =?utf-8?q?ann=40bank.example?= <x@evil.test>", "LOOKALIKE_ADDRESS_IN_NAME"},
		{"the sender's own address in the name", `From: "x@evil.test" <x@mail.evil.test>`, ""},
		{"a list speaks for its member", `From: "ann@bank.example via Talk" <talk@lists.test>`, ""},
		{"no address but a sign", `From: "Ann @ Home" <x@evil.test>`, ""},
		{"the name of one of our people", "From: John Smith <ceo@evil.test>", "LOOKALIKE_PERSON"},
		{"in another order", `From: "SMITH, John" <ceo@evil.test>`, "LOOKALIKE_PERSON"},
		{"in another alphabet", "From: =?utf-8?b?SsK3aG4=?= <a@evil.test>, Jоhn Smith <ceo@evil.test>", "LOOKALIKE_PERSON"},
		{"our domain, nearly", "From: a@examp1e.com", "LOOKALIKE_OUR_DOMAIN"},
		{"a known domain, nearly", "From: a@partner-compamy.com", "LOOKALIKE_KNOWN_DOMAIN"},
		{"two alphabets in a word", "From: a@pаypal.test", "LOOKALIKE_SCRIPTS"},
		{"one alphabet a word", "From: a@почта.test", ""},
		{"answers elsewhere", "From: a@other.test\r\nReply-To: b@evil.test", "REPLY_ELSEWHERE"},
		{"answers within", "From: a@other.test\r\nReply-To: b@mail.other.test", ""},
		{"answers to a list", "From: a@other.test\r\nList-Id: <x.lists.test>\r\nReply-To: x@lists.test", ""},
		{"no sender", "Subject: x\r\nReply-To: b@evil.test", ""},
	} {
		var got []string
		for _, f := range Check(message.ParseHeader([]byte(c.header+"\r\n\r\n")), k) {
			got = append(got, f.Rule)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}

func TestScripts(t *testing.T) {
	for _, c := range []struct {
		label            string
		mixed, disguised bool
	}{
		{"example", false, false}, {"müller", false, false}, {"почта", false, false}, {"аррӏе", false, true},
		{"pаypal", true, true}, {"日本", false, false}, {"αβ", false, true}, {"", false, false},
	} {
		if m, d := Mixed(c.label), Disguised(c.label); m != c.mixed || d != c.disguised {
			t.Errorf("%q: mixed %v, disguised %v", c.label, m, d)
		}
	}
}

func FuzzLike(f *testing.F) {
	x := NewIndex([]string{"example.com", "partner-company.co.uk"})
	for _, s := range []string{"exarnple.com", "xn--exmple-4nf.com", "a.example.com.b", "..", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if other, _, ok := x.Like(s); ok && (x.Has(s) || !x.Has(other)) {
			t.Errorf("%q is like %q", s, other)
		}
		if len(Skeleton(s)) > 20*len(s)+20 {
			t.Errorf("a skeleton of %d bytes for %d", len(Skeleton(s)), len(s))
		}
		NameKey(s)
		Disguised(s)
	})
}
