package message

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// checkInvariants fails when m breaks what its documentation promises.
func checkInvariants(t rapid.TB, m *Message) {
	t.Helper()
	parts, fields := 0, 0
	var check func(p *Part, start, end, depth int)
	check = func(p *Part, start, end, depth int) {
		parts++
		if p.HeaderStart < start || p.BodyStart < p.HeaderStart || p.End < p.BodyStart || p.End > end {
			t.Fatalf("%s at %d, %d, %d is not inside %d to %d", p.Type(), p.HeaderStart, p.BodyStart, p.End, start, end)
		}
		if (p.MediaType == "multipart") != p.IsMultipart() {
			t.Fatalf("%s has %d children", p.Type(), len(p.Children))
		}
		if (p.Type() == "message/rfc822" || p.Type() == "message/global") != (p.Message != nil) {
			t.Fatalf("%s: enclosed message is %v", p.Type(), p.Message)
		}
		if depth > MaxDepth+1 {
			t.Fatalf("%d levels", depth)
		}
		at := p.HeaderStart
		for _, f := range p.Header.Fields() {
			fields++
			if f.Start < at || f.Start+len(f.Raw()) > p.BodyStart {
				t.Fatalf("field at %d of %d bytes is not between %d and %d", f.Start, len(f.Raw()), at, p.BodyStart)
			}
			at = f.Start + len(f.Raw())
			if s := f.Unfolded(); strings.ContainsAny(s, "\n") {
				t.Fatalf("%q is not unfolded", s)
			}
		}
		for _, params := range []Params{p.Params, p.DispositionParams} {
			for _, param := range params {
				if param.Name != "boundary" && !utf8.ValidString(param.Value) {
					t.Fatalf("parameter %q is not UTF-8: %q", param.Name, param.Value)
				}
			}
		}
		inside := p.BodyStart
		for _, c := range p.Children {
			check(c, inside, p.End, depth+1)
			inside = c.End
		}
		if p.Message != nil {
			check(p.Message.Root, p.BodyStart, p.End, depth+1)
			if p.Message.Root.HeaderStart != p.BodyStart || p.Message.Root.End != p.End {
				t.Fatalf("enclosed message is %d to %d, its part %d to %d", p.Message.Root.HeaderStart, p.Message.Root.End, p.BodyStart, p.End)
			}
		}
	}
	check(m.Root, 0, len(m.Content), 0)
	if m.Root.HeaderStart != 0 || m.Root.End != len(m.Content) {
		t.Fatalf("root is %d to %d of %d", m.Root.HeaderStart, m.Root.End, len(m.Content))
	}
	if parts > MaxParts+MaxDepth || fields > MaxFields {
		t.Fatalf("%d parts, %d fields", parts, fields)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Subject: a\r\n\r\nbody"))
	f.Add(plainMessage(300))
	f.Add(multipartMessage(300))
	f.Add([]byte("Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\n--a--b\n--a\nX\n--a"))
	f.Add([]byte("Content-Type: message/rfc822\n\nContent-Type: message/global\n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := Parse(content)
		checkInvariants(t, m)
		m.Header.Date()
		for _, list := range [][]MailAddress{m.Header.From(), m.Header.To(), m.Header.Cc()} {
			for a := range Mailboxes(list) {
				a.Address()
			}
		}
		for _, s := range []string{m.Header.Subject(), m.Preview(100)} {
			if !utf8.ValidString(s) {
				t.Errorf("not UTF-8: %q", s)
			}
		}
		m.SearchText(func(text string) bool {
			if !utf8.ValidString(text) {
				t.Errorf("not UTF-8: %q", text)
			}
			return true
		})
	})
}

func TestStructureOfBrokenMail(t *testing.T) {
	for _, c := range []struct{ claim, content, want string }{
		{"empty content is an empty text", "", "plain"},
		{"a body alone has no header", "Hello world\r\nfoo\r\n", "plain"},
		{"an mbox separator is skipped", "From ann Thu Nov  5 10:00:00 2026\nContent-Type: text/html\n\n<p>", "html"},
		{"a missing closing delimiter ends with the content", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a\n\ny", "mixed(plain plain)"},
		{"an outer delimiter ends inner multiparts", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/related; boundary=b\n\n--b\n\nx\n--a\nContent-Type: text/html\n\ny\n--a--", "mixed(related(plain) html)"},
		{"a multipart whose boundary never comes is text", "Content-Type: multipart/mixed; boundary=a\n\nHello", "plain"},
		{"a multipart without boundary is text", "Content-Type: multipart/mixed\n\n--a\n\nHello\n--a--", "plain"},
		{"white space before the colon is obsolete but allowed", "Content-Type : text/html\n\n", "html"},
		{"the first Content-Type counts", "Content-Type: text/html\nContent-Type: text/css\n\n", "html"},
		{"transport padding does not matter", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a \t\r\n\r\nx\r\n--a-- \r\n", "mixed(plain)"},
		{"parts of a digest are messages", "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\ny\n--a--", "digest(rfc822(plain))"},
		{"an encoded enclosed message is a file", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=", "octet-stream"},
		{"the epilogue holds no parts", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--\n--a\n\ny\n", "mixed(plain)"},
	} {
		m := Parse([]byte(c.content))
		checkInvariants(t, m)
		if got := m.Root.tree(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.claim, got, c.want)
		}
	}
}

func TestPartsAreWhatDelimitersEnclose(t *testing.T) {
	content := "Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\nContent-ID: <1@x>\r\n\r\none\r\ntwo\r\n\r\n--a\r\n\r\n--a--\r\n"
	root := Parse([]byte(content)).Root
	if got := string(root.Children[0].Body()); got != "one\r\ntwo\r\n" || root.Children[0].Lines != 2 {
		t.Errorf("first body %q of %d lines", got, root.Children[0].Lines)
	}
	if got := string(root.Children[0].Raw()); got != "Content-ID: <1@x>\r\n\r\none\r\ntwo\r\n" || root.Children[0].ID != "<1@x>" {
		t.Errorf("first part %q with ID %q", got, root.Children[0].ID)
	}
	if got := string(root.Children[1].Body()); got != "" {
		t.Errorf("second body %q", got)
	}
}

func TestStructureIsBounded(t *testing.T) {
	var deep strings.Builder
	for i := range 2 * MaxDepth {
		b := strings.Repeat("x", i+1)
		deep.WriteString("Content-Type: multipart/mixed; boundary=" + b + "\n\n--" + b + "\n")
	}
	for _, c := range []struct{ claim, content string }{
		{"deep multiparts", deep.String()},
		{"deep messages", strings.Repeat("Content-Type: message/rfc822\n\n", 2*MaxDepth)},
		{"many parts", "Content-Type: multipart/mixed; boundary=a\n\n" + strings.Repeat("--a\n\nx\n", MaxParts+10)},
		{"many fields", strings.Repeat("a:\n", MaxFields+10)},
	} {
		m := Parse([]byte(c.content))
		checkInvariants(t, m)
		if !m.Truncated {
			t.Errorf("%s: not truncated", c.claim)
		}
	}
}

// TestHostileContentTakesLinearTime would take minutes where time is quadratic.
func TestHostileContentTakesLinearTime(t *testing.T) {
	const size = 4 << 20
	mixed := "Content-Type: multipart/mixed; boundary=a\n\n"
	fill := func(head, unit string) string { return head + strings.Repeat(unit, size/len(unit)) }
	for _, c := range []struct{ claim, content string }{
		{"open comments", fill("To: ", "(")},
		{"open comments in parameters", fill("Content-Type: text/plain; ", "(;a=")},
		{"angle brackets", fill("To: ", "<")},
		{"angle brackets and escaped quotes", fill("To: <", `"\`)},
		{"angle brackets and commas", fill("To: ", "<,")},
		{"address literals without end", fill("To: ", "a@[,")},
		{"at signs", fill("To: ", "a@")},
		{"groups", fill("To: ", "a:")},
		{"begun encoded words", fill("Subject: ", "=?") + "?="},
		{"begun encoded words with charset", fill("Subject: ", "=?a") + "?="},
		{"begun encoded words in addresses", fill("To: ", "=?a?q?")},
		{"encoded words", fill("Subject: ", "=?utf-8?q?a?= ")},
		{"parameters", fill("Content-Type: text/plain", "; a*1*=b")},
		{"near delimiters", fill(mixed, "\n--")},
		{"delimiters", fill(mixed, "--a\n")},
		{"delimiters without bodies", fill(mixed+"--a\n", "a:\n--a\n")},
		{"folded fields", fill("a:", "\n ")},
		{"content fields", fill("", "Content-Type:\n")},
		{"message ids", fill("References: ", "<")},
		{"tags", fill("Content-Type: text/html\n\n", "<")},
		{"attributes", fill("Content-Type: text/html\n\n<", "a=\" ")},
	} {
		start := time.Now()
		m := Parse([]byte(c.content))
		checkInvariants(t, m)
		m.Header.To()
		m.Header.Subject()
		m.Header.References()
		m.Preview(100)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: %v for 4 MiB", c.claim, d)
		} else if testing.Verbose() {
			t.Logf("%-40s %v", c.claim, d)
		}
	}
}

func TestContentIsNotCopied(t *testing.T) {
	content := bytes.Repeat([]byte("text of the body\r\n"), 1<<16)
	content = append([]byte("Subject: x\r\n\r\n"), content...)
	if n := testing.AllocsPerRun(10, func() { Parse(content) }); n > 8 {
		t.Errorf("%v allocations for a message of one part", n)
	}
}
