package message

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthaste/mail"

	"pgregory.net/rapid"
)

// text draws anything a person may type on one line.
func text(t *rapid.T, label string) string {
	s := rapid.StringOf(rapid.RuneFrom([]rune("ab \"\\(),;:<>@=?._é日😊\u00a0"))).Draw(t, label)
	return joinSpace(s)
}

func TestWhatIsBuiltIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subject, name, filename := text(t, "subject"), text(t, "name"), text(t, "filename")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		plain := rapid.StringOf(rapid.RuneFrom([]rune("ab \t=.é日\n"))).Draw(t, "plain")
		var b Builder
		b.Addresses("From", []MailAddress{{Name: name, Local: "a b", Domain: "north.test"}})
		b.Text("Subject", subject)
		b.Date(time.Unix(1e9, 0).UTC())
		content := b.Body(Multipart("mixed", TextEntity("plain", plain),
			Entity{Type: "application/pdf", Disposition: "attachment", Filename: filename, Body: body}))
		for line := range bytes.Lines(content) {
			if len(line) > MaxLine || !bytes.HasSuffix(line, []byte("\r\n")) {
				t.Fatalf("line %q", line)
			}
		}
		m := Parse(content)
		if !ShapeOf(content).SevenBit() {
			t.Errorf("%q is not 7bit", content)
		}
		from := m.Header.From()
		if m.Header.Subject() != subject || len(from) != 1 || from[0].Name != name || from[0].Address() != (mail.Address{Local: "a b", Domain: "north.test"}) {
			t.Errorf("subject %q, from %+v of %q", m.Header.Subject(), from, content)
		}
		if d, ok := m.Header.Date(); !ok || d.Unix() != 1e9 {
			t.Errorf("date %v", d)
		}
		if len(m.Root.Children) != 2 {
			t.Fatalf("%d children: %q", len(m.Root.Children), content)
		}
		file := m.Root.Children[1]
		if got, err := file.Decode(nil); err != nil || !bytes.HasPrefix(got, body) || len(bytes.TrimSpace(got[len(body):])) > 0 || file.Filename() != filename {
			t.Errorf("file %q: %q, want %q: %q", file.Filename(), got, filename, body)
		}
		if got := m.Root.Children[0].Text(0); got != plain {
			t.Errorf("text %q, want %q", got, plain)
		}
	})
}

func TestNoFieldBecomesTwo(t *testing.T) {
	var b Builder
	b.Text("Subject", "a\r\nBcc: x@y")
	b.Addresses("From", []MailAddress{{Name: "a\r\nBcc: x", Local: "a\r\nb", Domain: "c"}})
	content := b.Body(Entity{Type: "text/plain", Disposition: "inline", Filename: "a\r\nBcc: x"})
	for _, f := range Parse(content).Header.Fields() {
		if f.Is("Bcc") {
			t.Errorf("a field was smuggled in: %q", content)
		}
	}
}

func TestBoundaryIsNotInTheParts(t *testing.T) {
	inner := new(Builder).Body(Multipart("mixed", TextEntity("plain", "a"), TextEntity("plain", "b")))
	outer := new(Builder).Body(Multipart("report", TextEntity("plain", "r"), Entity{Type: "message/rfc822", Body: inner}))
	if got := Parse(outer).Root.tree(); got != "report(plain rfc822(mixed(plain plain)))" {
		t.Errorf("%s: %q", got, outer)
	}
}

func TestDowngradeKeepsWhatPartsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.SampledFrom([]byte("ab =\t\xe9\xc3\n\x00"))).Draw(t, "plain")
		plain = bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n"))
		file := rapid.SliceOf(rapid.Byte()).Draw(t, "file")
		file = bytes.ReplaceAll(file, []byte("-"), []byte("x")) // no delimiter
		content := "Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
			"preamble \xff\r\n--a\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + string(plain) +
			"\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: enclosed\r\nContent-Type: image/png; name=\"\xc3\xa9\"\r\n\r\n" + string(file) +
			"\r\n--a--\r\n"
		got, err := Downgrade8Bit([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(got)
		checkInvariants(t, m)
		if shape := ShapeOf(got); !shape.SevenBit() {
			t.Fatalf("%+v: %q", shape, got)
		}
		if m.Root.tree() != "mixed(plain rfc822(png))" {
			t.Fatalf("%s: %q", m.Root.tree(), got)
		}
		if text, _ := m.Root.Children[0].Decode(nil); !bytes.Equal(text, plain) {
			t.Errorf("text is %q, was %q", text, plain)
		}
		image := m.Root.Children[1].Message.Root
		if data, _ := image.Decode(nil); !bytes.Equal(data, file) || image.Filename() != "é" {
			t.Errorf("file %q is %q, was %q", image.Filename(), data, file)
		}
	})
}

func TestDowngrade(t *testing.T) {
	seven := []byte("Subject: caf\xc3\xa9\r\n\r\nplain\r\n")
	if got, err := Downgrade8Bit(seven); err != nil || &got[0] != &seven[0] {
		t.Errorf("7bit body was copied: %v", err)
	}
	for _, c := range []struct {
		claim, content string
		want           string
		err            error
	}{
		{"text without a type gets one", "Subject: x\r\n\r\ncaf\xe9\r\n", "Subject: x\r\nMIME-Version: 1.0\r\n" +
			"Content-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\n", nil},
		{"a signed part cannot change", "Content-Type: multipart/signed; boundary=a\r\n\r\n--a\r\n\r\n\xe9\r\n--a\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--a--\r\n", "", ErrSigned},
		{"a signed part of 7bit stays beside one that changes", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n\r\n--o\r\nContent-Type: a/b\r\n\r\n\xe9\r\n--o--\r\n",
			"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n\r\n--o\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n6Q==\r\n--o--\r\n", nil},
		{"a multipart without its delimiters cannot change", "Content-Type: multipart/mixed; boundary=a\r\n\r\n\xe9\r\n", "", ErrStructure},
		{"long lines are broken", "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("x", 999) + "\r\n", "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n" +
			"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(strings.Repeat("x", 75)+"=\r\n", 13) + strings.Repeat("x", 24) + "\r\n", nil},
	} {
		got, err := Downgrade8Bit([]byte(c.content))
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s:\n got %q, %v\nwant %q, %v", c.claim, got, err, c.want, c.err)
		}
	}
}

func FuzzDowngrade8Bit(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n\xe9\r\n--a--\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := Downgrade8Bit(content)
		if err != nil {
			return
		}
		m := Parse(got)
		checkInvariants(t, m)
		m.Walk(func(p *Part) bool {
			if !p.IsMultipart() && p.Message == nil && !isASCII(p.Body()) {
				t.Errorf("%s has 8-bit bytes: %q of %q", p.Type(), p.Body(), content)
			}
			return true
		})
	})
}

func TestShape(t *testing.T) {
	for in, want := range map[string]Shape{
		"a\r\nb":                          {},
		"\xe9\r\n":                        {EightBit: true},
		"\x00\r\n":                        {NUL: true},
		"a\nb\r\n":                        {BareLF: true},
		"a\rb\r\n":                        {BareCR: true},
		"a\r":                             {BareCR: true},
		strings.Repeat("x", 998) + "\r\n": {},
		strings.Repeat("x", 999) + "\r\n": {LongLine: true},
	} {
		if got := ShapeOf([]byte(in)); got != want {
			t.Errorf("%.20q: %+v, want %+v", in, got, want)
		}
	}
}

func TestReceived(t *testing.T) {
	when := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	origin := mail.Origin{IP: netip.MustParseAddr("2001:db8::1"), Name: "mail.north.test", Helo: "north.test", Protocol: "ESMTPS", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256"}
	for _, c := range []struct {
		claim string
		r     Received
		want  string
	}{
		{"all", Received{Origin: origin, By: "mx.south.test", ID: "0123456789abcdef", For: mail.Address{Local: "bob", Domain: "south.test"}, Time: when},
			"Received: from north.test (mail.north.test [IPv6:2001:db8::1])\r\n\tby mx.south.test with ESMTPS\r\n\t(TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n\tid 0123456789abcdef\r\n\tfor <bob@south.test>;\r\n\tThu, 5 Nov 2026 10:00:00 +0000\r\n"},
		{"hidden client", Received{Origin: origin, HideClient: true, By: "mx.south.test", Time: when},
			"Received: by mx.south.test with ESMTPS\r\n\t(TLSv1.3 TLS_AES_128_GCM_SHA256);\r\n\tThu, 5 Nov 2026 10:00:00 +0000\r\n"},
		{"hostile HELO", Received{Origin: mail.Origin{Helo: "a) by b", Name: "x(\r\n", IP: netip.MustParseAddr("192.0.2.1")}, By: "mx", Time: when},
			"Received: from unknown (x___ [192.0.2.1])\r\n\tby mx;\r\n\tThu, 5 Nov 2026 10:00:00 +0000\r\n"},
	} {
		got := string(c.r.Append(nil))
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.claim, got, c.want)
		}
		if n := Hops(Parse([]byte(got)).Header); n != 1 {
			t.Errorf("%s: %d hops", c.claim, n)
		}
	}
}
