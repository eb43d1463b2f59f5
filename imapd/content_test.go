package imapd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
)

// login returns a session that has logged in and selected INBOX.
func (s *site) login(t testing.TB) *peer {
	t.Helper()
	conn := dial(t, s.listen(t))
	p := &peer{conn, bufio.NewReader(conn)}
	p.ask(t, "", "* OK")
	p.ask(t, fmt.Sprintf("l LOGIN %s \"%s\"", testLogin, testPassword), "l OK")
	p.ask(t, "s SELECT INBOX", "s OK")
	return p
}

// ask sends a command and returns all responses up to the one that begins with want.
func (p *peer) ask(t testing.TB, command, want string) string {
	t.Helper()
	if command != "" {
		io.WriteString(p, command+"\r\n")
	}
	var all strings.Builder
	tag, _, _ := strings.Cut(want, " ")
	for {
		response, err := readResponse(p.Reader)
		all.WriteString(response)
		if err != nil {
			t.Fatalf("%.80q: %v after %.300q", command, err, all.String())
		}
		if strings.HasPrefix(response, tag+" ") && (tag != "*" || strings.HasPrefix(response, want)) {
			if !strings.HasPrefix(response, want) {
				t.Fatalf("%.80q: got %.300q, want %s", command, response, want)
			}
			return all.String()
		}
	}
}

func TestLargeMessagesComeBackByteForByte(t *testing.T) {
	p := newSite(t, nil).login(t)
	var all []string
	for i, lines := range []int{1, 100_000, 3, 40_000} {
		content := fmt.Sprintf("Subject: %d\r\nX-Binary: \xff\x01\r\n\r\n%s", i, strings.Repeat(fmt.Sprintf("%d: a line of text\r\n", i), lines))
		p.ask(t, fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", len(content), content), "a OK")
		all = append(all, content)
	}
	want := ""
	for i, content := range all {
		want += fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s RFC822.SIZE %d)\r\n", i+1, i+1, len(content), content, len(content))
	}
	got := p.ask(t, "b FETCH 1:* (UID BODY.PEEK[] RFC822.SIZE)", "b OK")
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %d bytes that begin with %.200q", len(got), got)
	}
	body := strings.Repeat("1: a line of text\r\n", 100_000)
	part := fmt.Sprintf("* 2 FETCH (BODY[TEXT]<1000000> {500000}\r\n%s)\r\n", body[1_000_000:1_500_000])
	if got := p.ask(t, "c FETCH 2 BODY.PEEK[TEXT]<1000000.500000>", "c OK"); !strings.HasPrefix(got, part) {
		t.Errorf("partial: got %d bytes", len(got))
	}
}

func TestOverQuota(t *testing.T) {
	site := newSite(t, nil)
	if err := site.account.SetQuota(context.Background(), 1000); err != nil {
		t.Fatal(err)
	}
	p := site.login(t)
	content := "Subject: x\r\n\r\n" + strings.Repeat("x", 700)
	p.ask(t, fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", len(content), content), "a OK")
	p.ask(t, fmt.Sprintf("b APPEND INBOX {%d+}\r\n%s", len(content), content), "b NO [OVERQUOTA]")
	p.ask(t, "d STORE 1 +FLAGS (\\Deleted)", "d OK")
	p.ask(t, "e EXPUNGE", "e OK")
	p.ask(t, fmt.Sprintf("f APPEND INBOX {%d+}\r\n%s", len(content), content), "f OK")
}

func TestAppendsShareMemory(t *testing.T) {
	site := newSite(t, func(c *Config) { c.MaxMessage, c.Memory = 1000, 1000 })
	site.appends.TryAcquire(400) // another session's message, on its way
	p := site.login(t)
	half := strings.Repeat("x", 500)
	p.ask(t, fmt.Sprintf("a APPEND INBOX {500+}\r\n%s {500+}\r\n%s", half, half), "a NO [UNAVAILABLE]")
	p.ask(t, fmt.Sprintf("b APPEND INBOX {500+}\r\n%s", half), "b OK")
	if !site.appends.TryAcquire(600) {
		t.Error("memory was not given back")
	}
}

func TestUTF8(t *testing.T) {
	p := newSite(t, nil).login(t)
	p.ask(t, "a CREATE Gr&APw-n", "a OK")
	p.ask(t, "b ENABLE UTF8=ACCEPT", "b OK")
	content := "Subject: grün\r\n\r\nä"
	p.ask(t, fmt.Sprintf("c APPEND \"Grün\" UTF8 (~{%d+}\r\n%s)", len(content), content), "c OK")
	if got := p.ask(t, "d STATUS \"Grün\" (MESSAGES)", "d OK"); !strings.HasPrefix(got, "* STATUS \"Grün\" (MESSAGES 1)\r\n") {
		t.Errorf("got %q", got)
	}
	p.ask(t, "e SELECT \"Grün\"", "e OK")
	if got := p.ask(t, "f SEARCH SUBJECT \"GRÜN\"", "f OK"); !strings.HasPrefix(got, "* SEARCH 1\r\n") {
		t.Errorf("got %q", got)
	}
	if got := p.ask(t, "g FETCH 1 ENVELOPE", "g OK"); !strings.Contains(got, "(NIL {5}\r\ngrün NIL") {
		t.Errorf("got %q", got)
	}
}
