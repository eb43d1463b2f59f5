package imapd

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A dialog is a file of lines: "C: " the client sends, "S: " the server must answer, where "*" stands
// for anything; "# " is a comment. "C2: " and "S2: " are a second session. "L" and "L2" log a session
// in first. "D: " names a message of testdata/*.eml to deliver into INBOX.
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.dialog")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogs: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".dialog"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := &dialog{site: newSite(t, func(c *Config) { c.MaxMessage = 10000 }), peers: make(map[string]*peer)}
			d.addr = d.listen(t)
			for n, line := range strings.Split(string(text), "\n") {
				d.line(t, n+1, line)
			}
		})
	}
}

type dialog struct {
	*site
	addr  string
	peers map[string]*peer
}

type peer struct {
	net.Conn
	*bufio.Reader
}

func (d *dialog) line(t *testing.T, n int, line string) {
	t.Helper()
	head, text, _ := strings.Cut(line, ":")
	text = strings.TrimPrefix(text, " ")
	switch {
	case line == "" || line[0] == '#':
		return
	case head == "D":
		content, err := os.ReadFile(filepath.Join("testdata", text))
		if err != nil {
			t.Fatal(err)
		}
		d.deliver(t, strings.ReplaceAll(string(content), "\n", "\r\n"))
		return
	}
	p := d.peer(t, head[1:])
	switch head[0] {
	case 'L':
		p.Write([]byte("login LOGIN " + testLogin + " \"" + testPassword + "\"\r\n"))
		for _, want := range []string{"* OK *", "login OK *"} {
			p.expect(t, n, want)
		}
	case 'C':
		if _, err := p.Write([]byte(text + "\r\n")); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
	case 'S':
		p.expect(t, n, text)
	default:
		t.Fatalf("line %d: %q is no line of a dialog", n, line)
	}
}

func (d *dialog) peer(t *testing.T, name string) *peer {
	t.Helper()
	if p := d.peers[name]; p != nil {
		return p
	}
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	d.peers[name] = &peer{conn, bufio.NewReader(conn)}
	return d.peers[name]
}

func (p *peer) expect(t *testing.T, n int, want string) {
	t.Helper()
	got, err := p.ReadString('\n')
	got = strings.TrimSuffix(got, "\r\n")
	if err != nil && (want != "EOF" || got != "") {
		t.Fatalf("line %d: got %q, %v\nwant %q", n, got, err, want)
	}
	if err == nil && !matches(want, got) {
		t.Fatalf("line %d:\ngot  %s\nwant %s", n, got, want)
	}
}

// matches tells whether s is pattern, in which " *" at the end and "[*]" inside stand for anything; a
// first "*" is one, as in untagged responses.
func matches(pattern, s string) bool {
	first, rest := "", pattern
	if strings.HasPrefix(pattern, "* ") {
		first, rest = "* ", pattern[2:]
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	pieces := strings.Split(rest, "*")
	if len(pieces) == 1 || strings.Contains(rest, `\*`) {
		return s == rest
	}
	if !strings.HasPrefix(s, pieces[0]) {
		return false
	}
	s = s[len(pieces[0]):]
	for i, piece := range pieces[1:] {
		if i == len(pieces)-2 {
			return strings.HasSuffix(s, piece)
		}
		at := strings.Index(s, piece)
		if at < 0 {
			return false
		}
		s = s[at+len(piece):]
	}
	return true
}
