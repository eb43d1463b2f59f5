package pop3

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		claim, line string
		want        Command
		err         error
	}{
		{"in any case", "quit", Command{Name: "QUIT"}, nil},
		{"an argument", "RETR 12", Command{"RETR", "12"}, nil},
		{"a password keeps its spaces", "PASS  two  words ", Command{"PASS", " two  words "}, nil},
		{"nothing", "", Command{}, ErrSyntax},
		{"a space first", " QUIT", Command{}, ErrSyntax},
		{"not ASCII", "QÜIT", Command{}, ErrSyntax},
		{"too long a word", strings.Repeat("A", 33), Command{}, ErrSyntax},
	} {
		got, err := Parse([]byte(c.line))
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.claim, got, err, c.want, c.err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		claim, arg  string
		least, most int
		want        []int
		ok          bool
	}{
		{"one", "7", 1, 1, []int{7}, true},
		{"two", "7 0", 2, 2, []int{7, 0}, true},
		{"none allowed", "", 0, 1, []int{}, true},
		{"spaces at the end", "7 ", 1, 1, []int{7}, true},
		{"too few", "", 1, 1, nil, false},
		{"too many", "1 2", 1, 1, nil, false},
		{"negative", "-1", 1, 1, nil, false},
		{"a word", "x", 1, 1, nil, false},
		{"endless", "99999999999", 1, 1, nil, false},
	} {
		got, err := Command{"LIST", c.arg}.Numbers(c.least, c.most)
		if !slices.Equal(got, c.want) || (err == nil) != c.ok {
			t.Errorf("%s: %v, %v; want %v", c.claim, got, err, c.want)
		}
	}
}

func TestWriteContent(t *testing.T) {
	for _, c := range []struct{ claim, content, want string }{
		{"as it is", "a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n.\r\n"},
		{"dots are doubled", ".a\r\n..\r\n.\r\nb.\r\n", "..a\r\n...\r\n..\r\nb.\r\n.\r\n"},
		{"CRLF is added", "a", "a\r\n.\r\n"},
		{"also after a bare LF", "a\n", "a\n\r\n.\r\n"},
		{"nothing", "", ".\r\n"},
		{"a bare LF cannot end the response", "a\n.\r\nb\r\n", "a\n..\r\nb\r\n.\r\n"},
		{"a dot alone", ".", "..\r\n.\r\n"},
	} {
		var b strings.Builder
		if err := WriteContent(&b, []byte(c.content)); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.claim, b.String(), err, c.want)
		}
	}
}

func TestTop(t *testing.T) {
	const message = "a: b\r\nc: d\r\n\r\none\r\n\r\nthree\r\n"
	for lines, want := range []string{"a: b\r\nc: d\r\n\r\n", "a: b\r\nc: d\r\n\r\none\r\n", "a: b\r\nc: d\r\n\r\none\r\n\r\n", message, message} {
		if got := string(Top([]byte(message), lines)); got != want {
			t.Errorf("TOP %d: %q, want %q", lines, got, want)
		}
	}
	for _, whole := range []string{"", "a: b", "a: b\r\n", "\r\n", "\r\nx"} {
		if got := string(Top([]byte(whole), 1)); got != whole {
			t.Errorf("TOP 1 of %q is %q", whole, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("RETR 1"))
	f.Add([]byte("PASS a b"))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := Parse(line)
		if err != nil {
			return
		}
		if again, err := Parse([]byte(c.String())); err != nil || again != c {
			t.Errorf("%q: %+v prints and reads as %+v, %v", line, c, again, err)
		}
		c.Numbers(0, 2)
	})
}

// Whatever the content, a client that reads line by line gets it back, and then our next response.
func FuzzWriteContent(f *testing.F) {
	f.Add([]byte(".a\r\n..\r\n.\r\n"))
	f.Add([]byte("a\n.\r\n-ERR"))
	f.Add([]byte("\r.\r\n"))
	f.Add([]byte("\n.0"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var b bytes.Buffer
		if err := WriteContent(&b, content); err != nil {
			t.Fatal(err)
		}
		b.WriteString("+OK next\r\n")
		want := string(content)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got := readMultiline(t, &b); got != want {
			t.Errorf("%q came as %q", content, got)
		}
		if next, err := b.ReadString('\n'); err != nil || next != "+OK next\r\n" {
			t.Errorf("after %q the next response is %q, %v", content, next, err)
		}
	})
}

// readMultiline reads as poplib and fetchmail do: every LF ends a line.
func readMultiline(t *testing.T, b *bytes.Buffer) string {
	var content strings.Builder
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\r\n" || line == ".\n" {
			return content.String()
		}
		content.WriteString(strings.TrimPrefix(line, "."))
	}
}

func BenchmarkWriteContent(b *testing.B) {
	content := bytes.Repeat([]byte("a line of a message as they come, not too long\r\n"), 1000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		WriteContent(io.Discard, content)
	}
}
