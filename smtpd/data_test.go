package smtpd

import (
	"bytes"
	"strings"
	"testing"
)

type sink struct{ bytes.Buffer }

func (s *sink) write(p []byte) { s.Write(p) }

// decodeIn decodes in cut into blocks of size bytes, and returns what is left behind the end.
func decodeIn(in string, size int, fix bool) (text, rest string, bare, end bool) {
	d := decoder{fix: fix}
	var s sink
	for at := 0; at < len(in); {
		block := in[at:min(at+size, len(in))]
		used, done := d.decode(&s, []byte(block))
		at += used
		if done {
			return s.String(), in[at:], d.bare, true
		}
	}
	return s.String(), "", d.bare, false
}

// TestOnlyCRLFDotCRLFEnds is the table of what programs have been made to take for the end of data
// (SMTP smuggling, CVE-2023-51764 and its kin). Every row is followed by a real end.
func TestOnlyCRLFDotCRLFEnds(t *testing.T) {
	breaks := []string{"\n", "\r", "\r\n", "\n\r", "\r\r", "\r\r\n", "\x00\r\n", "\v", "\x85", " \r\n"}
	for _, before := range breaks {
		for _, after := range breaks {
			in := "one" + before + "." + after + "two"
			truly := strings.Contains(in, "\r\n.\r\n")
			for size := 1; size <= len(in)+5; size++ {
				for _, fix := range []bool{false, true} {
					_, rest, _, end := decodeIn(in+"\r\n.\r\n", size, fix)
					if want := map[bool]string{true: "two\r\n.\r\n", false: ""}[truly]; !end || rest != want {
						t.Errorf("%q in blocks of %d, fix %v: end %v, rest %q; want rest %q", in, size, fix, end, rest, want)
					}
				}
			}
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		claim, in, want, fixed string // fixed: with bare_lf = "accept"; empty: the same
		bare                   bool
	}{
		{"an empty message", ".\r\n", "", "", false},
		{"an empty line", "\r\n.\r\n", "\r\n", "", false},
		{"text", "a\r\nb\r\n.\r\n", "a\r\nb\r\n", "", false},
		{"a doubled dot", "..a\r\n.\r\n", ".a\r\n", "", false},
		{"two dots alone", "..\r\n.\r\n", ".\r\n", "", false},
		{"a dot that was not doubled", ".a\r\n.\r\n", "a\r\n", "", false},
		{"a dot within a line", "a.\r\n.\r\n", "a.\r\n", "", false},
		{"8-bit and NUL", "\xff\x00\r\n.\r\n", "\xff\x00\r\n", "", false},
		{"a bare LF", "a\nb\r\n.\r\n", "a\nb\r\n", "a\r\nb\r\n", true},
		{"a bare CR", "a\rb\r\n.\r\n", "a\rb\r\n", "a\r\nb\r\n", true},
		{"a CR too many", "a\r\r\n.\r\n", "a\r\r\n", "a\r\n\r\n", true},
		{"no unstuffing after a bare LF", "a\n..b\r\n.\r\n", "a\n..b\r\n", "a\r\n..b\r\n", true},
		{"a dot between bare LFs stays", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "a\r\n.\r\nb\r\n", true},
		{"LF . CRLF stays", "a\n.\r\n.\r\n", "a\n.\r\n", "a\r\n.\r\n", true},
		{"CRLF . CR stays text", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "a\r\n\r\nb\r\n", true},
	} {
		if c.fixed == "" {
			c.fixed = c.want
		}
		for size := 1; size <= len(c.in); size++ {
			if text, rest, bare, end := decodeIn(c.in, size, false); text != c.want || rest != "" || bare != c.bare || !end {
				t.Errorf("%s, blocks of %d: %q, rest %q, bare %v, end %v; want %q", c.claim, size, text, rest, bare, end, c.want)
			}
			if text, _, _, end := decodeIn(c.in, size, true); text != c.fixed || !end {
				t.Errorf("%s, fixed, blocks of %d: %q, end %v; want %q", c.claim, size, text, end, c.fixed)
			}
		}
	}
}

// plainDecode is RFC 5321 section 4.5.2 said as simply as possible.
func plainDecode(in string) (text string, end bool) {
	i := strings.Index("\r\n"+in, "\r\n.\r\n")
	if i >= 0 {
		in, end = in[:i], true
	}
	text = strings.ReplaceAll("\r\n"+in, "\r\n.", "\r\n")
	return strings.TrimPrefix(text, "\r\n"), end
}

func FuzzDecode(f *testing.F) {
	f.Add("a\r\n..b\r\n.\r\nrest", 3)
	f.Add("a\n.\n\r\r\n.\r\n.\r\n", 1)
	f.Fuzz(func(t *testing.T, in string, size int) {
		size = 1 + size&15
		text, _, bare, end := decodeIn(in, size, false)
		want, wantEnd := plainDecode(in)
		if end != wantEnd || end && text != want {
			t.Fatalf("%q in blocks of %d: %q, %v; want %q, %v", in, size, text, end, want, wantEnd)
		}
		if end {
			rest := strings.ReplaceAll(text, "\r\n", "")
			if bare != strings.ContainsAny(rest, "\r\n") {
				t.Errorf("%q: bare is %v", in, bare)
			}
		}
		fixed, _, _, _ := decodeIn(in, size, true)
		if end && strings.ContainsAny(strings.ReplaceAll(fixed, "\r\n", ""), "\r\n") {
			t.Errorf("%q: fixed still has a bare CR or LF: %q", in, fixed)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 200))
	b.SetBytes(int64(len(text)))
	c := (&contents{maxMemory: 1 << 20}).new(1 << 40)
	for b.Loop() {
		var d decoder
		d.decode(c, text)
		c.size, c.block = 0, c.block[:0]
	}
}
