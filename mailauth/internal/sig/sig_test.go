package sig

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"posthaste/message"
)

// canonical is the canonical form of a body by the words of RFC 6376 sections 3.4.3 and 3.4.4.
func canonical(c Canon, body []byte) []byte {
	body = regexp.MustCompile(`\r?\n`).ReplaceAll(body, []byte("\r\n"))
	if c == Relaxed {
		body = regexp.MustCompile(`[ \t]+`).ReplaceAll(body, []byte(" "))
		body = regexp.MustCompile(` (\r\n|$)`).ReplaceAll(body, []byte("$1"))
	}
	if len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
		body = append(body, "\r\n"...)
	}
	for bytes.HasSuffix(body, []byte("\r\n\r\n")) {
		body = body[:len(body)-2]
	}
	if len(body) == 0 && c == Simple || string(body) == "\r\n" && c == Simple {
		return []byte("\r\n")
	}
	if string(body) == "\r\n" {
		return nil
	}
	return body
}

// checkBody compares what HashBodies says with the words of the standard, for lengths all over the body.
func checkBody(t *testing.T, body []byte) {
	t.Helper()
	for _, c := range []Canon{Simple, Relaxed} {
		want := canonical(c, bytes.Clone(body))
		extents := []Extent{{Canon: c, Length: Whole}}
		for _, n := range []int{0, 1, len(want) / 2, len(want) - 1, len(want), len(want) + 1, 1 << 30} {
			extents = append(extents, Extent{Canon: c, Length: int64(max(n, 0))}, Extent{Canon: 1 - c, Length: int64(max(n, 0))})
		}
		HashBodies(body, extents)
		for _, e := range extents {
			if e.Canon != c {
				continue
			}
			covered := want
			if e.Length != Whole && e.Length < int64(len(want)) {
				covered = want[:e.Length]
			}
			left := int64(len(want)) - e.Length
			if e.Length == Whole {
				left = 0
			}
			if e.Sum != sha256.Sum256(covered) || e.Left != left {
				t.Errorf("canon %d, length %d of %q: hash of other bytes than %q, or left %d, want %d", c, e.Length, body, covered, e.Left, left)
			}
		}
	}
}

var bodies = []string{
	"", "\r\n", "\n", "\r\n\r\n", " ", " \r\n", "\t\r\n \r\n", "a", "a\r\n", "a\r\n\r\n\r\n", " a \r\n", "a  b\tc \t d\r\n \r\ne",
	"\r", "a\rb\r\r\n", "a\n\nb\n", "\r\n\r\na", " C \r\nD \t E\r\n\r\n\r\n",
	strings.Repeat("x", 10_000), strings.Repeat("\r\n", 10_000) + "x", strings.Repeat("a b \t\r\n", 3000), strings.Repeat(" ", 10_000) + "x",
}

func TestBodies(t *testing.T) {
	for _, body := range bodies {
		checkBody(t, []byte(body))
	}
}

func FuzzBody(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body[:min(len(body), 100)]))
	}
	f.Fuzz(checkBody)
}

func TestFields(t *testing.T) {
	for _, c := range []struct{ raw, simple, relaxed string }{
		{"A: X\r\n", "A: X\r\n", "a:X\r\n"},
		{"B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"}, // RFC 6376 section 3.4.5
		{"Subject:\r\n", "Subject:\r\n", "subject:\r\n"},
		{"Subject: \r\n \r\n", "Subject: \r\n \r\n", "subject:\r\n"},
		{"X: a\n b\n", "X: a\r\n b\r\n", "x:a b\r\n"},
		{"X: a", "X: a\r\n", "x:a\r\n"},
		{"X: a\rb\r\n", "X: a\rb\r\n", "x:a\rb\r\n"},
		{"X:a:b", "X:a:b\r\n", "x:a:b\r\n"},
		{"X: \xff\x00\r\n", "X: \xff\x00\r\n", "x:\xff\x00\r\n"},
		{"no colon\r\n", "no colon\r\n", "no colon:\r\n"},
	} {
		if got := string(Simple.AppendField(nil, []byte(c.raw))); got != c.simple {
			t.Errorf("simple %q is %q, want %q", c.raw, got, c.simple)
		}
		if got := string(Relaxed.AppendField([]byte("before"), []byte(c.raw))); got != "before"+c.relaxed {
			t.Errorf("relaxed %q is %q, want %q", c.raw, got, c.relaxed)
		}
	}
}

func TestOwnValueIsTakenOut(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"S: a=1; b=xyz; c=2\r\n", "S: a=1; b=; c=2\r\n"},
		{"S: a=1; b = x y\r\n z ; bh=b=2\r\n", "S: a=1; b =; bh=b=2\r\n"},
		{"S: bh=1; b=xyz\r\n", "S: bh=1; b="},
		{"S: b=1; b=2", "S: b=; b=2"},
		{"S: a=1", "S: a=1"},
		{"S", "S"},
		{"S: b", "S: b"},
	} {
		if got := string(WithoutValue([]byte(c.raw))); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.raw, got, c.want)
		}
	}
}

func TestFieldsArePickedFromTheBottom(t *testing.T) {
	few := "A: 1\r\nB: 2\r\na: 3\r\njunk\r\nA: 4\r\n\r\n"
	testPicking(t, message.ParseHeader([]byte(few)))
	testPicking(t, message.ParseHeader([]byte(strings.Repeat("X: y\r\n", fewFields)+few)))
}

func testPicking(t *testing.T, h message.Header) {
	t.Helper()
	for _, c := range []struct{ names, want string }{
		{"A", "a:4"}, {"a:A", "a:4 a:3"}, {"A:b:A:A:A", "a:4 b:2 a:3 a:1"}, {"C", ""}, {"", ""}, {"B::B", "b:2"},
	} {
		f := NewFields(h)
		f.AppendSigned(nil, Relaxed, []string{"A", "A"}) // leaves no trace
		got := strings.TrimSpace(strings.ReplaceAll(string(f.AppendSigned(nil, Relaxed, SplitNames(c.names))), "\r\n", " "))
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.names, got, c.want)
		}
	}
	if names := SplitNames(strings.Repeat("a:", MaxNames) + "a"); names != nil {
		t.Errorf("%d names are taken", len(names))
	}
}

func TestTags(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "[]"}, {" \r\n ", "[]"}, {"a=1", "[{a 1}]"}, {" a = 1 2 ;\r\n b=", "[{a 1 2} {b }]"}, {"a=b=c;", "[{a b=c}]"}, {"a_1=x; A_1=y", "[{a_1 x} {A_1 y}]"},
	} {
		got, err := ParseTags(c.in)
		if err != nil || fmt.Sprint([]Tag(got)) != c.want {
			t.Errorf("%q: %v, %v, want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{";", "a=1;;b=2", "a", "=1", "1a=1", "a b=1", "a=1; a=2", "ä=1", strings.Repeat("x", MaxValue+1),
		func() (s string) {
			for i := range MaxTags + 1 {
				s += fmt.Sprintf("a%d=1;", i)
			}
			return s
		}()} {
		if got, err := ParseTags(in); err == nil {
			t.Errorf("%.40q is taken: %v", in, got)
		}
	}
}

func FuzzTags(f *testing.F) {
	f.Add("v=1; a=rsa-sha256; d=north.test; b=AA==")
	f.Add("a = b\r\n c;")
	f.Fuzz(func(t *testing.T, in string) {
		tags, err := ParseTags(in)
		if err != nil {
			return
		}
		var printed []string
		for _, tag := range tags {
			printed = append(printed, tag.Name+"="+tag.Value)
		}
		again, err := ParseTags(strings.Join(printed, ";"))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(tags) {
			t.Errorf("%q is %v, printed and read again %v, %v", in, tags, again, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add("p=MIGJAoGBALVI635dLK4cJJAH3Lx6upo3X/Lm1tQz3mezcWTA3BUBnyIsdnRf57aD5BtNmhPrYYDlWlzw3UgnKisIxktkk5+iMQMlFtAS10JB8L3YadXNJY+JBcbeSi5TgJe4WFzNgW95FWDAuSTRXSWZfA/8xjflbTLDx0euFZOM7C4T0GwLAgMBAAE=")
	f.Add("v=DKIM1; h=sha1:sha256; s=*; t=y:s; g=; p=")
	f.Fuzz(func(t *testing.T, record string) {
		key, err := ParseKey(record)
		if err != nil {
			return
		}
		if key.Public == nil || key.Bits == 0 || Algorithm(key.Public) == "" {
			t.Errorf("%q is taken as %+v", record, key)
		}
		if !key.Weak() && key.Verify(make([]byte, 32), make([]byte, 64)) == nil {
			t.Errorf("the key of %q takes a signature of zeros", record)
		}
	})
}

func BenchmarkHashBodies(b *testing.B) {
	body := []byte(strings.Repeat("A line of an ordinary letter, with some words in it and an end.\r\n", 16_000))
	for name, extents := range map[string][]Extent{
		"simple": {{Canon: Simple, Length: Whole}}, "relaxed": {{Canon: Relaxed, Length: Whole}},
		"both": {{Canon: Simple, Length: Whole}, {Canon: Relaxed, Length: Whole}},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				HashBodies(body, extents)
			}
		})
	}
}
