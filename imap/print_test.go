package imap

import (
	"bytes"
	"strings"
	"testing"

	"posthaste/mail"
	"posthaste/message"
)

func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"\`: `"a\"\\"`, "é": "{2}\r\né", "a\r\nb": "{4}\r\na\r\nb", "a\x00\nb": "{3}\r\na\nb",
	} {
		if got := string(AppendString(nil, s)); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestAppendMailbox(t *testing.T) {
	tests := []struct {
		name string
		utf8 bool
		want string
	}{
		{"INBOX", false, "INBOX"}, {"a b", false, `"a b"`}, {"été", false, "&AOk-t&AOk-"}, {"été", true, `"été"`},
		{"a&b", true, "a&b"}, {"a&b", false, "a&-b"}, {"nil", true, `"nil"`}, {"", true, `""`}, {"a/[b]", true, "a/[b]"},
	}
	for _, test := range tests {
		if got := string(AppendMailbox(nil, test.name, test.utf8)); got != test.want {
			t.Errorf("%s %v: %s, want %s", test.name, test.utf8, got, test.want)
		}
	}
}

func TestAppendUIDs(t *testing.T) {
	if got := string(AppendUIDs(nil, []mail.UID{3, 4, 5, 9, 7, 8})); got != "3:5,9,7:8" {
		t.Error(got)
	}
}

const nested = "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\n" +
	"From: Fred Foobar <foobar@Blurdybloop.example>\r\n" +
	"Subject: =?utf-8?q?=C3=A9t=C3=A9?=\r\n" +
	"To: undisclosed: a@x.example, \"B \\\"q\\\"\" <b@y.example>;, mooch\r\n" +
	"In-Reply-To: <x@y>\r\n" +
	"Message-ID: <B27397-0100000@Blurdybloop.example>\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Language: en, de\r\n\r\none\r\ntwo\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n" +
	"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: BASE64\r\n" +
	"Content-Disposition: attachment; filename*=utf-8''%C3%A9.pdf\r\nContent-ID: <i@d>\r\n\r\nAAAA\r\n--b--\r\n"

func TestAppendEnvelope(t *testing.T) {
	got := string(AppendEnvelope(nil, message.Parse([]byte(nested)).Header))
	fred := `(("Fred Foobar" NIL "foobar" "Blurdybloop.example"))`
	want := `("Mon, 7 Feb 1994 21:52:25 -0800" "=?utf-8?q?=C3=A9t=C3=A9?=" ` + fred + " " + fred + " " + fred +
		` ((NIL NIL "undisclosed" NIL)(NIL NIL "a" "x.example")("B \"q\"" NIL "b" "y.example")(NIL NIL NIL NIL)(NIL NIL "mooch" ""))` +
		` NIL NIL "<x@y>" "<B27397-0100000@Blurdybloop.example>")`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(AppendEnvelope(nil, message.Parse([]byte("Subject:\r\n\r\n")).Header)); got != `(NIL "" NIL NIL NIL NIL NIL NIL NIL NIL)` {
		t.Errorf("an almost empty header: %s", got)
	}
}

func TestAppendBodyStructure(t *testing.T) {
	m := message.Parse([]byte(nested))
	text := `("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 8 1`
	inner := `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 22 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ` +
		`("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 4 0`
	pdf := `("APPLICATION" "PDF" NIL "<i@d>" NIL "BASE64" 4`
	short := "(" + text + ")" + inner + ") 2)" + pdf + `) "MIXED")`
	long := "(" + text + ` NIL NIL ("en" "de") NIL)` + inner + " NIL NIL NIL NIL) 2 NIL NIL NIL NIL)" +
		pdf + ` NIL ("ATTACHMENT" ("FILENAME*" "utf-8''%C3%A9.pdf")) NIL NIL) "MIXED" ("BOUNDARY" "b") NIL NIL NIL)`
	structure := AppendBodyStructure(nil, m, true)
	if string(structure) != long {
		t.Errorf("BODYSTRUCTURE\ngot  %s\nwant %s", structure, long)
	}
	if got := string(AppendBodyStructure(nil, m, false)); got != short {
		t.Errorf("BODY\ngot  %s\nwant %s", got, short)
	}
	if got := string(AppendBody(nil, structure)); got != short {
		t.Errorf("shortened\ngot  %s\nwant %s", got, short)
	}
}

func FuzzAppendBody(f *testing.F) {
	f.Add([]byte(nested))
	f.Add([]byte("Content-Type: text/x\"y; a=\"b\\\"\"\r\nContent-Description: \xff {9}\r\n\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := message.Parse(content)
		short := AppendBodyStructure(nil, m, false)
		if got := AppendBody(nil, AppendBodyStructure(nil, m, true)); !bytes.Equal(got, short) {
			t.Errorf("shortened %s\nwant      %s", got, short)
		}
		if envelope := AppendEnvelope(nil, m.Header); bytes.IndexByte(envelope, 0) >= 0 {
			t.Errorf("NUL in %q", envelope)
		}
		AppendBody(nil, content)
	})
}

func BenchmarkParseFetch(b *testing.B) {
	text := []byte("a12 UID FETCH 1:500,700 (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (REFERENCES)])")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text, false); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLabelsAreShort(t *testing.T) {
	cmd, err := Parse([]byte("a FETCH 1 BODY["+strings.Repeat("1.", MaxSections)+"1]"), false)
	if err == nil {
		t.Errorf("%d part numbers were taken: %v", MaxSections+1, cmd)
	}
}
