package classifier

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
)

func TestHopsOfTheUsualPrograms(t *testing.T) {
	for _, row := range []struct{ claim, field, helo, name, ip, rest string }{
		{"name and address", "from mx.a.example (mail.a.example [192.0.2.1]) by b.example with ESMTP", "mx.a.example", "mail.a.example", "192.0.2.1", "b.example with esmtp"},
		{"no name", "from mx.a.example ([192.0.2.1]) by b.example", "mx.a.example", "", "192.0.2.1", "b.example"},
		{"a name said to be unknown", "from mx.a.example (unknown [192.0.2.1]) by b.example", "mx.a.example", "", "192.0.2.1", "b.example"},
		{"a user of ident", "from mx (root@mail.a.example [192.0.2.1]) by b.example", "mx", "mail.a.example", "192.0.2.1", "b.example"},
		{"HELO after an equals sign", "from mail.a.example ([192.0.2.1] helo=mx.c.example) by b.example", "mx.c.example", "mail.a.example", "192.0.2.1", "b.example"},
		{"HELO in parentheses", "from unknown (HELO mx.c.example) (192.0.2.1) by b.example", "mx.c.example", "", "192.0.2.1", "b.example"},
		{"a number as HELO", "from 203.0.113.9 (mail.a.example [192.0.2.1]) by b.example", "203.0.113.9", "mail.a.example", "192.0.2.1", "b.example"},
		{"IPv6", "from mx.a.example ([IPv6:2001:db8::1]) by b.example", "mx.a.example", "", "2001:db8::1", "b.example"},
		{"by within a comment is none", "from a.example (sent by us) by b.example", "a.example", "", "", "b.example"},
		{"no client at all", "by b.example (Postfix, from userid 0)", "", "", "", "by b.example (postfix, from userid 0)"},
		{"a HELO that never comes", "from a.example (HELO", "a.example", "", "", ""},
		{"nothing", "", "", "", "", ""},
	} {
		p := parseHop(row.field)
		ip := ""
		if p.ip.IsValid() {
			ip = p.ip.String()
		}
		if p.helo != row.helo || p.name != row.name || ip != row.ip || p.rest != row.rest {
			t.Errorf("%s: helo %q, name %q, ip %q, rest %q", row.claim, p.helo, p.name, ip, p.rest)
		}
	}
}

// The way begins at the first host that is none of the receiver's own.
func TestTheReceiversOwnHopsAreLeftOut(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	own := "Received: from localhost (localhost [127.0.0.1])\n\tby in.b.example with LMTP; Thu, 5 Nov 2026 10:00:00 +0000\n" +
		"Received: from mail.provider.example [192.0.2.9]\n\tby localhost with POP3 (fetchmail-6.4); Thu, 5 Nov 2026 10:00:00 +0000\n" +
		"Received: from lan (lan.b.example [10.0.0.1])\n\tby in.b.example; Thu, 5 Nov 2026 10:00:00 +0000\n"
	first := "Received: from mx.a.example (mail.a.example [198.51.100.7])\n\tby b.example with ESMTP; Thu, 5 Nov 2026 10:00:00 +0000\n"
	before := "Received: from pc (dsl-1-2-3.line.example [203.0.113.4])\n\tby mx.a.example (Foomail 1.2) with SMTP; yesterday\n"
	got := texts(c, own+first+before+"\nx")
	for _, want := range []string{`client network "198.51.0.0/16"`, `client host "mail.a.example"`, `client HELO "own domain"`, `hop name "of a line"`,
		`hop HELO "word"`, `hop odd: "date"`, `hop "with smtp"`, `hop number: "2"`} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if without := texts(c, first+before+"\nx"); !slices.Equal(got, without) {
		t.Errorf("with the receiver's hops %q, without %q", got, without)
	}
}

// What is scored while a message comes in is what is learned from it once it is stored.
func TestStoredMailHasTheFeaturesOfIncoming(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	content := "Received: from pc (pc.a.example [203.0.113.4])\r\n\tby mx.a.example with SMTP; Thu, 5 Nov 2026 10:00:00 +0000\r\n" +
		"From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: x\r\nMessage-ID: <1@a.example>\r\n\r\nhello there\r\n"
	ip := netip.MustParseAddr
	for claim, origin := range map[string]mail.Origin{
		"named":                  {IP: ip("198.51.100.7"), Name: "mail.a.example", Helo: "mx.a.example", Protocol: "ESMTPS", TLS: "TLSv1.3 X"},
		"not named":              {IP: ip("198.51.100.7"), Helo: "[198.51.100.7]", Protocol: "SMTP"},
		"IPv6":                   {IP: ip("2001:db8:1:2::3"), Name: "six.a.example", Helo: "six.a.example"},
		"a HELO of odd letters":  {IP: ip("198.51.100.7"), Helo: "a b) by c"},
		"a HELO that says by":    {IP: ip("198.51.100.7"), Helo: "by"},
		"a very long HELO":       {IP: ip("198.51.100.7"), Helo: strings.Repeat("a.", 120) + "example"},
		"a name with a paren":    {IP: ip("198.51.100.7"), Name: "a(b.example"},
		"a host of our own":      {IP: ip("10.0.0.5"), Name: "relay.b.example", Helo: "relay.b.example"},
		"loopback":               {IP: ip("127.0.0.1"), Helo: "localhost"},
		"no connection":          {Protocol: "LMTP"},
		"a mapped address":       {IP: ip("::ffff:198.51.100.7"), Helo: "mx.a.example"},
		"a host called helo=me":  {IP: ip("198.51.100.7"), Helo: "helo", Name: "helo.example"},
		"fetchmail in the HELO":  {IP: ip("198.51.100.7"), Helo: "fetchmail.example"},
		"a link-local client":    {IP: ip("fe80::1"), Helo: "x"},
		"an upper-case host":     {IP: ip("198.51.100.7"), Name: "MAIL.A.Example", Helo: "MX.A.EXAMPLE"},
		"a name that is unknown": {IP: ip("198.51.100.7"), Name: "unknown", Helo: "unknown"},
	} {
		r := message.Received{Origin: origin, By: "mx.b.example", ID: "0123456789abcdef", Time: time.Unix(1e9, 0).UTC()}
		stored := append([]byte("Return-Path: <ann@a.example>\r\nAuthentication-Results: mx.b.example; spf=pass\r\n"), r.Append(nil)...)
		incoming := c.TokenizeWith(message.Parse([]byte(content)), origin)
		later := c.Tokenize(message.Parse(append(stored, content...)))
		if !slices.Equal(incoming.features, later.features) {
			t.Errorf("%s: incoming has %d features, stored %d, or others", claim, incoming.Len(), later.Len())
		}
	}
}

func TestManyHopsAreBounded(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	line := "Received: from a.example (a.example [198.51.100.7]) by b.example with ESMTP; x\n"
	few, many := texts(c, strings.Repeat(line, maxHops+1)+"\nx"), texts(c, strings.Repeat(line, 5_000)+"\nx")
	if !slices.Equal(few, many) {
		t.Errorf("%d features of %d hops, %d of 5,000", len(few), maxHops+1, len(many))
	}
}

func FuzzHop(f *testing.F) {
	f.Add("from a (b [192.0.2.1]) by c")
	f.Add("from a ([192.0.2.1] helo=b) by c")
	f.Add("from unknown (HELO b) (192.0.2.1) by c")
	f.Add("from (((( by ))")
	f.Fuzz(func(t *testing.T, s string) {
		p := parseHop(s)
		if len(p.helo)+len(p.name)+len(p.rest) > 4*maxHopText { // lower case may be longer
			t.Errorf("%d bytes of %d", len(p.helo)+len(p.name)+len(p.rest), len(s))
		}
	})
}
