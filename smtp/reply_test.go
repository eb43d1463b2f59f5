package smtp

import (
	"io"
	"strings"
	"testing"

	"posthaste/mail"
)

func TestAppendReply(t *testing.T) {
	long := strings.Repeat("word ", 150)
	for _, c := range []struct {
		claim  string
		status *mail.Status
		want   string
	}{
		{"one line", mail.NewStatus(250, "2.1.0", "OK"), "250 2.1.0 OK\r\n"},
		{"no enhanced code", mail.NewStatus(220, "", "ready"), "220 ready\r\n"},
		{"many lines", mail.NewStatus(250, "2.0.0", "a\nb\nc"), "250-2.0.0 a\r\n250-2.0.0 b\r\n250 2.0.0 c\r\n"},
		{"no text", mail.NewStatus(250, "", ""), "250 \r\n"},
		{"a line end cannot be smuggled in", mail.NewStatus(550, "5.1.1", "no <a\r220 b>"), "550 5.1.1 no <a?220 b>\r\n"},
		{"what is not ASCII is masked", mail.NewStatus(550, "5.1.1", "no jörg"), "550 5.1.1 no j?rg\r\n"},
		{"long text is folded", mail.NewStatus(250, "2.0.0", long), "250-2.0.0 " + long[:499] + "\r\n250 2.0.0 " + long[500:] + "\r\n"},
	} {
		if got := string(AppendReply(nil, c.status)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
}

// lines gives the lines of s.
func lines(s string) func() ([]byte, error) {
	return func() ([]byte, error) {
		line, rest, ok := strings.Cut(s, "\r\n")
		if !ok {
			return nil, io.EOF
		}
		s = rest
		return []byte(line), nil
	}
}

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		claim, in string
		want      *mail.Status // nil: refused
	}{
		{"one line", "250 2.1.0 OK\r\n", mail.NewStatus(250, "2.1.0", "OK")},
		{"the code alone", "250\r\n", mail.NewStatus(250, "", "")},
		{"many lines", "250-2.0.0 a\r\n250 2.0.0 b\r\n", mail.NewStatus(250, "2.0.0", "a\nb")},
		{"an EHLO reply has no enhanced codes", "250-mx.test\r\n250 SIZE 100\r\n", mail.NewStatus(250, "", "mx.test\nSIZE 100")},
		{"an enhanced code of another class is text", "550 2.1.0 no\r\n", mail.NewStatus(550, "", "2.1.0 no")},
		{"a version number is text", "220 5.10.100.1 ready\r\n", mail.NewStatus(220, "", "5.10.100.1 ready")},
		{"control characters are masked", "550 a\x1bb\xff\r\n", mail.NewStatus(550, "", "a?b?")},
		{"codes differ", "250-a\r\n251 b\r\n", nil},
		{"no code", "hello\r\n", nil},
		{"100", "100 x\r\n", nil},
		{"600", "600 x\r\n", nil},
		{"no space", "250x\r\n", nil},
		{"endless", strings.Repeat("250-x\r\n", 2000), nil},
		{"cut short", "250-x\r\n", nil},
	} {
		got, err := ReadReply(lines(c.in))
		if (err == nil) != (c.want != nil) || err == nil && *got != *c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.claim, got, err, c.want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add("250-2.0.0 a\r\n250 2.0.0 b\r\n")
	f.Add("550 \xff\x00\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := ReadReply(lines(in))
		if err != nil {
			return
		}
		printed := string(AppendReply(nil, got))
		for line := range strings.SplitAfterSeq(printed, "\r\n") {
			if len(line) > maxReply || line != "" && !strings.HasSuffix(line, "\r\n") {
				t.Errorf("bad line %q", line)
			}
		}
		again, err := ReadReply(lines(printed))
		if err != nil || again.Code != got.Code {
			t.Errorf("%q prints %q, which is %+v, %v", in, printed, again, err)
		}
	})
}

func FuzzXtext(f *testing.F) {
	f.Add("a+b=c\x00ö")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := DecodeXtext(EncodeXtext(s)); !ok || got != s {
			t.Errorf("%q comes back as %q, %v", s, got, ok)
		}
		if got, ok := DecodeXtext(s); ok {
			if again, ok := DecodeXtext(EncodeXtext(got)); !ok || again != got {
				t.Errorf("%q: %q", s, again)
			}
		}
	})
}
