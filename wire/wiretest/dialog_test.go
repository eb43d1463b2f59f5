package wiretest

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// echo answers each line with itself, slowly, and closes at "bye".
func echo(_ context.Context, nc net.Conn) {
	io.WriteString(nc, "hello\r\n")
	for lines := bufio.NewScanner(nc); lines.Scan(); {
		if lines.Text() == "bye" {
			return
		}
		time.Sleep(5 * time.Second)
		io.WriteString(nc, "you said: "+lines.Text()+"\r\n")
	}
}

func TestDialogues(t *testing.T) {
	Run(t, "testdata/*.dialog", func(*testing.T) func(context.Context, net.Conn) { return echo })
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
	}{
		{"250 2.1.0 *", "250 2.1.0 sender OK", true},
		{"250 2.1.0 *", "250 2.1.0 ", true},
		{"250 2.1.0 *", "250 2.1.5 OK", false},
		{"a.c", "abc", false},
		{"*b*", "abc", true},
		{"abc", "abcd", false},
		{"", "", true},
	} {
		if got := matches(c.pattern, c.line); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.line, got)
		}
	}
}

func TestParse(t *testing.T) {
	for line, want := range map[string]string{
		"C: NOOP": "C||:|NOOP", "S2: * OK": "S|2|:|* OK", "C:": "C||:|", "S.": "S||.|", `C~ "x\r\n"`: `C||~|"x\r\n"`, "T: 5m": "T||:|5m",
		"# comment": "", "": "", "X: y": "", "C:no space": "",
	} {
		s, ok := parse(line, 1)
		if got := strings.Join([]string{s.who, s.conn, s.punct, s.text}, "|"); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %v %q, want %q", line, ok, got, want)
		}
	}
}
