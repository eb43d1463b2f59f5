package remote

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"posthaste/mail"
)

// lines reads from memory.
type lines struct{ rest []byte }

func (l *lines) ReadLine() ([]byte, error) {
	line, rest, ok := bytes.Cut(l.rest, []byte("\r\n"))
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	l.rest = rest
	return line, nil
}

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mail.Status
	}{
		{"250 ok\r\n", mail.Status{Code: 250, Text: "ok"}},
		{"250\r\n", mail.Status{Code: 250}},
		{"550 5.1.1 no such user\r\n", mail.Status{Code: 550, Enhanced: "5.1.1", Text: "no such user"}},
		{"550-5.1.1 no\r\n550 5.1.1 user\r\n", mail.Status{Code: 550, Enhanced: "5.1.1", Text: "no\nuser"}},
		{"550 2.1.1 another class\r\n", mail.Status{Code: 550, Text: "2.1.1 another class"}},
		{"220 1.2.3.4 hello\r\n", mail.Status{Code: 220, Text: "1.2.3.4 hello"}},
		{"250 \x1b[31mred \xff\r\n", mail.Status{Code: 250, Text: "?[31mred ?"}},
		{"250-one\r\n251 two\r\n", mail.Status{}},
		{"250+one\r\n", mail.Status{}},
		{"99 one\r\n", mail.Status{}},
		{"650 one\r\n", mail.Status{}},
		{strings.Repeat("250-more\r\n", maxReplyLines+1), mail.Status{}},
	} {
		got, err := readReply(&lines{[]byte(c.in)})
		if err != nil {
			got = new(mail.Status)
		}
		if *got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

// FuzzReadReply holds that a reply is bounded, printable, and that EHLO's never confuse us.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-mx.test\r\n250-SIZE 10\r\n250 AUTH PLAIN\r\n", "550-5.1.1 a\r\n550 5.1.1 b\r\n", "354\r\n", "250-SIZE 99999999999999999999\r\n250 \r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, err := readReply(&lines{in})
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Text) > maxReplyText || !utf8.ValidString(reply.Text) {
			t.Errorf("bad reply %+v", reply)
		}
		if strings.ContainsAny(reply.Text, "\r\x00\x1b") {
			t.Errorf("control characters in %q", reply.Text)
		}
		if ext := parseExtensions(reply); ext.maxSize < 0 {
			t.Errorf("size %d", ext.maxSize)
		}
	})
}

// FuzzStuffing holds that whatever the content, a host sees its end exactly once, at its end.
func FuzzStuffing(f *testing.F) {
	for _, seed := range []string{"", ".", ".\r\n", "a\n.\nb", "a\r.\r\nb", "\r\n.\r\n", "a\r\n..\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		clean := in
		if hasBare(in) {
			clean = canonical(in)
		}
		if hasBare(clean) {
			t.Fatalf("%q keeps a bare CR, LF or NUL: %q", in, clean)
		}
		var wire bytes.Buffer
		if err := writeStuffed(&wire, clean); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for line := range bytes.Lines(wire.Bytes()) {
			if string(line) == ".\r\n" {
				t.Fatalf("%q ends early: %q", in, wire.Bytes())
			}
			got = append(got, bytes.TrimPrefix(line, []byte("."))...)
		}
		if string(bytes.TrimSuffix(got, []byte("\r\n"))) != string(bytes.TrimSuffix(clean, []byte("\r\n"))) {
			t.Errorf("%q arrives as %q", clean, got)
		}
	})
}
