package message

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func FuzzParseAddresses(f *testing.F) {
	f.Add(`Ann <ann@north.test>, "b c" <"b c"@south.test> (d), team: a@b, c@[192.0.2.1];`)
	f.Add(`<@a,@b:c@d>, x . y @ z . test, <>, "`)
	f.Add("=?utf-8?q?a,b?= <a@b>, a@b <c@d> <e@f>")
	f.Fuzz(func(t *testing.T, s string) {
		for a := range Mailboxes(ParseAddresses(s)) {
			a.Address()
			if !utf8.ValidString(a.Name) {
				t.Errorf("name is not UTF-8: %q", a.Name)
			}
		}
	})
}

func FuzzParseDate(f *testing.F) {
	f.Add("Thu, 13 Feb 1969 23:32:54 -0330 (Newfoundland)")
	f.Add("21-Nov-97 09:55:06 EST")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseDate(s)
		if !ok {
			return
		}
		again, ok := ParseDate(d.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
		if d.Year() >= 1900 && (!ok || !again.Equal(d)) {
			t.Errorf("%q is %v, which is read back as %v", s, d, again)
		}
	})
}

func FuzzDecodeWords(f *testing.F) {
	f.Add("a =?utf-8?q?b=20c?= =?iso-8859-1*en?B?4Q==?= d")
	f.Add("=?=?a?q?=?=?=")
	f.Fuzz(func(t *testing.T, s string) {
		if got := DecodeWords(s); !utf8.ValidString(got) {
			t.Errorf("%q gives %q", s, got)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add([]byte(`; charset=utf-8; name*0*=utf-8''a%20; name*1="b"; x (c) = "\"d`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s := scanner{in: value}
		for _, p := range s.params() {
			if p.Name != "boundary" && !utf8.ValidString(p.Value) {
				t.Errorf("%q gives %s=%q", value, p.Name, p.Value)
			}
		}
	})
}

func FuzzDecodeUTF7(f *testing.F) {
	f.Add([]byte("Hi Mom -+Jjo--+AGEAYg"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := DecodeUTF7(b); !utf8.ValidString(got) {
			t.Errorf("%q gives %q", b, got)
		}
	})
}

func TestUTF7(t *testing.T) { // the examples of RFC 2152
	for in, want := range map[string]string{
		"A+ImIDkQ.":            "A≢Α.",
		"Hi Mom -+Jjo--!":      "Hi Mom -☺-!",
		"+ZeVnLIqe-":           "日本語",
		"1 +- 1 = 2":           "1 + 1 = 2",
		"+2D3eCg-":             "😊",
		"broken + and +2D0- x": "broken \uFFFD and \uFFFD x",
	} {
		if got := DecodeUTF7([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWords(t *testing.T) { // RFC 2047 section 8 and what mail programs do
	for in, want := range map[string]string{
		"(=?ISO-8859-1?Q?a?=)":                                "(a)",
		"=?ISO-8859-1?Q?a?= b":                                "a b",
		"=?ISO-8859-1?Q?a?=\t=?ISO-8859-1?Q?b?=":              "ab",
		"=?ISO-8859-1?Q?a_b?=":                                "a b",
		"=?US-ASCII*EN?Q?Keith_Moore?=":                       "Keith Moore",
		"=?utf-8?B?w?= =?utf-8?B?w6k=?=":                      "é",
		"=?utf-8?q?=C3?= =?utf-8?q?=A9?=":                     "é",
		"=?x-none?q?caf=E9?=":                                 "café",
		"raw caf\xe9":                                         "raw café",
		"raw café":                                            "raw café",
		"=?utf-8?x?a?= stays":                                 "=?utf-8?x?a?= stays",
		"=?utf-8?q?open":                                      "=?utf-8?q?open",
		"=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=":                  "日本語",
		"=?gb2312?B?1tDOxA==?= =?ks_c_5601-1987?B?x9GxuQ==?=": "中文한국",
		"=?utf-7?q?+ZeVnLIqe-?=":                              "日本語",
		"=?hz-gb-2312?q?~{VPND~}?=":                           "中文",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 21 Nov 1997 09:55:06 -0600": "1997-11-21T09:55:06-06:00",
		"21 Nov 97 09:55:06 GMT":          "1997-11-21T09:55:06Z",
		"21 Nov 1997 09:55 EDT":           "1997-11-21T09:55:00-04:00",
		"Fri Nov 21 09:55:06 1997":        "1997-11-21T09:55:06Z",
		"Fri Nov 21 09:55:06 PST 1997":    "1997-11-21T09:55:06-08:00",
		"21-Nov-1997 09:55:06 +0530":      "1997-11-21T09:55:06+05:30",
		"1 Jan 2000 00:00:60 Z":           "2000-01-01T00:01:00Z",
		"31 Feb 2000 00:00:00 +0000":      "",
		"1 Jan 2000 25:00:00 +0000":       "",
		"1 Jan 100 00:00:00 +0000":        "2000-01-01T00:00:00Z",
		"yesterday":                       "",
	} {
		got := ""
		if d, ok := ParseDate(in); ok {
			got = d.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		",,":                                "",
		"root":                              " <root>, ",
		"ann@north.test (Ann Smith)":        "Ann Smith <ann@north.test>, ",
		"undisclosed-recipients:;":          "undisclosed-recipients: ; ",
		"a@b; c@d":                          " <a@b>,  <c@d>, ",
		`"a b"@c.test`:                      " <a b@c.test>, ",
		"a@b c@d":                           " <a@b>,  <c@d>, ",
		"<a@b> Carl <c@d>":                  " <a@b>, Carl <c@d>, ",
		"a@b (c@d":                          " <a@b>,  <(c@d>, ",
		"Ann a@b Smith":                     "Ann Smith <a@b>, ",
		"<a@b> <c@d>":                       " <a@b>,  <c@d>, ",
		"<a@b, c@d":                         " <a@b>,  <c@d>, ",
		"Ann <ann@north.test":               "Ann <ann@north.test>, ",
		"MAILER-DAEMON <>":                  "MAILER-DAEMON <>, ",
		"a . b @ c . d":                     " <a.b@c.d>, ",
		"a@[IPv6:2001:db8::1], b@c":         " <a@[IPv6:2001:db8::1]>,  <b@c>, ",
		"=?utf-8?q?Doe=2C_J=C3=A9?= <j@x>":  "Doe, Jé <j@x>, ",
		"=?utf-8?q?Doe,_J?= <j@x>":          "Doe, J <j@x>, ",
		"jörg@exämple.test":                 " <jörg@exämple.test>, ",
		`"un\"closed <a@b>, c@d`:            ` <un"closed <a@b>, c@d>, `,
		"team: ann@a, Bob <bob@b>;, carl@c": "team:  <ann@a>, Bob <bob@b>, ;  <carl@c>, ",
	} {
		var got strings.Builder
		showAddresses(&got, ParseAddresses(in))
		if got.String() != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got.String(), want)
		}
	}
	if a := ParseAddresses("<@a.test,@b.test:c@D.test>")[0]; a.Route != "@a.test,@b.test" || a.Address().Domain != "d.test" {
		t.Errorf("route %q, domain %q", a.Route, a.Address().Domain)
	}
	if a := ParseAddresses("a@exÄmple.test")[0].Address(); a.Domain != "xn--exmple-cua.test" {
		t.Errorf("domain %q", a.Domain)
	}
}

func TestTransferEncodingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		if got := appendBase64(nil, []byte(base64.StdEncoding.EncodeToString(data))); !bytes.Equal(got, data) {
			t.Errorf("base64 of %q gives %q", data, got)
		}
		var qp bytes.Buffer
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		w.Write(data)
		w.Close()
		if got := appendQuotedPrintable(nil, qp.Bytes()); !bytes.Equal(got, data) {
			t.Errorf("quoted-printable %q of %q gives %q", qp.Bytes(), data, got)
		}
	})
}

func TestBrokenTransferEncodings(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "SGVs\r\nbG8=\r\n", "Hello"},
		{"base64", "SGVsbG8", "Hello"},
		{"base64", "SGVs!bG8=SGVsbG8=", "HelloHello"},
		{"base64", "SGVsbG8=\r\n--footer", "Hello~\x8a-z"},
		{"quoted-printable", "a=3Db  \r\nc=\r\nd", "a=b\r\ncd"},
		{"quoted-printable", "a=3db=\nc=  \nd", "a=bcd"},
		{"quoted-printable", "100% = =XY =", "100% = =XY "},
		{"x-uuencode", "as it is", "as it is"},
	} {
		got, err := decodeTransfer(nil, []byte(c.in), c.encoding)
		if string(got) != c.want {
			t.Errorf("%s %q: got %q, want %q", c.encoding, c.in, got, c.want)
		}
		if (err != nil) != (c.encoding == "x-uuencode") {
			t.Errorf("%s: error %v", c.encoding, err)
		}
	}
}

func TestTextOfParts(t *testing.T) {
	for _, c := range []struct{ claim, content, want string }{
		{"charset", "Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\n", "café\n"},
		{"declared ASCII is often UTF-8", "Content-Type: text/plain; charset=us-ascii\r\n\r\ncafé", "café"},
		{"unknown charset", "Content-Type: text/plain; charset=x-foo\r\n\r\ncaf\xe9", "café"},
		{"encoded", "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\ncaf=C3=A9=\r\n!", "café!"},
		{"HTML without tags", "Content-Type: text/html\r\n\r\n<style>p{}</style><p>caf&eacute;  <b>now</b></p><script>x</script><p>two", "café now\ntwo"},
		{"HTML names its charset", "Content-Type: text/html\r\n\r\n<meta charset=koi8-r><p>\xcd\xc9\xd2", "мир"},
	} {
		if got := Parse([]byte(c.content)).Root.PlainText(0); got != c.want {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ claim, content, want string }{
		{"one line, cut between characters", "\r\n  Hällo\r\n\r\nBob,  how   are you?", "Hällo Bob, how are y"},
		{"quotes are left out", "\r\n> said\r\n> before\r\nanswer", "answer"},
		{"a quote alone is shown", "\r\n> said", "> said"},
		{"HTML where there is no plain text", "Content-Type: text/html\r\n\r\n<p>Hello&zwnj;&nbsp;Bob", "Hello Bob"},
		{"attachments are not read", "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nsecret", ""},
		{"an empty plain alternative gives way to HTML", "Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\n \r\n--a\r\nContent-Type: text/html\r\n\r\n<i>hi</i>\r\n--a--", "hi"},
	} {
		if got := Parse([]byte(c.content)).Preview(21); got != c.want {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
}
